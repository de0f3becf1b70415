"""The order of an epoch in which classes of different sizes are equally frequent."""

import numpy as np


def balanced_order(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return (N,) positions, at each of which every class that occurs in `labels`, (N,) integers, is equally likely.

    The images of a class come in rounds: none comes again before all others of its class came as often.
    """
    _, numbers, counts = np.unique(labels, return_inverse=True, return_counts=True)
    drawn = rng.integers(len(counts), size=len(labels))
    # The positions in the data set, and the places in the epoch, of each class.
    members = np.split(np.argsort(numbers, kind="stable"), np.cumsum(counts)[:-1])
    wanted = np.bincount(drawn, minlength=len(counts))
    places = np.split(np.argsort(drawn, kind="stable"), np.cumsum(wanted)[:-1])
    order = np.empty(len(labels), np.int64)
    for own, at in zip(members, places, strict=True):
        rounds = [rng.permutation(own) for _ in range(0, len(at), len(own))]
        order[at] = np.concatenate([*rounds, own])[: len(at)]
    return order
