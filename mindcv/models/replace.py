"""Replacing cells of a finished network by other formulations."""

from collections.abc import Callable

from mindspore import nn


def replace_cells(network: nn.Cell, replacement: Callable[[nn.Cell], nn.Cell | None]) -> None:
    """Replace every cell inside `network` by `replacement(cell)` where that is not None.

    Inner cells are replaced before the cells that hold them, so a replacement may reuse its cell's parts.
    Parameters keep their names and their order; new ones are called by their place.

    Args:
        network: must not have run: a compiled graph ignores the change.
    """
    names = {id(parameter): parameter.name for parameter in network.get_parameters()}
    _replace_inside(network, replacement)
    for place, parameter in network.parameters_and_names():
        parameter.name = names.get(id(parameter), place)  # moving a cell renames its parameters


def _replace_inside(parent: nn.Cell, replacement: Callable[[nn.Cell], nn.Cell | None]) -> None:
    for name, child in list(parent.name_cells().items()):
        _replace_inside(child, replacement)
        new = replacement(child)
        if new is None:
            continue
        if isinstance(parent, nn.SequentialCell | nn.CellList):
            parent[int(name)] = new
        else:
            setattr(parent, name, new)


class SharedConv2d(nn.Conv2d):
    """The same convolution as `conv`, with its parameters and operators; subclasses compute it in another way."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,
            conv.stride,
            conv.pad_mode,
            conv.padding,
            conv.dilation,
            conv.group,
            has_bias=False,
            weight_init="zeros",  # draws no random numbers
        )
        self.weight, self.bias, self.has_bias = conv.weight, conv.bias, conv.has_bias
        self.conv2d, self.bias_add = conv.conv2d, conv.bias_add
