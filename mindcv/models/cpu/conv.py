"""Convolutions on a CPU: small maps as one matrix product, and custom gradients."""

import functools

import numpy as np
from mindspore import Tensor, nn, ops

from mindcv.internals import Conv2DBackpropFilter
from mindcv.models.replace import SharedConv2d


def conv_form(conv: nn.Conv2d) -> nn.Conv2d | None:
    """The CPU form of a convolution that keeps the size at stride 1; None for others."""
    size, stride, dilation = conv.kernel_size[0], conv.stride[0], conv.dilation[0]
    square = (conv.kernel_size, conv.stride, conv.dilation) == ((size,) * 2, (stride,) * 2, (dilation,) * 2)
    if not square or size % 2 == 0 or (conv.pad_mode, conv.padding) != ("pad", dilation * (size - 1) // 2):
        return None
    return PointwiseConv2d(conv) if size == conv.group == 1 else SpatialConv2d(conv)


class SpatialConv2d(SharedConv2d):
    """A convolution larger than 1x1, or with groups: (B, C_in, H, W) -> (B, C_out, H/s, W/s).

    oneDNN convolves each image and group on its own, which is wasteful on the tiny maps of deep stages. There the layer
    is one matrix product for each group, from all (channel, position) pairs of the input to those of the output. On
    maps of 2x2 and 1x1 forward and backward take 0.1 to 0.5 of the time (where other programs compete for the cores,
    not if there are groups), on 4x4 at best 0.7, on 8x8 more than twice (benchmarks/formulations.py), hence the rule.
    On maps of 28x28 and larger, convolutions with groups have custom gradients: see `_Convolution`.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__(conv)
        self.max_matmul_pairs = 16  # of positions in and out
        self.min_area_of_own_gradient = 28 * 28
        self.geometry = conv.kernel_size[0], conv.stride[0], conv.dilation[0]
        self.convolve = (
            _Convolution(self) if Conv2DBackpropFilter and conv.stride[0] == 1 and conv.group > 1 else self.conv2d
        )
        self.multiply = ops.MatMul()
        self.multiply_transposed = ops.MatMul(transpose_b=True)
        self.multiply_groups = ops.BatchMatMul(transpose_b=True)

    def construct(self, x: Tensor) -> Tensor:
        kernel_size, stride, dilation = self.geometry
        height, width = x.shape[2:]
        out_height, out_width = (height + stride - 1) // stride, (width + stride - 1) // stride
        pairs = height * width * out_height * out_width
        if pairs > self.max_matmul_pairs:
            out = (self.convolve if height * width >= self.min_area_of_own_gradient else self.conv2d)(x, self.weight)
            return self.bias_add(out, self.bias) if self.has_bias else out
        # (C_out * C_in / G, k * k) taps of the kernel -> (G, C_out / G * positions, C_in / G * positions)
        rows, columns = self.out_channels // self.group, self.in_channels // self.group
        taps = ops.reshape(self.weight, (-1, kernel_size * kernel_size))
        matrix = self.multiply(taps, _tap_of_pair(kernel_size, stride, dilation, height, width))
        matrix = ops.reshape(matrix, (self.out_channels, columns, out_height * out_width, height * width))
        if out_height * out_width > 1:
            matrix = ops.transpose(matrix, (0, 2, 1, 3))
        if self.group == 1:
            matrix = ops.reshape(matrix, (rows * out_height * out_width, columns * height * width))
            out = self.multiply_transposed(ops.reshape(x, (-1, columns * height * width)), matrix)
        else:
            matrix = ops.reshape(matrix, (self.group, rows * out_height * out_width, columns * height * width))
            groups = ops.transpose(ops.reshape(x, (-1, self.group, columns * height * width)), (1, 0, 2))
            out = ops.transpose(self.multiply_groups(groups, matrix), (1, 0, 2))
        out = ops.reshape(out, (-1, self.out_channels, out_height, out_width))
        return out + ops.reshape(self.bias, (1, -1, 1, 1)) if self.has_bias else out


@ops.constexpr
def _tap_of_pair(kernel_size: int, stride: int, dilation: int, height: int, width: int) -> Tensor:
    """Which tap of the kernel connects an output with an input position: (k * k, H_out * W_out * H * W), 0 or 1."""
    return Tensor(_connections(kernel_size, stride, dilation, height, width))


@functools.lru_cache
def _connections(kernel_size: int, stride: int, dilation: int, height: int, width: int) -> np.ndarray:
    taps = dilation * (np.arange(kernel_size) - kernel_size // 2)

    def along(size: int) -> np.ndarray:  # (k, out, in)
        reached = stride * np.arange(-(-size // stride)) + taps[:, None]
        return (reached[:, :, None] == np.arange(size)).astype(np.float32)

    connections = np.einsum("ipy,jqx->ijpqyx", along(height), along(width))
    return connections.reshape(kernel_size * kernel_size, -1)


class PointwiseConv2d(SharedConv2d):
    """A 1x1 convolution: (B, C_in, H, W) -> (B, C_out, H/s, W/s).

    oneDNN multiplies each image on its own, and a small map with many channels makes that a product of a large matrix
    with a few columns. There the batch is joined into one image of B * H * W positions: forward and backward take 0.2
    to 0.8 of the time at 1x1 to 7x7 with 512 to 2048 channels; with larger maps or fewer channels the transposes cost
    more than they save (benchmarks/formulations.py), hence the rule. Forward alone gains up to 3x3, a fifth of that
    area. Other maps get their input gradient from `_Convolution`.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__(conv)
        self.max_area_to_join = min(conv.in_channels, conv.out_channels) // 20  # in training
        self.step = stride = conv.stride[0]
        # Every second row and column; a slice x[:, :, ::2, ::2] has a gradient that fails in Pynative (MindSpore 2.10).
        self.subsample = nn.AvgPool2d(1, stride, pad_mode="valid") if stride > 1 else nn.Identity()
        self.conv2d_of_all = ops.Conv2D(conv.out_channels, 1)
        self.convolve = _Convolution(self) if Conv2DBackpropFilter and stride == 1 else self.conv2d

    def construct(self, x: Tensor) -> Tensor:
        height, width = (x.shape[2] + self.step - 1) // self.step, (x.shape[3] + self.step - 1) // self.step
        if not self.joins(height * width):
            out = self.convolve(x, self.weight)
            return self.bias_add(out, self.bias) if self.has_bias else out
        x = ops.transpose(ops.reshape(self.subsample(x), (-1, self.in_channels, height * width)), (1, 0, 2))
        out = self.conv2d_of_all(ops.reshape(x, (1, self.in_channels, -1, 1)), self.weight)
        out = self.bias_add(out, self.bias) if self.has_bias else out
        out = ops.transpose(ops.reshape(out, (self.out_channels, -1, height * width)), (1, 0, 2))
        return ops.reshape(out, (-1, self.out_channels, height, width))

    def joins(self, area: int) -> bool:
        """Whether the images of a batch are joined for output maps of `area` positions."""
        return area <= (self.max_area_to_join if self.training else self.max_area_to_join // 5)


class _Convolution(nn.Cell):
    """A convolution of stride 1 that keeps the size, and its gradient.

    (B, C_in, H, W), (C_out, C_in / G, k, k) -> (B, C_out, H, W)

    - The gradient of the input is itself a convolution, with the kernels rotated by 180 degrees and in- and outputs
      exchanged. In that form oneDNN is as fast as in the forward pass; its own backward primitive is slower.
    - With few channels in a group the gradient of the weight is a product of narrow matrices. That of a convolution
      with a quarter of the groups holds the wanted numbers on its diagonal, in less time.

    A 1x1 convolution with its gradients takes 0.7 to 1.0 of the time on maps of 14x14 and larger, a 3x3 one with groups
    about 0.85 on 56x56 and 28x28 (benchmarks/formulations.py).
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = conv.conv2d
        self.in_channels, self.out_channels = conv.in_channels, conv.out_channels
        groups, padding = conv.group, conv.padding
        self.kernel_size = kernel_size = conv.kernel_size[0]
        self.groups, self.merged = groups, 4 if groups % 4 == 0 and conv.in_channels // groups <= 4 else 1
        geometry = {"pad_mode": "pad", "pad": padding, "dilation": conv.dilation[0]}
        self.input_gradient = ops.Conv2D(conv.in_channels, kernel_size, group=groups, **geometry)
        self.weight_gradient = Conv2DBackpropFilter(
            self.out_channels,
            (kernel_size, kernel_size),
            pad_list=(padding,) * 4,
            group=groups // self.merged,
            **geometry,
        )
        self.turn = ops.ReverseV2([3])
        diagonal = np.eye(self.merged, dtype=np.float32).reshape(1, self.merged, 1, self.merged, 1)
        self.diagonal = Tensor(diagonal)

    def construct(self, x: Tensor, weight: Tensor) -> Tensor:
        return self.convolution(x, weight)

    def bprop(self, x: Tensor, weight: Tensor, out: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        return self.input_gradient(gradient, self.adjoint(weight)), self.to_weight(x, weight, gradient)

    def adjoint(self, weight: Tensor) -> Tensor:
        """(C_out, C_in / G, k, k) -> (C_in, C_out / G, k, k)."""
        if self.groups == self.kernel_size == 1:
            return ops.transpose(weight, (1, 0, 2, 3))
        per_group = self.out_channels // self.groups, self.in_channels // self.groups
        kernels = ops.transpose(ops.reshape(weight, (self.groups, *per_group, self.kernel_size**2)), (0, 2, 1, 3))
        return ops.reshape(self.turn(kernels), (self.in_channels, -1, self.kernel_size, self.kernel_size))

    def to_weight(self, x: Tensor, weight: Tensor, gradient: Tensor) -> Tensor:
        if self.merged == 1:
            return self.weight_gradient(gradient, x, weight.shape)
        rows, columns = self.out_channels // self.groups, weight.shape[1]
        shape = (self.out_channels, self.merged * columns, self.kernel_size, self.kernel_size)
        blocks = ops.reshape(
            self.weight_gradient(gradient, x, shape),
            (-1, self.merged, rows, self.merged, columns * self.kernel_size**2),
        )
        return ops.reshape((blocks * self.diagonal).sum(3), weight.shape)
