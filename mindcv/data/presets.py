"""MindCV's transforms by the name of a data set: `create_transforms(dataset_name="cifar10", ...)`."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from mindcv.arguments import IMAGE_RESIZE
from mindcv.registry import unknown

P = ParamSpec("P")
R = TypeVar("R")

_CIFAR = {
    "mean": (0.4914, 0.4822, 0.4465),
    "std": (0.2023, 0.1994, 0.2010),  # MindCV's; configs/base_cifar.yaml has that of all pixels
    **{"crop_pct": 1.0, "color_jitter": None, "encoded": False},
}
_WHOLE_IMAGE = {"scale": (1.0, 1.0), "ratio": (1.0, 1.0), "hflip": 0.0, "crop_pct": 1.0, "color_jitter": None}
# What MindCV does with the images of a data set, in our keywords.
_PRESETS: dict[str, dict[str, Any]] = {
    "imagenet": {"color_jitter": None},
    "cifar10": _CIFAR,
    "cifar100": _CIFAR,
    "mnist": {**_WHOLE_IMAGE, "mean": (0.1307,), "std": (0.3081,), "in_channels": 1, "channels": 1, "encoded": False},
}


def by_data_set(create_transforms: Callable[P, R]) -> Callable[P, R]:
    """Let `create_transforms` take MindCV's `dataset_name`, which sets defaults for all other arguments.

    Names are imagenet (also "", image folders), cifar10, cifar100 and mnist, in any case. With it, `is_training` is
    False by default, as in MindCV.
    """

    @wraps(create_transforms)
    def call(*args: Any, **keywords: Any) -> R:
        dataset_name = keywords.pop("dataset_name", None)
        if dataset_name is None:
            return create_transforms(*args, **keywords)
        key = dataset_name.lower() or "imagenet"
        if key not in _PRESETS:
            raise unknown("dataset_name", dataset_name, list(_PRESETS))
        preset = {"is_training": False, **_PRESETS[key]}
        side = keywords.get("image_resize", IMAGE_RESIZE.default)
        if key.startswith("cifar") and isinstance(side, int):  # MindCV pads 32 pixels by 4, and then resizes
            preset["random_crop_padding"] = round(side / 8)
        return create_transforms(*args, **{**preset, **keywords})

    return call
