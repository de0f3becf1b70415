"""Products of feature maps, seen as rows of H * W numbers, with one number for each row.

On a CPU MindSpore 2.10 broadcasts by tables of indices, 16 bytes for each number of the result: 0.7 GB in a training
step of sknet50 at 224x224, batch 8. Repeating the factor along its row (`Tile`) and multiplying what has one shape
takes no table, and less time: blending two large maps 0.5 to 0.7 of it forward, 0.7 to 0.9 with the gradient
(benchmarks/rows.py). The gradient is written out because that of `Tile` is slow. Other devices broadcast well.
"""

from mindspore import Tensor, nn, ops

from mindcv.runtime import on_cpu


class ScaleRows(nn.Cell):
    """rows * scale: (N, L), (N, 1) -> (N, L)."""

    def construct(self, rows: Tensor, scale: Tensor) -> Tensor:
        return rows * scale


class BlendRows(nn.Cell):
    """weight * first + (1 - weight) * second: (N, L), (N, L), (N, 1) -> (N, L)."""

    def construct(self, first: Tensor, second: Tensor, weight: Tensor) -> Tensor:
        return second + weight * (first - second)


class TiledScaleRows(nn.Cell):
    """`ScaleRows` for a CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.tile = ops.Tile()

    def construct(self, rows: Tensor, scale: Tensor) -> Tensor:
        return rows * self.tile(scale, (1, rows.shape[1]))

    def bprop(self, rows: Tensor, scale: Tensor, out: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        scale = ops.depend(scale, gradient)  # see TiledBlendRows
        return gradient * self.tile(scale, (1, rows.shape[1])), (gradient * rows).sum(-1, keepdims=True)


class TiledBlendRows(nn.Cell):
    """`BlendRows` for a CPU; one operator reads the three inputs and writes the result."""

    def __init__(self) -> None:
        super().__init__()
        self.tile = ops.Tile()
        self.interpolate = ops.Lerp()

    def construct(self, first: Tensor, second: Tensor, weight: Tensor) -> Tensor:
        return self.interpolate(second, first, self.tile(weight, (1, first.shape[1])))

    def bprop(
        self, first: Tensor, second: Tensor, weight: Tensor, out: Tensor, gradient: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        # A compiler that sees the same Tile twice keeps the first one's map from the forward pass on.
        weight = ops.depend(weight, gradient)
        to_first = gradient * self.tile(weight, (1, first.shape[1]))
        return to_first, gradient - to_first, (gradient * (first - second)).sum(-1, keepdims=True)


def scale_rows() -> nn.Cell:
    """The form of `ScaleRows` that suits the device."""
    return TiledScaleRows() if on_cpu() else ScaleRows()


def blend_rows() -> nn.Cell:
    """The form of `BlendRows` that suits the device."""
    return TiledBlendRows() if on_cpu() else BlendRows()
