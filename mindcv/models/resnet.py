"""ResNet, ResNeXt and SE-ResNet: residual networks of composable blocks.

Sources: He et al. 2016, https://arxiv.org/abs/1512.03385 (stride in the 3x3 convolution, as torchvision and timm have
it); Xie et al. 2017, https://arxiv.org/abs/1611.05431; Hu et al. 2018, https://arxiv.org/abs/1709.01507.

Shapes: B batch, C channels, H x W space.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from mindspore import Tensor, nn

from mindcv.models.classifier import Classifier
from mindcv.models.factory import register_variants
from mindcv.models.layers import ConvNormAct, DropBlock, DropPath, SqueezeExcite
from mindcv.models.layers.init import init_weights

DROP_BLOCK_SEEDS = 1000  # first seed of these layers: those of stochastic depth count from 0
_CONV_3X3 = partial(ConvNormAct, kernel_size=3)


class BasicBlock(nn.Cell):
    """Two 3x3 convolutions and a shortcut: (B, C_in, H, W) -> (B, planes, H/s, W/s).

    Args:
        first_conv: makes the first convolution from (in_channels, out_channels, stride=); the SK networks put a
            selective kernel here.
    """

    expansion = 1

    def __init__(
        self,
        in_channels: int,
        planes: int,
        *,
        stride: int,
        shortcut: nn.Cell,
        drop_block: nn.Cell,
        drop_path: nn.Cell,
        first_conv: Callable[..., nn.Cell] = _CONV_3X3,
    ) -> None:
        super().__init__()
        self.conv1 = first_conv(in_channels, planes, stride=stride)
        self.drop_block = drop_block
        self.conv2 = ConvNormAct(planes, planes, 3, act=False)
        self.drop_path = drop_path
        self.shortcut = shortcut
        self.act = nn.ReLU()

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        return self.conv2.bn

    def construct(self, x: Tensor) -> Tensor:
        residual = self.drop_path(self.conv2(self.drop_block(self.conv1(x))))
        return self.act(residual + self.shortcut(x))


class Bottleneck(nn.Cell):
    """1x1, 3x3 and 1x1 convolutions and a shortcut: (B, C_in, H, W) -> (B, 4 * planes, H/s, W/s).

    Args:
        groups: cardinality of the 3x3 convolution (ResNeXt's C).
        base_width: channels per group for 64 planes (ResNeXt's d); the 3x3 works on groups * planes * base_width / 64.
        middle_conv: makes the 3x3 convolution from (in_channels, out_channels, stride=, groups=); the SK networks put a
            selective kernel here.
        attention: makes a layer that rescales the residual branch from its number of channels, or None.
        first_act: ReLU after the first 1x1 convolution. False for MindCV's published SK networks, which were trained
            without it.
    """

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        planes: int,
        *,
        stride: int,
        shortcut: nn.Cell,
        drop_block: nn.Cell,
        drop_path: nn.Cell,
        groups: int = 1,
        base_width: int = 64,
        middle_conv: Callable[..., nn.Cell] = _CONV_3X3,
        attention: Callable[[int], nn.Cell] | None = None,
        first_act: bool = True,
    ) -> None:
        super().__init__()
        width = planes * base_width // 64 * groups
        out_channels = planes * self.expansion
        self.conv1 = ConvNormAct(in_channels, width, 1, act=first_act)
        self.conv2 = middle_conv(width, width, stride=stride, groups=groups)
        self.drop_block = drop_block
        self.conv3 = ConvNormAct(width, out_channels, 1, act=False)
        self.attention = attention(out_channels) if attention else nn.Identity()
        self.drop_path = drop_path
        self.shortcut = shortcut
        self.act = nn.ReLU()

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        return self.conv3.bn

    def construct(self, x: Tensor) -> Tensor:
        residual = self.drop_path(self.attention(self.conv3(self.drop_block(self.conv2(self.conv1(x))))))
        return self.act(residual + self.shortcut(x))


class ResNet(Classifier):
    """A residual network: (B, in_channels, H, W) float images -> (B, num_classes) logits.

    Args:
        block: the class of residual block.
        layers: number of blocks of each stage.
        planes: width of each stage before the block's expansion.
        stem: "conv7" (7x7, stride 2, then max pooling), "deep" (three 3x3, stride 2, then max pooling; ResNet-C/D) or
            "cifar" (one 3x3, stride 1, no pooling).
        stem_pool: how the stem's 3x3 max pooling of stride 2 is padded. "pad": one pixel on every side. "same": only as
            far as the last window reaches: for even sizes not at the top and left, so every window is one pixel further
            down and right; MindCV's published networks were trained with it.
        avg_down: shortcuts that halve the size average first (ResNet-D).
        drop_rate: dropout before the classifier.
        drop_path_rate: stochastic depth of the last block; earlier blocks have linearly less.
        drop_block_rate: DropBlock after the first 3x3 convolution of each block in the last two stages, with squares of
            5 and 3 pixels; a quarter of the rate in the former, as in timm.
        zero_init_last: start every residual branch at zero (Goyal et al. 2017, section 5.1), so that only the
            shortcuts contribute at first.
        **block_options: further keywords of every block, such as `groups`, `base_width` or `first_act` of Bottleneck.
    Raises:
        ValueError: for an unknown `stem_pool`.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        layers: tuple[int, ...],
        *,
        num_classes: int = 1000,
        in_channels: int = 3,
        planes: tuple[int, ...] = (64, 128, 256, 512),
        stem: str = "conv7",
        stem_pool: str = "pad",
        avg_down: bool = False,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        drop_block_rate: float = 0.0,
        zero_init_last: bool = True,
        **block_options: Any,
    ) -> None:
        num_blocks, expansion = sum(layers), block.expansion
        stem_cell, pool = _make_stem(stem, in_channels, stem_pool)
        channels, stride = 64, 1 if stem == "cifar" else 2
        feature_channels, feature_strides, stages = [channels], [stride], []
        index, stride = 0, 1 if stem == "cifar" else 4
        for stage, (width, depth) in enumerate(zip(planes, layers, strict=True)):
            blocks = []
            for position in range(depth):
                step = 2 if stage > 0 and position == 0 else 1
                rate = drop_path_rate * index / max(num_blocks - 1, 1)
                blocks.append(
                    block(
                        channels,
                        width,
                        stride=step,
                        shortcut=_make_shortcut(channels, width * expansion, step, avg_down),
                        drop_block=_make_drop_block(drop_block_rate, len(layers) - stage, seed=index),
                        drop_path=DropPath(rate, seed=index) if rate else nn.Identity(),
                        **block_options,
                    )
                )
                channels, index, stride = width * expansion, index + 1, stride * step
            stages.append(blocks)
            feature_channels.append(channels)
            feature_strides.append(stride)
        super().__init__(
            stem_cell,
            pool,
            stages,
            feature_channels=feature_channels,
            feature_strides=feature_strides,
            num_classes=num_classes,
            drop_rate=drop_rate,
        )
        init_weights(self)
        if zero_init_last:
            for blocks in stages:
                for residual_block in blocks:
                    residual_block.last_norm.gamma.set_data(residual_block.last_norm.gamma * 0)


def _make_stem(kind: str, in_channels: int, pool_padding: str) -> tuple[nn.Cell, nn.Cell]:
    """The first convolution(s) and the pooling that follows them, 64 channels."""
    if pool_padding not in ("pad", "same"):
        raise ValueError(f"stem_pool must be 'pad' or 'same', got {pool_padding!r}.")
    if kind == "cifar":
        return ConvNormAct(in_channels, 64, 3), nn.Identity()
    pool = nn.MaxPool2d(3, 2, pad_mode=pool_padding, padding=1 if pool_padding == "pad" else 0)
    if kind == "conv7":
        return ConvNormAct(in_channels, 64, 7, stride=2), pool
    assert kind == "deep", kind
    convs = [ConvNormAct(in_channels, 32, 3, stride=2), ConvNormAct(32, 32, 3), ConvNormAct(32, 64, 3)]
    return nn.SequentialCell(convs), pool


def _make_drop_block(rate: float, stages_left: int, seed: int) -> nn.Cell:
    """DropBlock for a block of the last stage (`stages_left` 1) or of the one before it (2); else the identity."""
    if rate == 0 or stages_left > 2:
        return nn.Identity()
    share, side = (1.0, 3) if stages_left == 1 else (0.25, 5)
    return DropBlock(share * rate, DROP_BLOCK_SEEDS + seed, side)


def _make_shortcut(in_channels: int, out_channels: int, stride: int, avg_down: bool) -> nn.Cell:
    """Identity where shapes agree, else a 1x1 projection; with `avg_down` 2x2 averaging takes the stride."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    if avg_down and stride == 2:
        # "same" averages the odd last row and column over what is there, as PyTorch does with ceil_mode and
        # count_include_pad=False.
        pool = nn.AvgPool2d(2, 2, pad_mode="same")
        return nn.SequentialCell([pool, ConvNormAct(in_channels, out_channels, 1, act=False)])
    return ConvNormAct(in_channels, out_channels, 1, stride=stride, act=False)


_RESNEXT = {"block": Bottleneck, "groups": 32, "base_width": 4}
_SE_RESNEXT = {**_RESNEXT, "attention": SqueezeExcite}

register_variants(
    ResNet,
    {
        "resnet18": {"block": BasicBlock, "layers": (2, 2, 2, 2)},
        "resnet34": {"block": BasicBlock, "layers": (3, 4, 6, 3)},
        "resnet50": {"block": Bottleneck, "layers": (3, 4, 6, 3)},
        "resnet101": {"block": Bottleneck, "layers": (3, 4, 23, 3)},
        "resnet152": {"block": Bottleneck, "layers": (3, 8, 36, 3)},
        "resnext50_32x4d": {**_RESNEXT, "layers": (3, 4, 6, 3)},
        "resnext101_32x4d": {**_RESNEXT, "layers": (3, 4, 23, 3)},
        "seresnet50": {"block": Bottleneck, "layers": (3, 4, 6, 3), "attention": SqueezeExcite},
        "seresnext50_32x4d": {**_SE_RESNEXT, "layers": (3, 4, 6, 3)},
        "seresnext101_32x4d": {**_SE_RESNEXT, "layers": (3, 4, 23, 3)},
    },
)
