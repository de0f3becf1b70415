"""Squeeze-and-excitation: Hu et al. 2018, https://arxiv.org/abs/1709.01507."""

from mindspore import Tensor, nn, ops

from mindcv.models.layers.pooling import global_average


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

    def construct(self, x: Tensor) -> Tensor:
        gate = ops.relu(self.reduce(global_average(x)))  # (B, C) -> (B, hidden)
        gate = ops.sigmoid(self.expand(gate))  # (B, C)
        # The product on a (B * C, H * W) view keeps the reduction in its gradient on the last axis, which is fast.
        batch, channels, height, width = x.shape
        flat = ops.reshape(x, (batch * channels, height * width)) * ops.reshape(gate, (batch * channels, 1))
        return ops.reshape(flat, (batch, channels, height, width))
