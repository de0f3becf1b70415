"""Attention on a CPU: feature maps as rows of H * W numbers, with one factor for each row.

MindSpore 2.10 broadcasts by tables of indices, 16 bytes for each number of the result: 0.7 GB in a training step of
sknet50 at 224x224, batch 8. Repeating the factor along its row (`Tile`) and multiplying tensors of one shape needs no
table and less time: blending two large maps 0.5 to 0.7 of it forward, 0.7 to 0.9 with the gradient
(benchmarks/formulations.py). The gradient is written out because that of `Tile` is slow.
"""

from mindspore import Tensor, nn, ops

from mindcv.models.layers import SqueezeExcite
from mindcv.models.layers.selective_kernel import SKSelect


class ScaleRows(nn.Cell):
    """rows * scale: (N, L), (N, 1) -> (N, L)."""

    def __init__(self) -> None:
        super().__init__()
        self.tile = ops.Tile()

    def construct(self, rows: Tensor, scale: Tensor) -> Tensor:
        return rows * self.tile(scale, (1, rows.shape[1]))

    def bprop(self, rows: Tensor, scale: Tensor, out: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        scale = ops.depend(scale, gradient)  # see BlendRows
        return gradient * self.tile(scale, (1, rows.shape[1])), (gradient * rows).sum(-1, keepdims=True)


class BlendRows(nn.Cell):
    """weight * first + (1 - weight) * second: (N, L), (N, L), (N, 1) -> (N, L).

    One operator reads the three inputs and writes the result.
    """

    def __init__(self) -> None:
        super().__init__()
        self.tile = ops.Tile()
        self.interpolate = ops.Lerp()

    def construct(self, first: Tensor, second: Tensor, weight: Tensor) -> Tensor:
        return self.interpolate(second, first, self.tile(weight, (1, first.shape[1])))

    def bprop(
        self, first: Tensor, second: Tensor, weight: Tensor, out: Tensor, gradient: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        # Without this the compiler merges both Tiles and keeps the map in memory from the forward pass on.
        weight = ops.depend(weight, gradient)
        to_first = gradient * self.tile(weight, (1, first.shape[1]))
        return to_first, gradient - to_first, (gradient * (first - second)).sum(-1, keepdims=True)


class RowSelect(SKSelect):
    """`SKSelect` on (B * C, H * W) views, with the weights of `layer`."""

    def __init__(self, layer: SKSelect) -> None:
        nn.Cell.__init__(self)
        self.branches, self.channels, self.conv = layer.branches, layer.channels, layer.conv
        self.blend, self.scale = BlendRows(), ScaleRows()

    def construct(self, features: tuple[Tensor, ...], descriptor: Tensor) -> Tensor:
        channels, height, width = features[0].shape[1:]
        rows = (-1, height * width)
        if self.branches == 2:
            # Softmax over two is the sigmoid of the difference: a third of the memory traffic, fuse and select about
            # twice as fast (benchmarks/formulations.py).
            first_logit, second_logit = ops.split(ops.reshape(self.conv(descriptor), (-1, 2 * channels)), channels, 1)
            weight = ops.reshape(ops.sigmoid(first_logit - second_logit), (-1, 1))
            selected = self.blend(ops.reshape(features[0], rows), ops.reshape(features[1], rows), weight)
        else:
            weights = self.attention(descriptor)
            selected = self.scale(ops.reshape(features[0], rows), ops.reshape(weights[:, 0], (-1, 1)))
            for m in range(1, self.branches):
                weight = ops.reshape(weights[:, m], (-1, 1))
                selected = selected + self.scale(ops.reshape(features[m], rows), weight)
        return ops.reshape(selected, (-1, channels, height, width))


class RowSqueezeExcite(SqueezeExcite):
    """`SqueezeExcite` on a (B * C, H * W) view, with the weights of `layer`."""

    def __init__(self, layer: SqueezeExcite) -> None:
        nn.Cell.__init__(self)
        self.average, self.reduce, self.expand = layer.average, layer.reduce, layer.expand
        self.scale = ScaleRows()

    def construct(self, x: Tensor) -> Tensor:
        _, channels, height, width = x.shape
        scaled = self.scale(ops.reshape(x, (-1, height * width)), ops.reshape(self.gate(x), (-1, 1)))
        return ops.reshape(scaled, (-1, channels, height, width))
