"""Freezing part of a network for finetuning."""

from mindspore import nn

from mindcv.models.classifier import Classifier
from mindcv.models.layers import DropBlock, Dropout, DropPath
from mindcv.nearest import did_you_mean

BATCH_NORM_RULES = ("none", "frozen", "all")


def freeze(network: nn.Cell, stages: int | str | None, batch_norm: str = "frozen") -> str:
    """Freeze the first part of a network: its parameters get `requires_grad` False.

    Call it after weights are loaded and before the network, its optimizer and its training step are used: a
    compiled step ignores later changes.

    Dropout and stochastic depth inside a frozen part stay active in training.

    Args:
        network: of `list_models()`.
        stages: N >= 1 freezes the stem and the first N stages, "backbone" everything but the classifier, None nothing.
        batch_norm: which batch norms normalise with their running mean and variance, in training as in evaluation,
            and leave those as they are. "frozen": those of the frozen part; "all": all of them; "none": none, so that
            the statistics, and with them the outputs, of frozen layers keep adapting to the new images. A frozen
            batch norm outside the frozen part still learns its scale and shift.
    Returns:
        A line that says what is frozen, or "" if nothing is.
    Raises:
        ValueError: if an argument is not one of these, the network has fewer stages, or lacks the parts.
    """
    if batch_norm not in BATCH_NORM_RULES:
        hint = did_you_mean(str(batch_norm), list(BATCH_NORM_RULES))
        raise ValueError(f"unknown batch norm rule {batch_norm!r}.{hint} Known: {', '.join(BATCH_NORM_RULES)}.")
    label, cells = _part(network, stages)
    frozen = [param for cell in cells for param in cell.trainable_params()]
    total = sum(param.size for param in network.trainable_params())
    for param in frozen:
        param.requires_grad = False

    inside = _batch_norms(cells)
    fixed = {"none": [], "frozen": inside, "all": _batch_norms([network])}[batch_norm]
    for norm in fixed:
        # In place of norm.set_train(False), which the next network.set_train(True) would undo.
        norm.use_batch_statistics = False

    said = []
    if cells:
        said.append(f"{label} ({sum(param.size for param in frozen):,} of {total:,} parameters)")
    if fixed:
        said.append(f"the statistics of {'all' if batch_norm == 'all' else 'their'} {len(fixed)} batch norms")
    report = f"frozen: {' and '.join(said)}" if said else ""
    if inside and not fixed:
        report += f"; the statistics of their {len(inside)} batch norms keep adapting"
    if any(isinstance(cell, DropBlock | Dropout | DropPath) for _, cell in _descendants(cells)):
        report += "; dropout, stochastic depth and DropBlock stay active in them"
    return report


def _part(network: nn.Cell, stages: int | str | None) -> tuple[str, list[nn.Cell]]:
    """The name of the part to freeze, and its cells."""
    if stages is None:
        return "", []
    if not isinstance(network, Classifier):
        raise ValueError(f"cannot freeze {type(network).__name__}: it is not a network of list_models().")
    count = len(network.stages)
    if stages == "backbone":
        return "all but the classifier", [network.stem, *network.stages]
    if not isinstance(stages, int) or isinstance(stages, bool) or not 1 <= stages <= count:
        raise ValueError(
            f"stages to freeze must be 1 to {count}, as this network has {count} stages, or 'backbone'; got {stages!r}."
        )
    which = "stage 1" if stages == 1 else f"stages 1 to {stages}"
    # A slice of the CellList itself would be a new CellList, which renames the parameters.
    return f"stem and {which}", [network.stem, *list(network.stages)[:stages]]


def _descendants(cells: list[nn.Cell]) -> list[tuple[str, nn.Cell]]:
    return [pair for cell in cells for pair in cell.cells_and_names()]


def _batch_norms(cells: list[nn.Cell]) -> list[nn.BatchNorm2d]:
    return [cell for _, cell in _descendants(cells) if isinstance(cell, nn.BatchNorm2d)]
