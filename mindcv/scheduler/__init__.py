"""Learning rate schedules: one rate per optimizer update."""

from mindcv.scheduler.factory import SCHEDULERS, create_scheduler, phases, plateau_factor

__all__ = ["SCHEDULERS", "create_scheduler", "phases", "plateau_factor"]
