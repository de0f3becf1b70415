"""Pictures of what a training would do, without training."""

from pathlib import Path

from assemble import build_rates, fit_to_epoch
from assemble_data import build_training_loader, say_remarks
from config import Config
from mindcv.checkpoint import Checkpoint
from mindcv.console import say
from mindcv.engine import RunLength
from mindcv.report import plot_schedule
from mindcv.scheduler import phases


def draw_schedule(config: Config, weights: Checkpoint | None, *, resumes: bool) -> None:
    """Draw the learning rate of a run as the file `plot_schedule`. The data set says how many updates an epoch has.

    Args:
        weights, resumes: as for `build_training_loader`.
    """
    loader = build_training_loader(config, weights, resumes=resumes)
    say_remarks(loader.dataset)
    config = fit_to_epoch(config, len(loader))
    schedule, options = config.schedule, config.train
    length = RunLength(options.epoch_size, len(loader), config.step.gradient_accumulation_steps)
    title = f"{schedule.scheduler}, lr={schedule.lr:g}, {length.epochs} epochs"
    plot_schedule(
        Path(options.plot_schedule),
        build_rates(config, length),
        length.updates_per_epoch,
        title=title + (", before any drop" if schedule.scheduler == "plateau" else ""),
        phases=phases(vars(schedule), length.epochs, length.updates_per_epoch),
    )
    say(f"the learning rate of {length.epochs} epochs is drawn in {options.plot_schedule}")
