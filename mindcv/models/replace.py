"""Replacing cells of a finished network by other formulations."""

from collections.abc import Callable

from mindspore import nn


def replace_cells(network: nn.Cell, replacement: Callable[[nn.Cell], nn.Cell | None]) -> None:
    """Replace every cell inside `network` by `replacement(cell)` where that is not None.

    Inner cells are replaced before the cells that hold them, so a replacement may reuse its cell's parts.
    Parameters keep their names and their order.

    Args:
        network: must not have run: a compiled graph ignores the change.
    """
    names = {id(parameter): parameter.name for parameter in network.get_parameters()}
    _replace_inside(network, replacement)
    for parameter in network.get_parameters():
        parameter.name = names[id(parameter)]  # moving a cell renames its parameters


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
