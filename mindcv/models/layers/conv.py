"""Convolution, batch normalisation and ReLU: the one place that spells out padding, bias and momentum."""

from mindspore import Tensor, nn

from mindcv.models.layers.init import are_weights_drawn


def conv2d(
    in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Conv2d:
    """A convolution without bias that keeps the size at stride 1: its padding is dilation * (kernel_size - 1) / 2.

    Args:
        kernel_size: odd side length in pixels.
    """
    assert kernel_size % 2 == 1, kernel_size
    return nn.Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        stride,
        pad_mode="pad",
        padding=dilation * (kernel_size - 1) // 2,
        dilation=dilation,
        group=groups,
        has_bias=False,
        weight_init=None if are_weights_drawn() else "zeros",
    )


def batch_norm(num_features: int) -> nn.BatchNorm2d:
    """Batch normalisation as PyTorch's default: eps 1e-5; MindSpore's momentum 0.9 is PyTorch's 0.1."""
    return nn.BatchNorm2d(num_features, eps=1e-5, momentum=0.9)


class ConvNormAct(nn.Cell):
    """Convolution -> batch norm -> ReLU (left out with `act=False`): (B, C_in, H, W) -> (B, C_out, H/s, W/s)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        act: bool = True,
    ) -> None:
        super().__init__()
        self.conv = conv2d(in_channels, out_channels, kernel_size, stride=stride, dilation=dilation, groups=groups)
        self.bn = batch_norm(out_channels)
        self.act = nn.ReLU() if act else nn.Identity()

    def construct(self, x: Tensor) -> Tensor:
        return self.act(self.bn(self.conv(x)))
