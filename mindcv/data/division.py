"""Dividing a data set into a part to train on and a part to validate on."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mindcv.data.dataset import Dataset, counted
from mindcv.data.holdout import Fold, Holdout
from mindcv.files import listed


def divide(dataset: Dataset, place: Path | str, choice: Mapping[str, Any]) -> None:
    """Restrict a data set to the images of its split, "train" or "val", and note the division in its `held_out`.

    Args:
        dataset: all images.
        place: where they are, for messages.
        choice: the arguments of `Holdout.choose`, or with "folds" of `Fold.choose`; with "limits" an earlier division
            to repeat, the attribute `held_out` of a data set.
    Raises:
        ValueError: if nothing is left, or a class cannot be divided.
    """
    strata = [dataset.stratum(index) for index in range(len(dataset))]
    images: dict[str, list[str]] = {}
    for class_name, member in strata:
        images.setdefault(class_name, []).append(member)
    kind = Fold if "folds" in choice else Holdout
    is_repeated = "limits" in choice and dataset.split != "train"  # to train, a class may have been added
    part = kind(**choice) if is_repeated else kind.choose(images, **choice)
    held = np.array([part.holds(*stratum) for stratum in strata])
    dataset.restrict(held if dataset.split == "val" else ~held)
    if not len(dataset):
        raise ValueError(f"{part} leaves no image of {place} for the split {dataset.split!r}.")
    number, total = int(held.sum()), len(held)
    division = (
        f"{total - number:,} images to train, {number:,} held out to validate ({part})"
        if number < total
        else f"all {total:,} images are used to validate"
    )
    classes = f"{counted(dataset.class_names)}, {listed(map(repr, dataset.class_names))}"
    what = f"is divided into {part.folds} folds" if isinstance(part, Fold) else "is not divided into train and val"
    dataset.remarks.append(f"{place} ({classes}) {what}: {division}")
    dataset.held_out = asdict(part)
