"""A picture of a confusion matrix."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mindcv.console import printable
from mindcv.files import replacing

_MOST_COUNTED, _MOST_NAMED, _LONGEST_NAME = 25, 60, 24  # classes with counts, classes with names; characters


def draw_confusion_matrix(path: str | Path, matrix: np.ndarray, class_names: Sequence[str], title: str) -> None:
    """Draw a confusion matrix as a PNG, atomically: the share of each class (row) that was taken for each class.

    Few classes have their names at the axes and their counts in the cells; of many, only the colours are shown.

    Args:
        matrix: (K, K) counts, rows are labels.

    Raises:
        OSError: if the file cannot be written; an earlier one is unchanged.
    """
    from matplotlib.figure import Figure  # here: takes a second to import

    classes = len(class_names)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    is_named, is_counted = classes <= _MOST_NAMED, classes <= _MOST_COUNTED
    names = [_shortened(printable(name)) for name in class_names]
    side = np.clip(0.32 * classes, 4.0, 12.0) if is_named else 8.0  # inches
    figure = Figure(figsize=(side + 2.5, side + 1.5), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    figure.colorbar(image, ax=axes, label="share of the class", fraction=0.046)
    axes.set(xlabel="predicted", ylabel="class")
    axes.set_title(printable(title), parse_math=False)
    if is_named:
        axes.set_xticks(range(classes), names, rotation=90, parse_math=False, fontsize=8)
        axes.set_yticks(range(classes), names, parse_math=False, fontsize=8)
    if is_counted:
        for (row, column), count in np.ndenumerate(matrix):
            color = "white" if shares[row, column] > 0.5 else "black"
            if count:
                axes.text(column, row, f"{count}", ha="center", va="center", color=color, fontsize=7)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png", bbox_inches="tight")


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}..."
