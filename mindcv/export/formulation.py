"""Layers written so that both export formats have their operators and the batch size can stay open.

Everything else in a network exports as it is: convolutions, batch norm, selective kernels, average pooling.
"""

from mindspore import Tensor, nn, ops

from mindcv.models.layers import SqueezeExcite, global_average


class EdgePaddedMaxPool(nn.Cell):
    """Max pooling with one pixel of padding: (B, C, H, W) -> (B, C, H', W'), as `nn.MaxPool2d(..., padding=1)`.

    A window that reaches over the edge holds the edge pixels too, so repeating those changes no maximum, whatever the
    sign of the values. MindSpore's own padded pooling is a 3-d one (MaxPool3DWithArgmax), which ONNX lacks and whose
    output shape is lost when the batch size is open.
    """

    def __init__(self, kernel_size: int, stride: int) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(kernel_size, stride, pad_mode="valid")

    def construct(self, x: Tensor) -> Tensor:
        x = ops.cat((x[:, :, :1], x, x[:, :, -1:]), 2)
        x = ops.cat((x[:, :, :, :1], x, x[:, :, :, -1:]), 3)
        return self.pool(x)


class BroadcastSqueezeExcite(nn.Cell):
    """A squeeze-and-excitation layer that never computes with the batch size: (B, C, H, W) -> (B, C, H, W).

    Args:
        layer: whose weights it takes.
    """

    def __init__(self, layer: SqueezeExcite) -> None:
        super().__init__()
        self.reduce, self.expand = layer.reduce, layer.expand

    def construct(self, x: Tensor) -> Tensor:
        gate = ops.relu(self.reduce(global_average(x)))
        gate = ops.sigmoid(self.expand(gate))
        return x * ops.reshape(gate, (-1, x.shape[1], 1, 1))


def make_exportable(network: nn.Cell) -> nn.Cell:
    """Replace in place what does not export; the network computes what it did.

    Args:
        network: not run yet: a compiled graph would not notice the change.
    Raises:
        ValueError: for a pooling layer that no formulation exists for.
    """
    names = {id(parameter): parameter.name for parameter in network.get_parameters()}
    for _, parent in list(network.cells_and_names()):
        for name, child in list(parent.name_cells().items()):
            replacement = _exportable(child)
            if replacement is None:
                continue
            if isinstance(parent, nn.SequentialCell | nn.CellList):
                parent[int(name)] = replacement
            else:
                setattr(parent, name, replacement)
    for parameter in network.get_parameters():
        parameter.name = names[id(parameter)]  # a cell that changes its place renames what it holds
    return network


def _exportable(cell: nn.Cell) -> nn.Cell | None:
    """The cell to put in the place of one that does not export; None to leave it."""
    if isinstance(cell, SqueezeExcite):
        return BroadcastSqueezeExcite(cell)
    if isinstance(cell, nn.MaxPool2d) and cell.use_pad:
        pool = cell.max_pool
        if cell.padding != (0, 1, 1) or tuple(pool.dilation) != (1, 1, 1) or pool.ceil_mode or cell.return_indices:
            raise ValueError(
                f"{cell} cannot be exported: of the padded max poolings only those with padding=1, and no dilation or "
                "ceil_mode, have a formulation that can."
            )
        return EdgePaddedMaxPool(cell.kernel_size, cell.stride)
    return None
