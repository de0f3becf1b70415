"""Exact loading: weights fit a network completely or not at all."""

from collections.abc import Mapping, Sequence
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mindcv.checkpoint.file import Checkpoint
from mindcv.files import listed

# Suffix of parameters that count a random layer's masks: training state, not weights.
COUNTER_SUFFIX = ".draws"


def weight_parameters(network: nn.Cell) -> dict[str, ms.Parameter]:
    """Return every parameter and running statistic of a network, by name."""
    return {p.name: p for p in network.get_parameters() if not p.name.endswith(COUNTER_SUFFIX)}


def network_weights(network: nn.Cell) -> dict[str, np.ndarray]:
    """Return a copy of every parameter and running statistic, by name."""
    return {name: parameter.asnumpy().copy() for name, parameter in weight_parameters(network).items()}


def load_exact(network: nn.Cell, weights: Mapping[str, np.ndarray], source: str) -> None:
    """Copy weights into a network with exactly the same names, shapes and dtypes.

    Args:
        source: where the weights come from, for messages.
    Raises:
        ValueError: for any difference, listing both sides; the network is unchanged.
    """
    check_same_arrays(weight_parameters(network), weights, "weights", source, "network")
    set_arrays(weight_parameters(network), weights)


def check_finite(weights: Mapping[str, np.ndarray], source: str) -> None:
    """Raise ValueError if weights from `source` hold NaN or infinity."""
    counts = {name: array.size - np.count_nonzero(np.isfinite(array)) for name, array in weights.items()}
    bad = [name for name, count in counts.items() if count]
    if bad:
        raise ValueError(
            f"{source} holds NaN or infinity: {sum(counts.values()):,} numbers in {len(bad)} of {len(weights)} arrays, "
            f"the first of them {bad[0]}. Use another checkpoint: results of these weights would be meaningless."
        )


def check_same_arrays(
    own: Mapping[str, ms.Parameter], arrays: Mapping[str, np.ndarray], what: str, source: str, receiver: str
) -> None:
    """Check that arrays have the names, shapes and dtypes of the parameters they are for.

    Args:
        what, source, receiver: for the message: "the {what} in {source} do not fit this {receiver}".
    Raises:
        ValueError: for any difference, listing both sides.
    """
    problems = _listing("missing from the file", sorted(own.keys() - arrays.keys()))
    problems += _listing(f"unknown to the {receiver}", sorted(arrays.keys() - own.keys()))
    different = [
        f"{name}: {receiver} {_shape(own[name].asnumpy())}, file {_shape(arrays[name])}"
        for name in own
        if name in arrays and _shape(own[name].asnumpy()) != _shape(arrays[name])
    ]
    problems += _listing("of another shape or type", different)
    if problems:
        raise ValueError(f"the {what} in {source} do not fit this {receiver}:\n" + "\n".join(problems))


def set_arrays(own: Mapping[str, ms.Parameter], arrays: Mapping[str, np.ndarray]) -> None:
    """Copy arrays into the parameters of the same names."""
    for name, parameter in own.items():
        parameter.set_data(ms.Tensor(arrays[name]))


def check_fits(checkpoint: Checkpoint, class_names: Sequence[str] | None = None, **wanted: Any) -> None:
    """Check that a checkpoint's description matches the given values.

    Args:
        class_names: of the data set, which must be the checkpoint's in its order; None compares no classes.
        **wanted: any of model, num_classes, in_channels.
    Raises:
        ValueError: for a difference. A file without a description passes; `load_exact` compares its weights.
    """
    if not checkpoint.info:
        return
    for key, value in wanted.items():
        saved = checkpoint.info["model"][key]
        if saved != value:
            raise ValueError(f"{checkpoint.path} holds {key}={saved}, but {key}={value} is wanted here.")
    if class_names is not None and checkpoint.info["class_names"]:  # imported weights have none
        _check_same_classes(checkpoint, class_names)


def _check_same_classes(checkpoint: Checkpoint, class_names: Sequence[str]) -> None:
    saved, given = checkpoint.info["class_names"], list(class_names)
    if saved == given:
        return
    problems = _listing("only in the data set", [repr(name) for name in given if name not in set(saved)])
    problems += _listing("only in the checkpoint", [repr(name) for name in saved if name not in set(given)])
    problems = problems or ["  they are the same in another order: open the data set with the checkpoint's classes"]
    raise ValueError(
        f"the classes of the data set ({len(given):,}) are not those of {checkpoint.path} ({len(saved):,}):\n"
        + "\n".join(problems)
    )


def _shape(array: np.ndarray) -> str:
    return f"{array.dtype}{list(array.shape)}"


def _listing(title: str, names: list[str]) -> list[str]:
    return [f"  {title}: {listed(names, 5)}"] if names else []
