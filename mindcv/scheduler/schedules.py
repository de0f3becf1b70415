"""Learning rate formulas: pure functions of a position in the run, in updates or in epochs, or of its results."""

import math
from collections.abc import Iterable, Sequence

# Keeps a quotient that is a whole number in exact arithmetic (16.8 / 2.4) from being cut to the number below it.
_ROUNDING = 1e-9


def linear_warmup(update: int, num_updates: float, start: float, end: float) -> float:
    """Rise from `start` at update 0 towards `end`, which it would reach at update `num_updates`.

    Args:
        update: which optimizer update, from 0; below `num_updates`.
        num_updates: length of the warmup in updates, > 0; need not be whole.
        start: learning rate of update 0.
        end: learning rate of the first update after the warmup.
    """
    return start + (end - start) * (update / num_updates)


def cosine_decay(update: int, num_updates: int, start: float, end: float, k: float = 1.0) -> float:
    """Half a cosine from `start` at update 0 to `end` at update `num_updates - 1`; `end` from then on.

    A decay of a single update has no room to fall and stays at `start`.

    Args:
        update: which optimizer update, counted from the beginning of the decay.
        num_updates: length of the decay in updates, >= 1.
        start: highest learning rate.
        end: lowest learning rate.
        k: exponent of the position; above 1 the rate stays high for longer.

    Source: Loshchilov & Hutter 2017 (SGDR), equation 5, without restarts; k: Zhang & Li 2020 (k-decay).
    """
    if update >= num_updates:
        return end
    return _between(0.5 * (1.0 + math.cos(math.pi * update**k / max(num_updates - 1, 1) ** k)), start, end)


def cosine_cycles(
    update: int, num_updates: int, start: float, end: float, num_cycles: int, cycle_decay: float, k: float = 1.0
) -> float:
    """`num_cycles` cosine decays of `num_updates` updates, one after the other; `end` from then on.

    Args:
        update: which optimizer update, counted from the beginning of the first cycle.
        num_updates: length of one cycle in updates, >= 1.
        start: highest learning rate of the first cycle.
        end: lowest learning rate of all cycles.
        num_cycles: number of cycles.
        cycle_decay: highest learning rate of a cycle / that of the cycle before; it does not fall below `end`.
        k: as in `cosine_decay`.

    Source: Loshchilov & Hutter 2017 (SGDR), section 3, with cycles of one length.
    """
    cycle, update = divmod(update, num_updates)
    if cycle >= num_cycles:
        return end
    return cosine_decay(update, num_updates, max(start * cycle_decay**cycle, end), end, k)


def polynomial_decay(update: int, num_updates: int, start: float, end: float, power: float, k: float = 1.0) -> float:
    """(1 - t^k)^power from `start` at update 0 to `end` at update `num_updates - 1`, t from 0 to 1; `end` from then on.

    Args:
        update, num_updates, start, end, k: as in `cosine_decay`.
        power: above 0; 1 is a straight line, above 1 the rate falls earlier.
    """
    if update >= num_updates:
        return end
    return _between((1.0 - update**k / max(num_updates - 1, 1) ** k) ** power, start, end)


def exponential_decay(epoch: float, start: float, decay_rate: float) -> float:
    """`start` times `decay_rate` for every epoch, and in proportion for a part of one.

    Args:
        epoch: position in epochs, counted from the beginning of the decay; may be fractional.
        start: learning rate at epoch 0.
        decay_rate: factor of one epoch.
    """
    return start * decay_rate**epoch


def step_decay(epoch: float, start: float, decay_epochs: float, decay_rate: float) -> float:
    """`start` times `decay_rate` for every `decay_epochs` completed epochs.

    Args:
        epoch: position in the run in epochs, from 0; may be fractional.
        start: learning rate before the first drop.
        decay_epochs: epochs between two drops, > 0.
        decay_rate: factor of each drop.
    """
    return start * decay_rate ** math.floor(epoch / decay_epochs + _ROUNDING)


def multi_step_decay(epoch: float, start: float, milestones: Sequence[float], decay_rate: float) -> float:
    """`start` times `decay_rate` for every milestone that is reached.

    Args:
        epoch: position in the run in epochs, from 0; may be fractional.
        start: learning rate before the first milestone.
        milestones: epochs at which the rate drops.
        decay_rate: factor of each drop.
    """
    return start * decay_rate ** sum(epoch + _ROUNDING >= milestone for milestone in milestones)


def one_cycle(update: int, num_updates: int, start: float, peak: float, end: float, pct_start: float) -> float:
    """Half a cosine from `start` up to `peak`, then another down to `end` at update `num_updates - 1`.

    Args:
        update: which optimizer update, from 0 to `num_updates - 1`.
        num_updates: length in updates.
        start: learning rate of update 0.
        peak: highest learning rate, at position `pct_start * num_updates - 1`, which need not be whole.
        end: learning rate of the last update.
        pct_start: share of the rise, in (0, 1).

    Source: Smith & Topin 2018 (Super-Convergence), with the cosines of PyTorch's OneCycleLR.
    """
    rise = max(pct_start * num_updates - 1.0, 0.0)
    if update < rise:
        return _between(0.5 * (1.0 + math.cos(math.pi * update / rise)), start, peak)
    fall = num_updates - 1 - rise
    return _between(0.5 * (1.0 + math.cos(math.pi * (update - rise) / fall)), peak, end) if fall else peak


def triangular(update: int, num_updates: int, low: float, high: float, num_cycles: int) -> float:
    """`num_cycles` times a straight line from `low` up to `high` and one down again, all of one length.

    Args:
        update: which optimizer update, from 0 to `num_updates - 1`; `num_updates` would be at `low`.
        num_updates: length of all cycles in updates.
        low: learning rate of update 0.
        high: highest learning rate.
        num_cycles: number of cycles.

    Source: Smith 2017 (Cyclical Learning Rates), section 3.1.
    """
    position = update * num_cycles / num_updates % 1.0
    return _between(abs(2.0 * position - 1.0), low, high)


def plateau_drops(scores: Iterable[tuple[int, float]], patience_epochs: float) -> int:
    """How often a score did not rise for more than `patience_epochs` epochs; each time, the count restarts.

    Args:
        scores: epoch and score, in order; epochs may be missing. The first score is a rise.
        patience_epochs: epochs without a score above the best one that are tolerated.
    """
    best, since, drops = -math.inf, 0, 0
    for epoch, score in scores:
        if score > best:
            best, since = score, epoch
        elif epoch - since > patience_epochs:
            since, drops = epoch, drops + 1
    return drops


def _between(weight: float, one: float, other: float) -> float:
    """`one` with this weight and `other` with the rest: exact at both ends, and never beyond either by rounding."""
    rate = weight * one + (1.0 - weight) * other
    return min(max(rate, min(one, other)), max(one, other))
