"""The layers in the form that MindSpore computes fastest on a CPU, and the pass that puts them into a network."""

from mindspore import nn

from mindcv.models.cpu.attention import RowSelect, RowSqueezeExcite
from mindcv.models.cpu.conv import PointwiseConv2d, SpatialConv2d, conv_form
from mindcv.models.cpu.pooling import ArgmaxPool, RowAverage, pool_form
from mindcv.models.layers import GlobalAverage, SqueezeExcite
from mindcv.models.layers.selective_kernel import SKSelect
from mindcv.models.replace import replace_cells

CPU_FORMS = (ArgmaxPool, PointwiseConv2d, RowAverage, RowSelect, RowSqueezeExcite, SpatialConv2d)
_FORM_OF = {
    GlobalAverage: lambda cell: RowAverage(keep_dims=cell.keep_dims),
    SKSelect: RowSelect,
    SqueezeExcite: RowSqueezeExcite,
    nn.Conv2d: conv_form,
    nn.MaxPool2d: pool_form,
}


def optimize_for_cpu(network: nn.Cell) -> nn.Cell:
    """Give the layers of a network their form for a CPU, in place: the same function up to rounding, in less time.

    The forms share the Parameters of the layers they replace, with the same names, in the same order.

    Args:
        network: must not have run: a compiled graph ignores the change.
    Returns:
        The network.
    """
    replace_cells(network, lambda cell: _FORM_OF[type(cell)](cell) if type(cell) in _FORM_OF else None)
    return network
