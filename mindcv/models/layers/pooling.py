"""Global average pooling."""

from mindspore import Tensor, nn, ops


class GlobalAverage(nn.Cell):
    """Mean over height and width: (B, C, H, W) -> (B, C)."""

    def construct(self, x: Tensor) -> Tensor:
        return ops.mean(x, (2, 3))
