"""Layers written so that both export formats have their operators and the batch size can stay open.

Everything else in a network exports as it is: convolutions, batch norm, selective kernels, average pooling.
"""

from mindspore import nn

from mindcv.models.inference import edge_padded, replace_cells
from mindcv.models.layers.rows import BlendRows, ScaleRows, TiledBlendRows, TiledScaleRows


def make_exportable(network: nn.Cell) -> nn.Cell:
    """Replace in place what does not export; the network computes what it did.

    Args:
        network: not run yet: a compiled graph would not notice the change.
    Raises:
        ValueError: for a pooling layer that no formulation exists for.
    """
    replace_cells(network, _exportable)
    return network


def _exportable(cell: nn.Cell) -> nn.Cell | None:
    """The cell to put in the place of one that does not export; None to leave it."""
    if isinstance(cell, TiledScaleRows):
        return ScaleRows()
    if isinstance(cell, TiledBlendRows):
        return BlendRows()
    if isinstance(cell, nn.MaxPool2d) and cell.use_pad:
        pool = edge_padded(cell)
        if pool is None:
            raise ValueError(
                f"{cell} cannot be exported: of the padded max poolings only those with padding=1, and no dilation or "
                "ceil_mode, have a formulation that can."
            )
        return pool
    return None
