"""Averages of checkpoints, and checkpoints reduced to what using them needs."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from mindcv.checkpoint import Checkpoint, check_finite
from mindcv.files import listed

# The options needed to validate, predict and fine-tune: how images become inputs, and the validation data.
USE_CONFIG = (
    *("model", "num_classes"),
    *("image_resize", "in_channels", "interpolation", "mean", "std", "crop_pct"),
    *("dataset", "data_dir", "val_split", "val_fraction", "folds", "fold", "num_samples", "seed", "batch_size"),
    *("val_batch_size", "val_image_resize"),
)
# Entries of a description about the run rather than the weights.
_OF_THE_RUN = ("epoch", "metrics", "training", "versions", "averaged_from")


def average_checkpoints(checkpoints: Sequence[Checkpoint]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Average the weights of several checkpoints of one network with equal weight.

    Running statistics of batch norm are averaged too. They fit the averaged weights only roughly, and only if the
    checkpoints are similar, as the last epochs of one run are; recomputing them on training images may help.

    Returns:
        Weights: name -> array of the checkpoints' shape and dtype, computed in float64. Description: the first
        checkpoint's without epoch and metrics, and `averaged_from`, a list of {"path", "epoch"}.
    Raises:
        ValueError: if there are fewer than two checkpoints; if one has no description, or NaN or infinity; or if they
            differ in network, classes, normalisation, parameter names, shapes, dtypes, or the value of an integer.
    """
    if len(checkpoints) < 2:
        raise ValueError(f"an average needs at least two checkpoints; got {len(checkpoints)}.")
    for checkpoint in checkpoints:
        check_finite(checkpoint.weights, str(checkpoint.path))
    first, *others = checkpoints
    differences = [line for other in others for line in _differences(first, other)]
    if differences:
        raise ValueError(
            f"only checkpoints of one network can be averaged. From {first.path}\n" + "\n".join(differences)
        )
    weights = {name: _average(name, checkpoints) for name in first.weights}
    info = {key: value for key, value in first.info.items() if key not in ("epoch", "metrics", "training")}
    info["averaged_from"] = [{"path": str(c.path), "epoch": c.info.get("epoch")} for c in checkpoints]
    return weights, info


def strip_checkpoint(checkpoint: Checkpoint) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return a checkpoint's weights and the part of its description needed to use them.

    That is the network with its classes and the options `USE_CONFIG`; options of training, epoch, metrics and versions
    are removed. validate.py still needs only its path.

    Raises:
        ValueError: if it has no description, or holds NaN or infinity.
    """
    check_finite(checkpoint.weights, str(checkpoint.path))
    info = {key: value for key, value in checkpoint.require_info().items() if key not in _OF_THE_RUN}
    config = info.get("config", {})
    info["config"] = {key: config[key] for key in USE_CONFIG if key in config}
    return dict(checkpoint.weights), info


def _differences(first: Checkpoint, other: Checkpoint) -> list[str]:
    """Return a line for each difference that prevents averaging `other` with `first`."""
    ours, theirs = first.require_info(), other.require_info()
    facts = {
        "network": tuple({"arch": {}, **i["model"]} for i in (ours, theirs)),  # older ones lack "arch": {}
        "list of classes": (ours.get("class_names"), theirs.get("class_names")),
        "choice of held-out images": (ours.get("held_out"), theirs.get("held_out")),
        "mean and std": tuple([i.get("config", {}).get(key) for key in ("mean", "std")] for i in (ours, theirs)),
    }
    # As JSON: a description from a file has lists where a new one may have tuples.
    texts = {fact: [json.dumps(value, sort_keys=True) for value in pair] for fact, pair in facts.items()}
    lines = [f"has another {fact}: {_brief(b)}, not {_brief(a)}" for fact, (a, b) in texts.items() if a != b]
    lines += _listing("lacks", first.weights.keys() - other.weights.keys())
    lines += _listing("has in addition", other.weights.keys() - first.weights.keys())
    common = [name for name in first.weights if name in other.weights]
    lines += _listing(
        "has another shape or dtype of", [n for n in common if _kind(first.weights[n]) != _kind(other.weights[n])]
    )
    return [f"  {other.path} {line}" for line in lines]


def _average(name: str, checkpoints: Sequence[Checkpoint]) -> np.ndarray:
    arrays = [checkpoint.weights[name] for checkpoint in checkpoints]
    if not np.issubdtype(arrays[0].dtype, np.floating):
        for checkpoint, array in zip(checkpoints, arrays, strict=True):
            if not np.array_equal(array, arrays[0]):
                raise ValueError(
                    f"{name} is {arrays[0].dtype}, which cannot be averaged, and its values in {checkpoint.path} and "
                    f"{checkpoints[0].path} differ."
                )
        return arrays[0].copy()
    total = np.zeros(arrays[0].shape, np.float64)
    for array in arrays:
        total += array
    return (total / len(arrays)).astype(arrays[0].dtype)


def _kind(array: np.ndarray) -> tuple[Any, ...]:
    return array.dtype, array.shape


def _brief(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _listing(title: str, names: Sequence[str] | set[str]) -> list[str]:
    return [f"{title} {listed(sorted(names), 5)}"] if names else []
