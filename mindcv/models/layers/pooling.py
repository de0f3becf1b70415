"""Global average pooling."""

from mindspore import Tensor, ops

from mindcv.models.layers.layout import MapCell


class GlobalAverage(MapCell):
    """Mean over height and width: (B, C, H, W) -> (B, C).

    Args:
        keep_dims: -> (B, C, 1, 1).
    """

    def __init__(self, *, keep_dims: bool = False) -> None:
        super().__init__()
        self.keep_dims = keep_dims

    def construct(self, x: Tensor) -> Tensor:
        return ops.mean(x, self.space, self.keep_dims)
