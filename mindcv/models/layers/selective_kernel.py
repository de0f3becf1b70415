"""Selective kernel convolution: Li et al. 2019, https://arxiv.org/abs/1903.06586, section 3.1 and figure 1.

Shapes: B batch, M branches, C channels, H x W space after the stride, d reduced channels.
"""

from mindspore import Tensor, nn, ops

from mindcv.models.layers.conv import ConvNormAct, batch_norm, conv2d
from mindcv.models.layers.layout import MapCell
from mindcv.models.layers.pooling import GlobalAverage


class SKSplit(MapCell):
    """Split: M grouped 3x3 convolutions with dilation 1, 2, ..., M (receptive fields 3, 5, ..., 2M + 1).

    (B, C_in, H_in, W_in) -> M feature maps of (B, C, H, W).

    Args:
        branches: M.
        split_input: each branch gets its own C_in / M channels instead of all of them. This is timm's variation for
            networks without groups, not the paper's; it keeps the parameter count near that of one convolution.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        branches: int = 2,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        split_input: bool = False,
    ) -> None:
        super().__init__()
        if split_input and in_channels % branches:
            raise ValueError(f"split_input needs input channels divisible by {branches} branches, got {in_channels}.")
        self.split_input = split_input
        self.branch_channels = in_channels // branches if split_input else in_channels
        self.branches = nn.CellList(
            [
                ConvNormAct(
                    self.branch_channels, out_channels, 3, stride=stride, dilation=dilation * (m + 1), groups=groups
                )
                for m in range(branches)
            ]
        )

    def construct(self, x: Tensor) -> tuple[Tensor, ...]:
        inputs = (x,) * len(self.branches)
        if self.split_input:
            inputs = ops.split(x, self.branch_channels, axis=self.channel_axis)
        features: tuple[Tensor, ...] = ()
        for m, branch in enumerate(self.branches):
            features += (branch(inputs[m]),)
        return features


class SKFuse(nn.Cell):
    """Fuse: the global average of all branches together, squeezed to d channels with batch norm and ReLU.

    M feature maps of (B, C, H, W) -> (B, d, 1, 1). Paper equations 1 to 3.
    """

    def __init__(self, channels: int, reduced_channels: int) -> None:
        super().__init__()
        self.average = GlobalAverage(keep_dims=True)
        self.conv = conv2d(channels, reduced_channels, 1)
        self.bn = batch_norm(reduced_channels)

    def construct(self, features: tuple[Tensor, ...]) -> Tensor:
        fused = features[0]
        for feature in features[1:]:
            fused = fused + feature
        return ops.relu(self.bn(self.conv(self.average(fused))))


class SKSelect(MapCell):
    """Select: attention over the branches for every channel, and the weighted sum of the branches.

    Paper equations 5 and 6, written for any M.
    """

    def __init__(self, channels: int, reduced_channels: int, branches: int) -> None:
        super().__init__()
        self.branches = branches
        self.channels = channels
        self.conv = conv2d(reduced_channels, branches * channels, 1)
        # As in the Caffe models of the paper: training begins near the plain average of the branches.
        self.conv.initial_deviation = 0.01

    def attention(self, descriptor: Tensor) -> Tensor:
        """(B, d, 1, 1) -> (B, M, C), a softmax over the branches: sums to 1 over M."""
        logits = ops.reshape(self.conv(descriptor), (-1, self.branches, self.channels))
        return ops.softmax(logits, axis=1)

    def construct(self, features: tuple[Tensor, ...], descriptor: Tensor) -> Tensor:
        """M maps of (B, C, H, W) and the descriptor (B, d, 1, 1) -> (B, C, H, W)."""
        # Factors of (B, C, 1, 1), B as -1, export with an open batch size, and suit onnxruntime's blocks of channels.
        weights = self.per_channel(self.attention(descriptor), self.branches * self.channels)
        weights = ops.split(weights, self.channels, axis=self.channel_axis)
        selected = features[0] * weights[0]
        for m in range(1, self.branches):
            selected = selected + features[m] * weights[m]
        return selected


class SelectiveKernel(nn.Cell):
    """SK convolution: (B, C_in, H_in, W_in) -> (B, C, H, W). SK[M, G, r] in the paper.

    Args:
        branches: M, the number of kernels to choose from, at least 2.
        groups: G of each branch's convolution.
        reduction: r; the attention works in d = max(C / r, L) channels.
        min_reduced_channels: L.
        split_input: see SKSplit.
    Raises:
        ValueError: for fewer than two branches.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        branches: int = 2,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        reduction: int = 16,
        min_reduced_channels: int = 32,
        split_input: bool = False,
    ) -> None:
        super().__init__()
        if branches < 2:
            raise ValueError(f"a selective kernel chooses between at least 2 branches, got {branches}.")
        reduced = max(out_channels // reduction, min_reduced_channels)
        self.split = SKSplit(
            in_channels,
            out_channels,
            branches=branches,
            stride=stride,
            dilation=dilation,
            groups=groups,
            split_input=split_input,
        )
        self.fuse = SKFuse(out_channels, reduced)
        self.select = SKSelect(out_channels, reduced, branches)

    def construct(self, x: Tensor) -> Tensor:
        features = self.split(x)
        descriptor = self.fuse(features)
        return self.select(features, descriptor)

    def attention(self, x: Tensor) -> Tensor:
        """The weights `construct` gives each branch and channel: (B, C_in, H_in, W_in) -> (B, M, C)."""
        return self.select.attention(self.fuse(self.split(x)))
