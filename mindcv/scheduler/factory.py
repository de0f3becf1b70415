"""Builds the learning rate schedule of a run: a plain list of floats, one per optimizer update."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mindcv.arguments import DECAY_EPOCHS, DECAY_RATE, LR, MILESTONES, MIN_LR, WARMUP_EPOCHS, WARMUP_FACTOR
from mindcv.keywords import also_called
from mindcv.registry import Registry
from mindcv.scheduler.schedules import cosine_decay, linear_warmup, multi_step_decay, step_decay

# A schedule takes a run and, as keywords, the options that it uses: choices, help, remarks on options without effect
# and checks follow from this record. It returns the learning rate of an update after the warmup.
SCHEDULERS: Registry[Callable[..., Callable[[int], float]]] = Registry("scheduler")


@dataclass(frozen=True)
class _Run:
    lr: float
    epochs: int
    updates_per_epoch: int
    warmup_epochs: float

    @property
    def num_updates(self) -> int:
        return self.epochs * self.updates_per_epoch

    @property
    def warmup_updates(self) -> float:
        return self.warmup_epochs * self.updates_per_epoch


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
    min_lr: float = MIN_LR.default,
    warmup_epochs: float = WARMUP_EPOCHS.default,
    warmup_factor: float = WARMUP_FACTOR.default,
    decay_epochs: float | None = DECAY_EPOCHS.default,
    decay_rate: float = DECAY_RATE.default,
    multi_step_decay_milestones: Sequence[float] = MILESTONES.default,
) -> list[float]:
    """Learning rate of every optimizer update of a run.

    Epochs are absolute: milestones and steps are counted from the start of training, not from the end of the warmup.
    Settings that a schedule does not use (`decay_rate` with a cosine) have no effect.

    Args:
        scheduler: "constant", "cosine_decay", "step_decay" or "multi_step_decay".
        lr: highest learning rate, > 0, reached by the first update after the warmup.
        epochs: length of the run.
        updates_per_epoch: optimizer updates in one epoch (batches divided by the accumulation steps).
        min_lr: lowest rate of a decay, in [0, lr]: where the cosine ends, and the floor of the step decays.
        warmup_epochs: length of the linear warmup, from 0 to below `epochs`; may be fractional.
        warmup_factor: the first update of a warmup is made at `warmup_factor * lr`; in (0, 1).
        decay_epochs: cosine: length of the decay after the warmup (None: up to the last update, which is then made at
            `min_lr`). step_decay: epochs between two drops, required.
        decay_rate: factor of each drop of the step decays, in (0, 1].
        multi_step_decay_milestones: epochs at which multi_step_decay drops, increasing.

    Returns:
        `epochs * updates_per_epoch` floats.

    Raises:
        ValueError: if the name is unknown or an argument is outside the range given above.
    """
    build = SCHEDULERS.get(scheduler)
    for name, count in (("epochs", epochs), ("updates_per_epoch", updates_per_epoch)):
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ValueError(f"{name} must be a whole number of at least 1; got {count!r}.")
    milestones = tuple(multi_step_decay_milestones)
    LR.check(lr)
    MIN_LR.check(min_lr)
    WARMUP_EPOCHS.check(warmup_epochs)
    WARMUP_FACTOR.check(warmup_factor)
    DECAY_EPOCHS.check(decay_epochs)
    DECAY_RATE.check(decay_rate)
    MILESTONES.check(milestones)
    values = {
        **{"scheduler": scheduler, "epoch_size": epochs, "lr": lr, "warmup_epochs": warmup_epochs, "min_lr": min_lr},
        **{"decay_epochs": decay_epochs, "decay_rate": decay_rate, "multi_step_decay_milestones": milestones},
    }
    check_schedule(values, lambda key: f"{'epochs' if key == 'epoch_size' else key}={values[key]}", updates_per_epoch)
    run = _Run(lr, epochs, updates_per_epoch, warmup_epochs)
    after_warmup = build(run, **{key: values[key] for key in SCHEDULERS.options(scheduler)})
    warmup = run.warmup_updates
    return [
        linear_warmup(update, warmup, warmup_factor * lr, lr) if update < warmup else after_warmup(update)
        for update in range(run.num_updates)
    ]


@SCHEDULERS.register("constant")
def _constant(run: _Run) -> Callable[[int], float]:
    return lambda update: run.lr


@SCHEDULERS.register("cosine_decay")
def _cosine_decay(run: _Run, *, min_lr: float, decay_epochs: float | None) -> Callable[[int], float]:
    first = math.ceil(run.warmup_updates)
    length = run.num_updates - first if decay_epochs is None else max(round(decay_epochs * run.updates_per_epoch), 1)
    return lambda update: cosine_decay(update - first, length, run.lr, min_lr)


@SCHEDULERS.register("step_decay")
def _step_decay(run: _Run, *, min_lr: float, decay_epochs: float, decay_rate: float) -> Callable[[int], float]:
    def rate(update: int) -> float:
        return max(step_decay(update / run.updates_per_epoch, run.lr, decay_epochs, decay_rate), min_lr)

    return rate


@SCHEDULERS.register("multi_step_decay")
def _multi_step_decay(
    run: _Run, *, min_lr: float, decay_rate: float, multi_step_decay_milestones: Sequence[float]
) -> Callable[[int], float]:
    def rate(update: int) -> float:
        epoch = update / run.updates_per_epoch
        return max(multi_step_decay(epoch, run.lr, multi_step_decay_milestones, decay_rate), min_lr)

    return rate


def first_drop(values: Mapping[str, Any]) -> tuple[str, float]:
    """The option that sets the first drop of the learning rate, and its epoch; infinity if there is no drop."""
    if values["scheduler"] == "step_decay":
        return "decay_epochs", values["decay_epochs"] or math.inf
    milestones = values["multi_step_decay_milestones"] if values["scheduler"] == "multi_step_decay" else ()
    return "multi_step_decay_milestones", milestones[0] if milestones else math.inf


def check_schedule(values: Mapping[str, Any], said: Callable[[str], str], updates_per_epoch: int = 0) -> None:
    """Raise ValueError if options of a schedule contradict each other; `said` formats a value for the message.

    `updates_per_epoch` is 0 if it is not yet known.
    """
    if values["warmup_epochs"] >= values["epoch_size"]:
        raise ValueError(f"{said('warmup_epochs')} leaves nothing of {said('epoch_size')}: it must be smaller")
    if values["min_lr"] > values["lr"]:
        raise ValueError(f"{said('min_lr')} is above {said('lr')}: it must not be")
    if values["scheduler"] == "step_decay" and values["decay_epochs"] is None:
        raise ValueError(f"{said('scheduler')} needs decay_epochs, the number of epochs between two drops")
    # With a drop inside the warmup the rate would rise towards lr and fall at once. Counted in updates, so that the
    # first one after a warmup of fractional length is made at lr.
    drops, first = first_drop(values)
    updates = updates_per_epoch or 1
    warmup = values["warmup_epochs"] * updates
    if first * updates <= (math.ceil(warmup) if updates_per_epoch else warmup):
        raise ValueError(
            f"{said('warmup_epochs')} must end before the first drop of {said(drops)}: epochs count from the start"
        )
