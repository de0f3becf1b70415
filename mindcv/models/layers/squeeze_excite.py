"""Squeeze-and-excitation: Hu et al. 2018, https://arxiv.org/abs/1709.01507."""

from mindspore import Tensor, nn, ops

from mindcv.models.layers.layout import MapCell
from mindcv.models.layers.pooling import GlobalAverage


class SqueezeExcite(MapCell):
    """Scales each channel by a gate computed from all of them: (B, C, H, W) -> (B, C, H, W).

    Args:
        channels: C.
        reduction: the hidden layer has C / reduction units (paper section 3: r = 16), a multiple of 8.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(8, int(channels / reduction + 4) // 8 * 8)
        self.average = GlobalAverage()
        self.reduce = nn.Dense(channels, hidden)
        self.expand = nn.Dense(hidden, channels)

    def gate(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C), between 0 and 1."""
        return ops.sigmoid(self.expand(ops.relu(self.reduce(self.average(x)))))

    def construct(self, x: Tensor) -> Tensor:
        return x * self.per_channel(self.gate(x), x.shape[self.channel_axis])
