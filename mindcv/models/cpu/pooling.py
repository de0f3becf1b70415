"""Pooling on a CPU."""

import numpy as np
from mindspore import Tensor, nn, ops

from mindcv.models.layers import GlobalAverage


class RowAverage(GlobalAverage):
    """The mean over the last axis of a (B * C, H * W) view: three to four times as fast as over two axes, forward and
    backward (benchmarks/formulations.py).
    """

    def construct(self, x: Tensor) -> Tensor:
        _, channels, height, width = x.shape
        total = ops.reshape(x, (-1, height * width)).sum(-1)
        shape = (-1, channels, 1, 1) if self.keep_dims else (-1, channels)
        return ops.reshape(total, shape) * (1.0 / (height * width))


def pool_form(pool: nn.MaxPool2d) -> "ArgmaxPool | None":
    """The training form of a padded max pooling with square windows; None for others."""
    same = pool.pad_mode == "SAME"
    even = pool.use_pad and len(set(pool.padding[1:])) == 1 and not pool.return_indices and _is_plain(pool.max_pool)
    square = isinstance(pool.kernel_size, int) and isinstance(pool.stride, int)
    return ArgmaxPool(pool) if square and (same or even) else None


def _is_plain(pool: ops.Primitive) -> bool:
    return tuple(pool.dilation) == (1, 1, 1) and not pool.ceil_mode


class ArgmaxPool(nn.MaxPool2d):
    """A padded `nn.MaxPool2d` for training: (B, C, H, W) -> (B, C, H', W').

    MindSpore pools padded maps with a three-dimensional operator, others with one whose gradient is slow. The operator
    used here needs explicit padding, and takes 0.5 to 0.7 of the time of either, forward and backward
    (benchmarks/formulations.py).

    Its `pad_mode` is "PAD": the same padding on each side, or "SAME": as much as makes H' = ceil(H / stride), the odd
    pixel at the end.
    """

    def __init__(self, pool: nn.MaxPool2d) -> None:
        padding = pool.padding[1] if pool.use_pad else 0
        super().__init__(pool.kernel_size, pool.stride, pad_mode=pool.pad_mode.lower(), padding=padding)
        self.margin = padding
        self.argmax_pool = ops.MaxPoolWithArgmax(self.kernel_size, self.stride, "valid")  # "same" is sometimes wrong
        self.tile = ops.Tile()
        self.lowest = Tensor(np.full((1, 1, 1, 1), -np.inf, np.float32))

    def construct(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        above, below = self.padding_of(height)
        left, right = self.padding_of(width)
        x = self.join(x, (batch, channels, above, width), (batch, channels, below, width), 2)
        height += above + below
        x = self.join(x, (batch, channels, height, left), (batch, channels, height, right), 3)
        return self.argmax_pool(x)[0]

    def padding_of(self, size: int) -> tuple[int, int]:
        """Pixels before and after an axis; none after the last window."""
        if self.pad_mode == "SAME":
            padding = max((size - 1) // self.stride * self.stride + self.kernel_size - size, 0)
            return padding // 2, padding - padding // 2
        last = (size + 2 * self.margin - self.kernel_size) // self.stride * self.stride - self.margin
        return self.margin, max(last + self.kernel_size - size, 0)

    def join(self, x: Tensor, before: tuple[int, ...], after: tuple[int, ...], axis: int) -> Tensor:
        """Padding of these shapes before and after `x`."""
        lowest = self.lowest.astype(x.dtype)
        parts = [self.tile(lowest, before)] if before[axis] > 0 else []
        parts += [x]
        parts += [self.tile(lowest, after)] if after[axis] > 0 else []
        return ops.concat(parts, axis) if len(parts) > 1 else x
