"""Builds the learning rate schedule of a run: a plain list of floats, one per optimizer update."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mindcv.registry import Registry
from mindcv.scheduler.schedules import cosine_decay, linear_warmup, multi_step_decay, step_decay

SCHEDULERS = Registry("scheduler")


@dataclass(frozen=True)
class ScheduleSettings:
    """What a registered schedule may use; the meaning of each field is that of `create_scheduler`."""

    lr: float
    epochs: int
    updates_per_epoch: int
    min_lr: float
    warmup_epochs: float
    decay_epochs: float | None
    decay_rate: float
    milestones: tuple[float, ...]

    @property
    def num_updates(self) -> int:
        return self.epochs * self.updates_per_epoch

    @property
    def warmup_updates(self) -> float:
        return self.warmup_epochs * self.updates_per_epoch


def create_scheduler(
    scheduler: str,
    *,
    lr: float,
    epochs: int,
    updates_per_epoch: int,
    min_lr: float = 0.0,
    warmup_epochs: float = 0.0,
    warmup_factor: float = 0.01,
    decay_epochs: float | None = None,
    decay_rate: float = 0.1,
    multi_step_decay_milestones: Sequence[float] = (30, 60, 90),
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
    settings = ScheduleSettings(
        lr=_number("lr", lr),
        epochs=_count("epochs", epochs),
        updates_per_epoch=_count("updates_per_epoch", updates_per_epoch),
        min_lr=_number("min_lr", min_lr),
        warmup_epochs=_number("warmup_epochs", warmup_epochs),
        decay_epochs=None if decay_epochs is None else _number("decay_epochs", decay_epochs),
        decay_rate=_number("decay_rate", decay_rate),
        milestones=tuple(_number("multi_step_decay_milestones", m) for m in multi_step_decay_milestones),
    )
    _check(settings, _number("warmup_factor", warmup_factor))
    after_warmup = build(settings)
    warmup = settings.warmup_updates
    return [
        linear_warmup(update, warmup, warmup_factor * lr, lr) if update < warmup else after_warmup(update)
        for update in range(settings.num_updates)
    ]


@SCHEDULERS.register("constant")
def _constant(settings: ScheduleSettings) -> Callable[[int], float]:
    return lambda update: settings.lr


@SCHEDULERS.register("cosine_decay")
def _cosine_decay(settings: ScheduleSettings) -> Callable[[int], float]:
    first = math.ceil(settings.warmup_updates)
    if settings.decay_epochs is None:
        length = settings.num_updates - first
    else:
        length = max(round(settings.decay_epochs * settings.updates_per_epoch), 1)
    return lambda update: cosine_decay(update - first, length, settings.lr, settings.min_lr)


@SCHEDULERS.register("step_decay")
def _step_decay(settings: ScheduleSettings) -> Callable[[int], float]:
    every = settings.decay_epochs
    if every is None:
        raise ValueError("step_decay needs decay_epochs, the number of epochs between two drops; got None.")
    _check_first_drop("decay_epochs", every, settings)

    def rate(update: int) -> float:
        epoch = update / settings.updates_per_epoch
        return max(step_decay(epoch, settings.lr, every, settings.decay_rate), settings.min_lr)

    return rate


@SCHEDULERS.register("multi_step_decay")
def _multi_step_decay(settings: ScheduleSettings) -> Callable[[int], float]:
    milestones = settings.milestones
    if list(milestones) != sorted(set(milestones)):
        raise ValueError(f"multi_step_decay_milestones must be increasing epochs; got {milestones}.")
    if milestones:
        _check_first_drop("multi_step_decay_milestones", milestones[0], settings)

    def rate(update: int) -> float:
        epoch = update / settings.updates_per_epoch
        return max(multi_step_decay(epoch, settings.lr, milestones, settings.decay_rate), settings.min_lr)

    return rate


def _number(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number; got {value!r}.")
    return value


def _count(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1; got {value!r}.")
    return value


def _check(settings: ScheduleSettings, warmup_factor: float) -> None:
    if settings.lr <= 0:
        raise ValueError(f"lr must be above 0; got {settings.lr}.")
    if not 0 <= settings.min_lr <= settings.lr:
        raise ValueError(f"min_lr must lie between 0 and lr = {settings.lr}; got {settings.min_lr}.")
    if not 0 <= settings.warmup_epochs < settings.epochs:
        raise ValueError(
            f"warmup_epochs must be at least 0 and below the length of the run, {settings.epochs} epochs; "
            f"got {settings.warmup_epochs}."
        )
    if not 0 < warmup_factor < 1:
        raise ValueError(f"warmup_factor must lie strictly between 0 and 1; got {warmup_factor}.")
    if settings.decay_epochs is not None and settings.decay_epochs <= 0:
        raise ValueError(f"decay_epochs must be above 0; got {settings.decay_epochs}.")
    if not 0 < settings.decay_rate <= 1:
        raise ValueError(f"decay_rate must be above 0 and at most 1; got {settings.decay_rate}.")


def _check_first_drop(name: str, epoch: float, settings: ScheduleSettings) -> None:
    # A drop inside the warmup would make the rate climb towards lr and jump down at once: never what was meant. Counted
    # in updates, so that the first one after a warmup of fractional length is made at lr.
    if epoch * settings.updates_per_epoch <= math.ceil(settings.warmup_updates):
        raise ValueError(
            f"{name}: epochs are counted from the start of training, so the first drop must come after the warmup "
            f"of {settings.warmup_epochs} epochs; got {epoch}."
        )
