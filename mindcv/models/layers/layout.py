"""Where a feature map has its channels: (B, C, H, W), or with channels last (B, H, W, C)."""

from mindspore import Tensor, nn, ops


class MapCell(nn.Cell):
    """A cell that depends on the axes of its feature maps; see `use_channels_last`.

    Attributes:
        channel_axis: 1 for maps of (B, C, H, W), 3 for maps of (B, H, W, C).
        space: the axes of height and width.
    """

    channel_axis: int = 1
    space: tuple[int, int] = (2, 3)

    def put_channels_last(self) -> None:
        """Take and give maps of (B, H, W, C) from now on."""
        self.channel_axis, self.space = 3, (1, 2)

    def per_channel(self, values: Tensor, channels: int) -> Tensor:
        """`channels` values of each example -> (B, C, 1, 1), or with channels last (B, 1, 1, C)."""
        return ops.reshape(values, (-1, channels, 1, 1) if self.channel_axis == 1 else (-1, 1, 1, channels))
