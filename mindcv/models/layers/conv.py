"""Convolution, batch normalisation and ReLU: the one place that spells out padding, bias and momentum."""

from mindspore import Tensor, nn, ops

from mindcv.runtime import on_cpu


def conv2d(
    in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Conv2d:
    """A convolution without bias that keeps the size at stride 1: its padding is dilation * (kernel_size - 1) / 2.

    Args:
        kernel_size: odd side length in pixels.
    """
    assert kernel_size % 2 == 1, kernel_size
    if kernel_size == 1 and groups == 1:
        return PointwiseConv2d(in_channels, out_channels, stride)
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
    )


class PointwiseConv2d(nn.Conv2d):
    """A 1x1 convolution: (B, C_in, H, W) -> (B, C_out, H/s, W/s). Built without bias; folding a batch norm adds one.

    On a CPU, oneDNN multiplies each image on its own, and a small map with many channels makes that a product of a
    large matrix with a few columns. There the whole batch goes through one matrix product: forward and backward take
    0.15 to 0.9 of the time at 1x1 to 7x7 with 512 to 2048 channels; with larger maps or fewer channels they take longer
    than the convolution (benchmarks/pointwise_conv.py), hence the rule.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, 1, stride, pad_mode="valid", has_bias=False)
        self.max_matmul_area = min(in_channels, out_channels) // 20 if on_cpu() else 0
        self.step = stride
        # Every second row and column; a slice x[:, :, ::2, ::2] has a gradient that fails in Pynative (MindSpore 2.10).
        self.subsample = nn.AvgPool2d(1, stride, pad_mode="valid") if stride > 1 else nn.Identity()
        self.matmul = ops.MatMul(transpose_b=True)

    def construct(self, x: Tensor) -> Tensor:
        height, width = (x.shape[2] + self.step - 1) // self.step, (x.shape[3] + self.step - 1) // self.step
        if height * width > self.max_matmul_area:
            out = self.conv2d(x, self.weight)
            return self.bias_add(out, self.bias) if self.has_bias else out
        x = self.subsample(x)
        if height * width == 1:
            return ops.reshape(self.multiply(ops.reshape(x, (-1, self.in_channels))), (-1, self.out_channels, 1, 1))
        rows = ops.reshape(ops.transpose(x, (0, 2, 3, 1)), (-1, self.in_channels))  # (B * H * W, C_in)
        out = ops.reshape(self.multiply(rows), (-1, height, width, self.out_channels))
        return ops.transpose(out, (0, 3, 1, 2))

    def multiply(self, rows: Tensor) -> Tensor:
        """(N, C_in) -> (N, C_out)."""
        out = self.matmul(rows, ops.reshape(self.weight, (self.out_channels, self.in_channels)))
        return out + self.bias if self.has_bias else out


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
