"""Networks rewritten for evaluation: the same function in less time."""

from collections.abc import Callable

from mindspore import Tensor, nn, ops

from mindcv.models.fold import fold_batch_norm
from mindcv.models.layers.pooling import ArgmaxPool
from mindcv.runtime import on_cpu


class EdgePaddedMaxPool(nn.Cell):
    """Max pooling with one pixel of padding: (B, C, H, W) -> (B, C, H', W'), as `nn.MaxPool2d(..., padding=1)`.

    A window that reaches over the edge holds the edge pixels too, so repeating those changes no maximum, whatever the
    sign of the values. MindSpore's own padded pooling is a 3-d one (MaxPool3DWithArgmax), which takes seven times as
    long on a CPU, which ONNX lacks, and whose output shape is lost when the batch size is open. The gradient of this
    one takes longer, so it is not for training.
    """

    def __init__(self, kernel_size: int, stride: int) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(kernel_size, stride, pad_mode="valid")

    def construct(self, x: Tensor) -> Tensor:
        x = ops.cat((x[:, :, :1], x, x[:, :, -1:]), 2)
        x = ops.cat((x[:, :, :, :1], x, x[:, :, :, -1:]), 3)
        return self.pool(x)


def prepare_for_inference(network: nn.Cell, *, fold_bn: bool = True) -> nn.Cell:
    """Make a network with its final weights faster in evaluation, in place.

    Args:
        network: not run yet: a compiled graph would not notice the change.
        fold_bn: fold batch norms into convolutions, which changes the logits by rounding (about 1e-6 of the largest);
            without it they stay the same to the last bit.
    Returns:
        The network.
    """
    if fold_bn:
        fold_batch_norm(network)
    if on_cpu():
        replace_cells(network, inference_pool)
    return network


def inference_pool(cell: nn.Cell) -> nn.Cell | None:
    """The faster form of a max pooling where no gradient is wanted; None for all other cells.

    One that is padded has such a form if it has padding 1, and neither dilation nor ceil_mode.
    """
    if isinstance(cell, ArgmaxPool) and cell.pad_mode == "same":
        return nn.MaxPool2d(cell.kernel_size, cell.stride, pad_mode="same")
    if isinstance(cell, ArgmaxPool):
        return EdgePaddedMaxPool(cell.kernel_size, cell.stride) if cell.padding == 1 else None
    if not (isinstance(cell, nn.MaxPool2d) and cell.use_pad):
        return None
    pool = cell.max_pool
    if cell.padding != (0, 1, 1) or tuple(pool.dilation) != (1, 1, 1) or pool.ceil_mode or cell.return_indices:
        return None
    return EdgePaddedMaxPool(cell.kernel_size, cell.stride)


def replace_cells(network: nn.Cell, replacement: Callable[[nn.Cell], nn.Cell | None]) -> None:
    """Put `replacement(cell)` in the place of every cell for which it is not None; parameters keep their names."""
    names = {id(parameter): parameter.name for parameter in network.get_parameters()}
    for _, parent in list(network.cells_and_names()):
        for name, child in list(parent.name_cells().items()):
            new = replacement(child)
            if new is None:
                continue
            if isinstance(parent, nn.SequentialCell | nn.CellList):
                parent[int(name)] = new
            else:
                setattr(parent, name, new)
    for parameter in network.get_parameters():
        parameter.name = names[id(parameter)]  # a cell that changes its place renames what it holds
