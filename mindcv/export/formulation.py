"""Layers written so that both export formats have their operators and the batch size can stay open.

Attention is written with (B, C, 1, 1) factors: onnxruntime keeps feature maps in blocks of channels as long as nothing
gives them another shape, and takes 0.93 of the time that it takes for the rows that suit MindSpore (sknet50, batch 8).

Small maps are convolved like all others: joined images and matrix products suit MindSpore on a CPU, where the file may
never run; onnxruntime takes 0.8 of the time for one image of 32x32 without them, 1.07 for 32 images.

Everything else in a network exports as it is.
"""

from mindspore import Tensor, nn, ops

from mindcv.models.inference import inference_pool, replace_cells
from mindcv.models.layers import SqueezeExcite
from mindcv.models.layers.conv import PointwiseConv2d, SpatialConv2d
from mindcv.models.layers.pooling import ArgmaxPool
from mindcv.models.layers.selective_kernel import SKFuse, SKSelect


class ExportableSqueezeExcite(nn.Cell):
    """(B, C, H, W) -> (B, C, H, W), with the weights of a `SqueezeExcite`."""

    def __init__(self, layer: SqueezeExcite) -> None:
        super().__init__()
        self.reduce, self.expand = layer.reduce, layer.expand

    def construct(self, x: Tensor) -> Tensor:
        gate = ops.relu(self.reduce(ops.reshape(_average(x), (-1, x.shape[1]))))
        gate = ops.sigmoid(self.expand(gate))
        return x * ops.reshape(gate, (-1, x.shape[1], 1, 1))


class ExportableFuse(nn.Cell):
    """M maps of (B, C, H, W) -> (B, d, 1, 1), with the weights of an `SKFuse`."""

    def __init__(self, layer: SKFuse) -> None:
        super().__init__()
        self.conv, self.bn = layer.conv, layer.bn

    def construct(self, features: tuple[Tensor, ...]) -> Tensor:
        fused = features[0]
        for feature in features[1:]:
            fused = fused + feature
        return ops.relu(self.bn(self.conv(_average(fused))))


class ExportableSelect(nn.Cell):
    """M maps of (B, C, H, W) and (B, d, 1, 1) -> (B, C, H, W), with the weights of an `SKSelect`."""

    def __init__(self, layer: SKSelect) -> None:
        super().__init__()
        self.conv, self.branches, self.channels = layer.conv, layer.branches, layer.channels

    def construct(self, features: tuple[Tensor, ...], descriptor: Tensor) -> Tensor:
        logits = self.conv(descriptor)  # (B, M * C, 1, 1)
        if self.branches == 2:
            first_logit, second_logit = ops.split(logits, self.channels, 1)
            return features[1] + ops.sigmoid(first_logit - second_logit) * (features[0] - features[1])
        weights = ops.softmax(ops.reshape(logits, (-1, self.branches, self.channels)), axis=1)
        weights = ops.split(ops.reshape(weights, (-1, self.branches * self.channels, 1, 1)), self.channels, 1)
        selected = features[0] * weights[0]
        for m in range(1, self.branches):
            selected = selected + features[m] * weights[m]
        return selected


def _average(x: Tensor) -> Tensor:
    """Mean over height and width: (B, C, H, W) -> (B, C, 1, 1)."""
    size = x.shape[2:]
    return ops.AvgPool(size, size, "valid")(x)


_FORMULATIONS = {SqueezeExcite: ExportableSqueezeExcite, SKFuse: ExportableFuse, SKSelect: ExportableSelect}


def make_exportable(network: nn.Cell) -> nn.Cell:
    """Replace in place what does not export; the network computes what it did.

    Args:
        network: not run yet: a compiled graph would not notice the change.
    Raises:
        ValueError: for a pooling layer that no formulation exists for.
    """
    replace_cells(network, _exportable)
    for _, cell in network.cells_and_names():
        if isinstance(cell, PointwiseConv2d):
            cell.max_area_to_join = 0
        if isinstance(cell, SpatialConv2d):
            cell.max_matmul_pairs = 0
    return network


def _exportable(cell: nn.Cell) -> nn.Cell | None:
    """The cell to put in the place of one that does not export; None to leave it."""
    for kind, exportable in _FORMULATIONS.items():
        if isinstance(cell, kind):
            return exportable(cell)
    if isinstance(cell, ArgmaxPool) or (isinstance(cell, nn.MaxPool2d) and cell.use_pad):
        pool = inference_pool(cell)
        if pool is None:
            raise ValueError(
                f"{cell} cannot be exported: of the padded max poolings only those with padding=1, and no dilation or "
                "ceil_mode, have a formulation that can."
            )
        return pool
    return None
