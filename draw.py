"""Pictures of what a training would do, without training."""

import contextlib
from pathlib import Path

from assemble_data import build_training_loader, say_remarks
from assemble_training import build_rates, fit_to_epoch
from config import Config
from mindcv.checkpoint import Checkpoint
from mindcv.console import say
from mindcv.data.transforms import normalization
from mindcv.distributed import World
from mindcv.engine import RunLength
from mindcv.report import plot_schedule, write_contact_sheet
from mindcv.scheduler import phases


def draws_instead(config: Config, weights: Checkpoint | None, *, resumes: bool) -> bool:
    """Draw the pictures that were asked for, and return whether there were any; see `build_training_loader`."""
    pictures = ((config.train.plot_schedule, draw_schedule), (config.train.show_augment, draw_augmentation))
    asked = [draw for path, draw in pictures if path]
    for draw in asked:
        draw(config, weights, resumes=resumes)
    return bool(asked)


def draw_schedule(config: Config, weights: Checkpoint | None, *, resumes: bool) -> None:
    """Draw the learning rate of a run as the file `plot_schedule`. The data set says how many updates an epoch has.

    Args:
        weights, resumes: as for `build_training_loader`.
    """
    loader = build_training_loader(config, weights, resumes=resumes, world=World(size=config.runtime.processes))
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


def draw_augmentation(config: Config, weights: Checkpoint | None, *, resumes: bool) -> None:
    """Draw the first batches of epoch 1, the very ones of the training, as a PNG; see `build_training_loader`."""
    loader = build_training_loader(config, weights, resumes=resumes, world=World(size=config.runtime.processes))
    say_remarks(loader.dataset)
    mean, std = normalization(config.image.mean, config.image.std, config.image.in_channels)
    path, count, views = config.train.show_augment, len(loader), max(config.aug_splits, 1)
    title = f"{config.data.dataset}, epoch 1, the first images of each batch of {config.data.batch_size}"
    with contextlib.closing(loader.epoch(1)) as epoch:
        shown = write_contact_sheet(
            path, epoch, count, loader.dataset.class_names, mean=mean, std=std, title=title, splits=views
        )
    say(f"written to {path}: images of the first {shown} of {count} training batches")
