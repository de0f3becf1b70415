"""Dividing a data set without splits into a part to train on and a part to validate on."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mindcv.data.dataset import Dataset, counted
from mindcv.data.holdout import VAL_FRACTION, Holdout
from mindcv.files import listed


def divide(
    dataset: Dataset, place: Path, val_fraction: float | None, seed: int, held_out: Mapping[str, Any] | None
) -> None:
    """Restrict a data set to the images of its split, "train" or "val", and note the choice in its `held_out`.

    Args:
        dataset: all images.
        place: where they are, for messages.
        val_fraction: share of each class held out for the split "val"; None means `VAL_FRACTION`.
        seed: of the choice.
        held_out: an earlier choice to repeat, the attribute `held_out` of a data set.
    Raises:
        ValueError: if nothing is left, or a class cannot be divided.
    """
    strata = [dataset.stratum(index) for index in range(len(dataset))]
    images: dict[str, list[str]] = {}
    for class_name, member in strata:
        images.setdefault(class_name, []).append(member)
    if not held_out:
        holdout = Holdout.choose(images, VAL_FRACTION if val_fraction is None else val_fraction, seed)
    elif dataset.split == "train":  # a class may have been added
        holdout = Holdout.choose(images, **held_out)
    else:
        holdout = Holdout(**held_out)
    held = np.array([holdout.holds(*stratum) for stratum in strata])
    dataset.restrict(held if dataset.split == "val" else ~held)
    if not len(dataset):
        raise ValueError(
            f"val_fraction={holdout.fraction:g} leaves no image of {place} for the split {dataset.split!r}."
        )
    number, total = int(held.sum()), len(held)
    division = (
        f"{total - number:,} images to train, {number:,} held out to validate (val_fraction={holdout.fraction:g}, "
        f"seed={holdout.seed})"
        if number < total
        else f"all {total:,} images are used to validate"
    )
    classes = f"{counted(dataset.class_names)}, {listed(map(repr, dataset.class_names))}"
    dataset.remarks.append(f"{place} ({classes}) is not divided into train and val: {division}")
    dataset.held_out = asdict(holdout)
