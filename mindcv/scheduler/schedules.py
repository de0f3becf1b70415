"""Learning rate formulas: pure functions of a position in the run, in updates or in epochs."""

import math
from collections.abc import Sequence

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


def cosine_decay(update: int, num_updates: int, start: float, end: float) -> float:
    """Half a cosine from `start` at update 0 to `end` at update `num_updates - 1`; `end` from then on.

    A decay of a single update has no room to fall and stays at `start`.

    Args:
        update: which optimizer update, counted from the beginning of the decay.
        num_updates: length of the decay in updates, >= 1.
        start: highest learning rate.
        end: lowest learning rate.

    Source: Loshchilov & Hutter 2017 (SGDR), equation 5, without restarts.
    """
    if update >= num_updates:
        return end
    weight = 0.5 * (1.0 + math.cos(math.pi * update / max(num_updates - 1, 1)))
    rate = weight * start + (1.0 - weight) * end  # written so that both ends are exact
    return min(max(rate, end), start)  # rounding may step over either end


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
