"""The contract of every registered network: a stem, stages of blocks, and a classifier."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from mindspore import Tensor, nn, ops

from mindcv.arguments import CROP_PCT, IMAGE_RESIZE, MEAN, STD
from mindcv.models.layers import Dropout, GlobalAverage, MapCell


class Preprocessing(NamedTuple):
    """The images that a network is made for, unless its weights say otherwise; names and units as in the options."""

    image_resize: int = IMAGE_RESIZE.default
    mean: tuple[float, ...] = MEAN.default
    std: tuple[float, ...] = STD.default
    crop_pct: float = CROP_PCT.default


IMAGENET = Preprocessing()
CIFAR = Preprocessing(32, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), 1.0)


class Classifier(MapCell):
    """A network of stages: (B, in_channels, H, W) float images -> (B, num_classes) logits.

    A family is a subclass that makes these parts and is registered with `register_variants`. Parameter names begin
    with `stem`, `stages` and `classifier`. Finetuning, recomputing, layer-wise learning rates and feature extraction
    rely on this class only.

    Args:
        stem: (B, in_channels, H, W) -> the first feature map.
        pool: the layer between the stem and the stages.
        stages: the blocks of each stage.
        feature_channels, feature_strides: of the stem's and each stage's feature map.
        num_classes: 0 leaves the classifier out.
        drop_rate: dropout before the classifier.

    Attributes:
        num_features: channels of the last feature map.
        default_cfg: the images that this variant is made for.
        description: of the network, for checkpoints; see `build_model`.
    """

    default_cfg: Preprocessing = IMAGENET
    description: dict[str, Any]

    def __init__(
        self,
        stem: nn.Cell,
        pool: nn.Cell,
        stages: Sequence[Sequence[nn.Cell]],
        *,
        feature_channels: Sequence[int],
        feature_strides: Sequence[int],
        num_classes: int,
        drop_rate: float,
    ) -> None:
        super().__init__()
        assert len(feature_channels) == len(feature_strides) == 1 + len(stages)
        self.num_classes = num_classes
        self.feature_channels, self.feature_strides = tuple(feature_channels), tuple(feature_strides)
        self.num_features = self.feature_channels[-1]
        self.stem, self.pool = stem, pool
        self.stages = nn.CellList([nn.SequentialCell(list(blocks)) for blocks in stages])
        self.average = GlobalAverage()
        self.dropout = Dropout(drop_rate, seed=sum(map(len, stages))) if drop_rate else nn.Identity()
        self.classifier = nn.Dense(self.num_features, num_classes) if num_classes else nn.Identity()

    def construct(self, x: Tensor) -> Tensor:
        return self._head(self._features(self._enter(x)))

    def forward_features(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, num_features, H', W'), the last feature map."""
        return self._leave(self._features(self._enter(x)))

    def forward_head(self, x: Tensor) -> Tensor:
        """The last feature map -> (B, num_classes) logits; (B, num_features) with num_classes=0."""
        return self._head(self._enter(x))

    def forward_intermediates(self, x: Tensor) -> tuple[Tensor, ...]:
        """The feature maps of the stem and of every stage, at `feature_strides` with `feature_channels`."""
        x = self.stem(self._enter(x))
        features: tuple[Tensor, ...] = (self._leave(x),)
        x = self.pool(x)
        for stage in self.stages:
            x = stage(x)
            features += (self._leave(x),)
        return features

    def depth_groups(self) -> list[list[str]]:
        """Names of the trainable parameters from the input to the output: stem, one group per block, classifier."""
        groups = [[p.name for p in self.stem.trainable_params()]]
        groups += [[p.name for p in block.trainable_params()] for stage in self.stages for block in stage]
        return [*groups, [p.name for p in self.classifier.trainable_params()]]

    # Maps have their channels last between `_enter` and `_leave` after `use_channels_last`.

    def _features(self, x: Tensor) -> Tensor:
        x = self.pool(self.stem(x))
        for stage in self.stages:
            x = stage(x)
        return x

    def _head(self, x: Tensor) -> Tensor:
        return self.classifier(self.dropout(self.average(x)))

    def _enter(self, x: Tensor) -> Tensor:
        return x if self.channel_axis == 1 else ops.transpose(x, (0, 2, 3, 1))

    def _leave(self, x: Tensor) -> Tensor:
        return x if self.channel_axis == 1 else ops.transpose(x, (0, 3, 1, 2))
