"""MindCV's functions about the registry of models; `create_model` and `list_models` are in factory.py."""

from collections.abc import Callable
from typing import Any, TypeVar

from mindcv.models.classifier import IMAGENET
from mindcv.models.factory import MODELS, Variant, create_model, list_models
from mindcv.weights.catalog import pretrained_models

__all__ = ["is_model", "is_model_pretrained", "list_models", "model_entrypoint", "register_model"]

Function = TypeVar("Function", bound=Callable[..., Any])


def register_model(function: Function) -> Function:
    """Decorator: make `create_model` build a network of your own, by the name of the function that returns it.

    Args:
        function: from num_classes, in_channels and further keywords to a Cell. As in MindCV it also takes
            `pretrained`, which is always False: weights come from `checkpoint_path` of `create_model`. `drop_rate` and
            `drop_path_rate` are passed to it if they are not 0.

    Raises:
        ValueError: if the name is taken.
    """

    def build(*, drop_rate: float = 0.0, drop_path_rate: float = 0.0, **options: Any) -> Any:
        rates = {"drop_rate": drop_rate, "drop_path_rate": drop_path_rate}
        return function(pretrained=False, **options, **{key: rate for key, rate in rates.items() if rate})

    MODELS.register(function.__name__)(Variant(build, {}, IMAGENET))
    return function


def is_model(model_name: str) -> bool:
    """Whether a network of this name is registered."""
    return model_name in MODELS.names()


def is_model_pretrained(model_name: str) -> bool:
    """Whether weights are published for the network of this name."""
    return is_model(model_name) and model_name in pretrained_models()


def model_entrypoint(model_name: str) -> Callable[..., Any]:
    """The function that builds a registered network; `mindcv.models.resnet50` is that of "resnet50".

    Raises:
        ValueError: if there is none of this name.
    """
    MODELS.get(model_name)

    def build(pretrained: bool | str = False, num_classes: int = 1000, in_channels: int = 3, **options: Any) -> Any:
        return create_model(model_name, num_classes, in_channels, pretrained, **options)

    build.__name__ = build.__qualname__ = model_name
    build.__doc__ = f"`create_model({model_name!r}, ...)`."
    return build
