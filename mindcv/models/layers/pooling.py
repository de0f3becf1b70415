"""Global average pooling."""

from mindspore import Tensor, ops


def global_average(x: Tensor) -> Tensor:
    """Mean over height and width: (B, C, H, W) -> (B, C).

    Summing the last axis of a (B * C, H * W) view is three to four times faster on a CPU than `mean((2, 3))`, forward
    and backward, and the same function (benchmarks/sk_layer.py).
    """
    _, channels, height, width = x.shape
    total = ops.reshape(x, (-1, height * width)).sum(
        -1
    )  # -1: an exported network's batch size is known only at run time
    return ops.reshape(total, (-1, channels)) * (1.0 / (height * width))
