"""Builds the learning rate schedule of a run: a plain list of floats, one per optimizer update."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mindcv import arguments as legal
from mindcv.keywords import also_called
from mindcv.registry import Registry
from mindcv.scheduler.schedules import (
    cosine_cycles,
    exponential_decay,
    linear_warmup,
    multi_step_decay,
    one_cycle,
    plateau_drops,
    polynomial_decay,
    step_decay,
    triangular,
)

# A schedule takes a run and, as keywords, the options that it uses: choices, help, remarks on options without effect
# and checks follow from this record. It returns the learning rate of an update after the warmup.
SCHEDULERS: Registry[Callable[..., Callable[[int], float]]] = Registry("scheduler")
# Schedules that rise by themselves, without a warmup.
RISING = ("one_cycle", "cyclic")
EPOCH_FACTOR = 0.9  # of exponential_decay by default
_DROP = 0.1  # factor of a drop by default


@dataclass(frozen=True)
class _Run:
    lr: float
    epochs: int
    updates_per_epoch: int
    warmup_updates: float

    @property
    def num_updates(self) -> int:
        return self.epochs * self.updates_per_epoch

    @property
    def first(self) -> int:
        """The first update after the warmup."""
        return math.ceil(self.warmup_updates)

    def rest(self, cooldown_epochs: float = 0) -> int:
        """Updates between the warmup and the last `cooldown_epochs`, at least 1."""
        return max(self.num_updates - self.first - round(cooldown_epochs * self.updates_per_epoch), 1)


@also_called(
    {"steps_per_epoch": "updates_per_epoch", "num_epochs": "epochs", "milestones": "multi_step_decay_milestones"},
    first="steps_per_epoch",
    defaults={"epochs": 200, "scheduler": "constant", "lr": 0.01},
)
def create_scheduler(
    scheduler: str,
    *,
    lr: float,
    epochs: int,
    updates_per_epoch: int,
    min_lr: float = legal.MIN_LR.default,
    warmup_epochs: float = legal.WARMUP_EPOCHS.default,
    warmup_steps: int | None = legal.WARMUP_STEPS.default,
    warmup_factor: float = legal.WARMUP_FACTOR.default,
    decay_epochs: float | None = legal.DECAY_EPOCHS.default,
    decay_rate: float | None = legal.DECAY_RATE.default,
    multi_step_decay_milestones: Sequence[float] = legal.MILESTONES.default,
    num_cycles: int = legal.NUM_CYCLES.default,
    cycle_decay: float = legal.CYCLE_DECAY.default,
    lr_k_decay: float = legal.LR_K_DECAY.default,
    cooldown_epochs: float = legal.COOLDOWN_EPOCHS.default,
    pct_start: float = legal.PCT_START.default,
    div_factor: float = legal.DIV_FACTOR.default,
    patience_epochs: float = legal.PATIENCE_EPOCHS.default,
    lr_epoch_stair: bool = False,
) -> list[float]:
    """Learning rate of every optimizer update of a run.

    Epochs are absolute: milestones and steps are counted from the start of training, not from the end of the warmup.
    Settings that a schedule does not use (`pct_start` with a cosine) have no effect.

    Args:
        scheduler: "constant", "cosine_decay", "step_decay", "multi_step_decay", "exponential_decay",
            "polynomial_decay", "one_cycle", "cyclic" or "plateau". The list of "plateau" is that of a run whose
            validation never stops improving; `plateau_factor` says by how much the results so far lower it.
        lr: highest learning rate, > 0, reached by the first update after the warmup.
        epochs: length of the run.
        updates_per_epoch: optimizer updates in one epoch (batches divided by the accumulation steps).
        min_lr: lowest rate of a decay, in [0, lr]: where cosine, polynomial and one_cycle end, where cyclic begins,
            and the floor of the others.
        warmup_epochs: length of the linear warmup, from 0 to below `epochs`; may be fractional.
        warmup_steps: the same in updates, instead of `warmup_epochs`. one_cycle and cyclic have no warmup.
        warmup_factor: the first update of a warmup is made at `warmup_factor * lr`; in (0, 1).
        decay_epochs: cosine_decay: length of one cycle, the first of which follows the warmup (None: all cycles end
            with the run, whose last update is then made at `min_lr`). step_decay: epochs between two drops, required.
        decay_rate: factor of each drop of step_decay, multi_step_decay and plateau, in (0, 1] (None: 0.1); factor of an
            epoch after the warmup in exponential_decay, in (0, 1] (None: 0.9); power of polynomial_decay (None: 1).
        multi_step_decay_milestones: epochs at which multi_step_decay drops, increasing.
        num_cycles: cycles of cosine_decay and cyclic.
        cycle_decay: cosine_decay: highest rate of a cycle / that of the cycle before, in (0, 1].
        lr_k_decay: exponent of the position in cosine_decay and polynomial_decay; above 1 the rate falls later.
        cooldown_epochs: last epochs of the run, made at `min_lr`, in polynomial_decay and in cosine_decay without
            `decay_epochs`.
        pct_start: one_cycle: share of the rise.
        div_factor: one_cycle: `lr` / the first rate.
        patience_epochs: plateau: epochs without a better top-1 or mAP that are tolerated before a drop.
        lr_epoch_stair: the rate of an epoch's first update is that of the whole epoch.

    Returns:
        `epochs * updates_per_epoch` floats.

    Raises:
        ValueError: if the name is unknown or an argument is outside the range given above.
    """
    given: dict[str, Any] = dict(locals())  # the arguments by name
    build = SCHEDULERS.get(scheduler)
    for name in ("epochs", "updates_per_epoch", "num_cycles"):
        if isinstance(given[name], bool) or not isinstance(given[name], int) or given[name] < 1:
            raise ValueError(f"{name} must be a whole number of at least 1; got {given[name]!r}.")
    given["multi_step_decay_milestones"] = tuple(multi_step_decay_milestones)
    legal.check_all(given)
    values = {**given, "epoch_size": epochs}
    check_schedule(values, lambda key: f"{'epochs' if key == 'epoch_size' else key}={values[key]}", updates_per_epoch)
    warmup = warmup_epochs * updates_per_epoch if warmup_steps is None else warmup_steps
    run = _Run(lr, epochs, updates_per_epoch, warmup)
    own = {key: given[key] for key in SCHEDULERS.options(scheduler) if given[key] is not None}
    after_warmup = build(run, **own)
    rates = [
        linear_warmup(update, warmup, warmup_factor * lr, lr) if update < warmup else after_warmup(update)
        for update in range(run.num_updates)
    ]
    return [rates[update - update % updates_per_epoch] for update in range(len(rates))] if lr_epoch_stair else rates


@SCHEDULERS.register("constant")
def _constant(run: _Run) -> Callable[[int], float]:
    return lambda update: run.lr


@SCHEDULERS.register("cosine_decay")
def _cosine_decay(
    run: _Run,
    *,
    min_lr: float,
    num_cycles: int,
    cycle_decay: float,
    lr_k_decay: float,
    cooldown_epochs: float,
    decay_epochs: float | None = None,
) -> Callable[[int], float]:
    if decay_epochs is None:
        length = max(run.rest(cooldown_epochs) // num_cycles, 1)
    else:
        length = max(round(decay_epochs * run.updates_per_epoch), 1)
    return lambda update: cosine_cycles(update - run.first, length, run.lr, min_lr, num_cycles, cycle_decay, lr_k_decay)


@SCHEDULERS.register("step_decay")
def _step_decay(run: _Run, *, min_lr: float, decay_epochs: float, decay_rate: float = _DROP) -> Callable[[int], float]:
    def rate(update: int) -> float:
        return max(step_decay(update / run.updates_per_epoch, run.lr, decay_epochs, decay_rate), min_lr)

    return rate


@SCHEDULERS.register("multi_step_decay")
def _multi_step_decay(
    run: _Run, *, min_lr: float, multi_step_decay_milestones: Sequence[float], decay_rate: float = _DROP
) -> Callable[[int], float]:
    def rate(update: int) -> float:
        epoch = update / run.updates_per_epoch
        return max(multi_step_decay(epoch, run.lr, multi_step_decay_milestones, decay_rate), min_lr)

    return rate


@SCHEDULERS.register("exponential_decay")
def _exponential_decay(run: _Run, *, min_lr: float, decay_rate: float = EPOCH_FACTOR) -> Callable[[int], float]:
    def rate(update: int) -> float:
        return max(exponential_decay((update - run.first) / run.updates_per_epoch, run.lr, decay_rate), min_lr)

    return rate


@SCHEDULERS.register("polynomial_decay")
def _polynomial_decay(
    run: _Run, *, min_lr: float, lr_k_decay: float, cooldown_epochs: float, decay_rate: float = 1.0
) -> Callable[[int], float]:
    length = run.rest(cooldown_epochs)
    return lambda update: polynomial_decay(update - run.first, length, run.lr, min_lr, decay_rate, lr_k_decay)


@SCHEDULERS.register("one_cycle")
def _one_cycle(run: _Run, *, min_lr: float, pct_start: float, div_factor: float) -> Callable[[int], float]:
    return lambda update: one_cycle(update, run.num_updates, run.lr / div_factor, run.lr, min_lr, pct_start)


@SCHEDULERS.register("cyclic")
def _cyclic(run: _Run, *, min_lr: float, num_cycles: int) -> Callable[[int], float]:
    return lambda update: triangular(update, run.num_updates, min_lr, run.lr, num_cycles)


@SCHEDULERS.register("plateau")
def _plateau(run: _Run, *, min_lr: float, patience_epochs: float, decay_rate: float = _DROP) -> Callable[[int], float]:
    return lambda update: run.lr  # until `plateau_factor` lowers it


def plateau_factor(
    scores: Iterable[tuple[int, float]],
    *,
    lr: float,
    min_lr: float,
    patience_epochs: float,
    warmup_epochs: float,
    decay_rate: float | None = None,
) -> float:
    """The factor by which "plateau" has lowered the learning rates after these results, in (0, 1].

    Args:
        scores: epoch, counted from 1, and score of each epoch that was validated, in order; higher scores are better.
        warmup_epochs: the scores of these first epochs do not count.
        lr, min_lr, patience_epochs, decay_rate: as in `create_scheduler`.

    Source: PyTorch's ReduceLROnPlateau with a threshold and a cool-down of 0, behind timm's warmup.
    """
    counted = [(epoch, score) for epoch, score in scores if epoch > warmup_epochs]
    drops = plateau_drops(counted, patience_epochs)
    return max(lr * (_DROP if decay_rate is None else decay_rate) ** drops, min_lr) / lr


def phases(values: Mapping[str, Any], epochs: int, updates_per_epoch: int) -> dict[str, tuple[float, float]]:
    """The first and last epoch of "warmup" and "cool-down", which are equal if a run has none.

    Args:
        values: the options of `create_scheduler` by name.
        epochs, updates_per_epoch: as in `create_scheduler`.
    """
    steps = values["warmup_steps"]
    warmup = values["warmup_epochs"] if steps is None else steps / updates_per_epoch
    return {"warmup": (0, warmup), "cool-down": (epochs - cooldown(values), epochs)}


def first_drop(values: Mapping[str, Any]) -> tuple[str, float]:
    """The option that sets the first drop of the learning rate, and its epoch; infinity if there is no drop."""
    if values["scheduler"] == "step_decay":
        return "decay_epochs", values["decay_epochs"] or math.inf
    milestones = values["multi_step_decay_milestones"] if values["scheduler"] == "multi_step_decay" else ()
    return "multi_step_decay_milestones", milestones[0] if milestones else math.inf


def cooldown(values: Mapping[str, Any]) -> float:
    """Epochs of the cool-down; 0 if the schedule has none, or its length is given by `decay_epochs`."""
    used = SCHEDULERS.options(values["scheduler"])
    by_length = "decay_epochs" in used and values["decay_epochs"] is not None
    return values["cooldown_epochs"] if "cooldown_epochs" in used and not by_length else 0


def check_schedule(values: Mapping[str, Any], said: Callable[[str], str], updates_per_epoch: int = 0) -> None:
    """Raise ValueError if options of a schedule contradict each other; `said` formats a value for the message.

    `updates_per_epoch` is 0 if it is not yet known.
    """
    scheduler, warmup_key = values["scheduler"], "warmup_epochs" if values["warmup_steps"] is None else "warmup_steps"
    if warmup_key == "warmup_steps" and values["warmup_epochs"] > 0:
        raise ValueError(f"{said('warmup_epochs')} and {said('warmup_steps')}: the warmup has one length, give one")
    if scheduler in RISING and values[warmup_key]:
        raise ValueError(f"{said('scheduler')} rises by itself: it takes no warmup, got {said(warmup_key)}")
    updates = updates_per_epoch or 1
    warmup = values["warmup_epochs"] * updates
    if warmup_key == "warmup_steps" and updates_per_epoch:
        warmup = values["warmup_steps"]
    if warmup >= values["epoch_size"] * updates:
        raise ValueError(f"{said(warmup_key)} leaves nothing of {said('epoch_size')}: it must be smaller")
    if warmup + cooldown(values) * updates >= values["epoch_size"] * updates:
        both = f"{said(warmup_key)} and {said('cooldown_epochs')}"
        raise ValueError(f"{both} leave nothing of {said('epoch_size')}: together they must be smaller")
    if values["min_lr"] > values["lr"]:
        raise ValueError(f"{said('min_lr')} is above {said('lr')}: it must not be")
    if scheduler == "step_decay" and values["decay_epochs"] is None:
        raise ValueError(f"{said('scheduler')} needs decay_epochs, the number of epochs between two drops")
    rate = values["decay_rate"]
    if (
        rate is not None
        and rate > 1
        and scheduler in SCHEDULERS.users("decay_rate")
        and scheduler != "polynomial_decay"
    ):
        raise ValueError(f"{said('decay_rate')} must be in (0, 1] with {said('scheduler')}: the rate would rise")
    # With a drop inside the warmup the rate would rise towards lr and fall at once. Counted in updates, so that the
    # first one after a warmup of fractional length is made at lr.
    drops, first = first_drop(values)
    if first * updates <= (math.ceil(warmup) if updates_per_epoch else warmup):
        raise ValueError(
            f"{said(warmup_key)} must end before the first drop of {said(drops)}: epochs count from the start"
        )
