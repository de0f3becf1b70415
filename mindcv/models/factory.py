"""Models by name: `create_model`, `list_models` and the registry behind them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from mindspore import Tensor, nn

from mindcv.checkpoint import Checkpoint, check_fits
from mindcv.models.classifier import IMAGENET, Classifier, Preprocessing
from mindcv.models.cpu import optimize_for_cpu
from mindcv.registry import Registry
from mindcv.runtime import on_cpu
from mindcv.weights.catalog import find_weights, pretrained_models
from mindcv.weights.load import load_weights, read_published, read_weights, variant


@dataclass(frozen=True)
class Variant:
    """A named architecture; calling it with further keywords builds the network.

    Attributes:
        network: the class of the family.
        arguments: its keywords that make this variant.
        default_cfg: the images that it is made for.
    """

    network: Callable[..., Classifier]
    arguments: Mapping[str, Any]
    default_cfg: Preprocessing

    def __call__(self, **options: Any) -> Classifier:
        model = self.network(**{**self.arguments, **options})
        model.default_cfg = self.default_cfg
        return model


MODELS: Registry[Variant] = Registry("model")


def register_variants(
    network: Callable[..., Classifier],
    variants: Mapping[str, Mapping[str, Any]],
    *,
    default_cfg: Preprocessing = IMAGENET,
) -> None:
    """Register a table of named architectures: name -> the keywords that make `network` that variant."""
    for name, arguments in variants.items():
        MODELS.register(name)(Variant(network, arguments, default_cfg))


class FeatureExtractor(nn.Cell):
    """The feature maps of a network: (B, in_channels, H, W) -> tuple of (B, C_i, H / stride_i, W / stride_i).

    Attributes:
        feature_channels: C_i of each returned map.
        feature_strides: stride of each returned map.
    Raises:
        ValueError: for an index without a map.
    """

    def __init__(self, model: Classifier, out_indices: tuple[int, ...] | None = None) -> None:
        super().__init__(auto_prefix=False)
        count = len(model.feature_channels)
        self.out_indices = tuple(range(count)) if out_indices is None else tuple(out_indices)
        for index in self.out_indices:
            if not 0 <= index < count:
                raise ValueError(f"out_indices must be between 0 and {count - 1} for this network, got {index}.")
        self.model = model
        self.feature_channels = tuple(model.feature_channels[i] for i in self.out_indices)
        self.feature_strides = tuple(model.feature_strides[i] for i in self.out_indices)

    def construct(self, x: Tensor) -> tuple[Tensor, ...]:
        features = self.model.forward_intermediates(x)
        selected: tuple[Tensor, ...] = ()
        for index in self.out_indices:
            selected += (features[index],)
        return selected


def create_model(
    name: str,
    num_classes: int = 1000,
    in_channels: int = 3,
    pretrained: bool | str = False,
    *,
    checkpoint_path: str | Path = "",
    features_only: bool = False,
    out_indices: tuple[int, ...] | None = None,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    drop_block_rate: float = 0.0,
    device_forms: bool = True,
    **arch: Any,
) -> Classifier | FeatureExtractor:
    """Build a registered network.

    Args:
        name: one of `list_models()`.
        num_classes: size of the logits; 0 leaves the classifier out.
        in_channels: channels of the input images.
        pretrained: start from published weights: True for the usual ones, or their name in `weights/catalog.csv`.
            For another number of classes the classifier is new; for other input channels the first convolution is
            adapted. Either is logged.
        checkpoint_path: start from this file: `.ckpt` of this package or of MindCV, `.safetensors` or `.pth` of timm.
        features_only: return the network as (B, in_channels, H, W) -> tuple of feature maps.
        out_indices: with features_only, which maps: 0 is the stem, 1 to 4 the stages. All by default.
        drop_rate: dropout before the classifier, in [0, 1).
        drop_path_rate: stochastic depth of the deepest block, in [0, 1).
        drop_block_rate: DropBlock in the last stages, in [0, 1).
        device_forms: on a CPU, replace layers by their fastest form; False keeps the textbook layers, which are the
            ones that can be exported.
        **arch: further keywords of the network's class, such as `zero_init_last`.
    Returns:
        A Cell from (B, in_channels, H, W) float32 to (B, num_classes) logits.
    Raises:
        ValueError: for an unknown name, keyword or index, when there are no such weights, or when they do not fit.
    """
    MODELS.get(name)
    if pretrained and checkpoint_path:
        raise ValueError("pretrained and checkpoint_path are two sources of weights: give one of them.")
    checkpoint = None
    if pretrained:
        checkpoint = read_published(find_weights(name, None if pretrained is True else pretrained))
    elif checkpoint_path:
        checkpoint = read_weights(checkpoint_path)
        check_fits(checkpoint, model=name)
    if out_indices is not None and not features_only:
        raise ValueError("out_indices goes with features_only=True.")
    for label, count, least in (("num_classes", num_classes, 0), ("in_channels", in_channels, 1)):
        if count < least:
            raise ValueError(f"{label} must be at least {least}, got {count}.")
    model = build_model(
        name,
        checkpoint,
        num_classes=num_classes,
        in_channels=in_channels,
        drop_rate=drop_rate,
        drop_path_rate=drop_path_rate,
        drop_block_rate=drop_block_rate,
        device_forms=device_forms,
        **arch,
    )
    if checkpoint:
        load_weights(model, checkpoint, adapt=True)
    return FeatureExtractor(model, out_indices) if features_only else model


def build_model(
    name: str,
    checkpoint: Checkpoint | None = None,
    *,
    num_classes: int,
    in_channels: int,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    drop_block_rate: float = 0.0,
    device_forms: bool = True,
    **arch: Any,
) -> Classifier:
    """The network that `create_model` loads weights into: the variant that the checkpoint's weights were made for.

    Its attribute `description` is the model's description in checkpoints: name, num_classes, in_channels, and in
    `arch` the keywords that make the variant.
    """
    arch = {**(variant(checkpoint, name) if checkpoint else {}), **arch}
    sizes = {"num_classes": num_classes, "in_channels": in_channels}
    rates = {"drop_rate": drop_rate, "drop_path_rate": drop_path_rate, "drop_block_rate": drop_block_rate}
    try:
        model = MODELS.get(name)(**sizes, **{key: rate for key, rate in rates.items() if rate}, **arch)
    except TypeError as error:
        raise ValueError(f"{name} does not take these arguments: {error}") from error
    model.description = {"model": name, **sizes, "arch": arch}
    return optimize_for_cpu(model) if device_forms and on_cpu() else model


def default_cfg(name: str) -> Preprocessing:
    """The images that a registered network is made for.

    Raises:
        ValueError: for an unknown name.
    """
    return MODELS.get(name).default_cfg


def list_models(pattern: str = "*", pretrained: bool = False) -> list[str]:
    """Names of the registered networks that match a shell-style wildcard such as "sk*", sorted.

    Args:
        pretrained: only those for which weights are published.
    """
    names = set(MODELS.names()) & pretrained_models() if pretrained else MODELS.names()
    return sorted(name for name in names if fnmatchcase(name, pattern))
