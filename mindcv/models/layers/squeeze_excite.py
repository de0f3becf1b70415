"""Squeeze-and-excitation: Hu et al. 2018, https://arxiv.org/abs/1709.01507."""

from mindspore import Tensor, nn, ops

from mindcv.models.layers.pooling import global_average
from mindcv.models.layers.rows import scale_rows


class SqueezeExcite(nn.Cell):
    """Scales each channel by a gate computed from all of them: (B, C, H, W) -> (B, C, H, W).

    Args:
        channels: C.
        reduction: the hidden layer has C / reduction units (paper section 3: r = 16), a multiple of 8.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(8, int(channels / reduction + 4) // 8 * 8)
        self.reduce = nn.Dense(channels, hidden)
        self.expand = nn.Dense(hidden, channels)
        self.scale = scale_rows()

    def construct(self, x: Tensor) -> Tensor:
        gate = ops.relu(self.reduce(global_average(x)))  # (B, C) -> (B, hidden)
        gate = ops.sigmoid(self.expand(gate))  # (B, C)
        # -1 is the batch size times the channels: an exported network's batch size is known only at run time.
        _, channels, height, width = x.shape
        scaled = self.scale(ops.reshape(x, (-1, height * width)), ops.reshape(gate, (-1, 1)))
        return ops.reshape(scaled, (-1, channels, height, width))
