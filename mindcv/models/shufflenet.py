"""ShuffleNetV2, plain and with squeeze-and-excitation or selective kernels: the SKNet paper's light networks.

Sources: Ma et al. 2018, https://arxiv.org/abs/1807.11164, section 4, figure 3 (c, d) and table 5, with the channels of
torchvision's implementation; Li et al. 2019, https://arxiv.org/abs/1903.06586, table 4. Where the additions sit is this
package's choice, as no published code of that table was found. Squeeze-and-excitation rescales the whole output of each
unit, as in code of the paper's first author (PytorchInsight, shufflenetv2_se.py). A selective kernel SK[M=2, r=16],
L=32, one group per channel, replaces the 3x3 convolution of each unit; the projections of the units with stride 2 keep
theirs.

Shapes: B batch, C channels, H x W space.
"""

from collections.abc import Callable
from functools import partial

from mindspore import Tensor, nn, ops

from mindcv.models.classifier import Classifier
from mindcv.models.factory import register_variants
from mindcv.models.layers import ConvNormAct, MapCell, SelectiveKernel, SqueezeExcite
from mindcv.models.layers.init import init_weights

_DEPTHWISE = partial(ConvNormAct, kernel_size=3, act=False)


class ShuffleUnit(MapCell):
    """Joins a branch and a shortcut, and shuffles their channels: (B, C_in, H, W) -> (B, C, H/s, W/s).

    With stride 1 the shortcut is the first half of the channels and the branch sees the second half; with stride 2 both
    see all channels, and the shortcut is a depthwise 3x3 and a 1x1 convolution.

    Args:
        out_channels: C, even; equal to C_in with stride 1.
        middle_conv: makes the branch's 3x3 convolution from (in_channels, out_channels, stride=, groups=).
        attention: makes a layer that rescales the output from its number of channels, or None.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int,
        middle_conv: Callable[..., nn.Cell] = _DEPTHWISE,
        attention: Callable[[int], nn.Cell] | None = None,
    ) -> None:
        super().__init__()
        assert out_channels % 2 == 0 and (stride == 2 or in_channels == out_channels), (in_channels, out_channels)
        self.out_channels, self.half, self.splits = out_channels, out_channels // 2, stride == 1
        self.shortcut: nn.Cell = nn.Identity()
        if not self.splits:
            depthwise = _DEPTHWISE(in_channels, in_channels, stride=stride, groups=in_channels)
            self.shortcut = nn.SequentialCell([depthwise, ConvNormAct(in_channels, self.half, 1)])
        self.conv1 = ConvNormAct(self.half if self.splits else in_channels, self.half, 1)
        self.conv2 = middle_conv(self.half, self.half, stride=stride, groups=self.half)
        self.conv3 = ConvNormAct(self.half, self.half, 1)
        self.attention = attention(out_channels) if attention else nn.Identity()

    def construct(self, x: Tensor) -> Tensor:
        axis = self.channel_axis
        first, second = ops.split(x, self.half, axis=axis) if self.splits else (x, x)
        branch = self.conv3(self.conv2(self.conv1(second)))
        # Concatenation and shuffle in one: channel i of the shortcut is followed by channel i of the branch.
        pairs = ops.stack((self.shortcut(first), branch), axis=axis + 1)
        shape = (-1, *branch.shape[1:axis], self.out_channels, *branch.shape[axis + 1 :])
        return self.attention(ops.reshape(pairs, shape))


class ShuffleNetV2(Classifier):
    """ShuffleNetV2: (B, in_channels, H, W) float images -> (B, num_classes) logits.

    The last stage is the 1x1 convolution before the global average ("Conv5").

    Args:
        channels: of the stem, of the three stages of units, and of the last convolution.
        layers: number of units of each stage.
        drop_rate: dropout before the classifier.
        drop_path_rate: must be 0.
        middle_conv, attention: see ShuffleUnit.
    Raises:
        ValueError: for another `drop_path_rate`.
    """

    def __init__(
        self,
        channels: tuple[int, ...],
        layers: tuple[int, ...] = (4, 8, 4),
        *,
        num_classes: int = 1000,
        in_channels: int = 3,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        middle_conv: Callable[..., nn.Cell] = _DEPTHWISE,
        attention: Callable[[int], nn.Cell] | None = None,
    ) -> None:
        if drop_path_rate != 0.0:
            raise ValueError(
                f"drop_path_rate must be 0 for ShuffleNetV2, got {drop_path_rate}: its units have no residual branch "
                "to leave out. Use drop_rate."
            )
        stem, *widths, last = channels
        stages: list[list[nn.Cell]] = []
        width = stem
        for out_channels, depth in zip(widths, layers, strict=True):
            units = []
            for position in range(depth):
                stride = 2 if position == 0 else 1
                unit = ShuffleUnit(width, out_channels, stride=stride, middle_conv=middle_conv, attention=attention)
                units.append(unit)
                width = out_channels
            stages.append(units)
        strides = [8 * 2**stage for stage in range(len(stages))]
        super().__init__(
            ConvNormAct(in_channels, stem, 3, stride=2),
            nn.MaxPool2d(3, 2, pad_mode="pad", padding=1),
            [*stages, [ConvNormAct(width, last, 1)]],
            feature_channels=channels,
            feature_strides=[2, *strides, strides[-1]],
            num_classes=num_classes,
            drop_rate=drop_rate,
        )
        init_weights(self)


_X0_5 = {"channels": (24, 48, 96, 192, 1024)}
_X1_0 = {"channels": (24, 116, 232, 464, 1024)}
_SE = {"attention": SqueezeExcite}
_SK = {"middle_conv": SelectiveKernel}

register_variants(
    ShuffleNetV2,
    {
        "shufflenet_v2_x0_5": _X0_5,
        "shufflenet_v2_x1_0": _X1_0,
        "shufflenet_v2_x1_5": {"channels": (24, 176, 352, 704, 1024)},
        "shufflenet_v2_x2_0": {"channels": (24, 244, 488, 976, 2048)},
        "seshufflenet_v2_x0_5": {**_X0_5, **_SE},
        "seshufflenet_v2_x1_0": {**_X1_0, **_SE},
        "skshufflenet_v2_x0_5": {**_X0_5, **_SK},
        "skshufflenet_v2_x1_0": {**_X1_0, **_SK},
    },
)
