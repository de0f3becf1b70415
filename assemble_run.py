"""What is said and saved about a training as a whole: its beginning, its description in checkpoints, its end."""

import hashlib
import os
import platform
import signal
from typing import Any

import mindspore
import numpy
from mindspore import nn

from assemble import Arithmetic
from config import Config
from mindcv.checkpoint import CheckpointStore
from mindcv.console import say
from mindcv.data import Loader
from mindcv.distributed import World
from mindcv.engine import EarlyStop, Measured, Progress, RunLength, SaveCheckpoints, TrainState
from mindcv.report import BadImagesFile, finished, interrupted
from mindcv.version import __version__


def check_agreement(
    world: World, state: TrainState, progress: Progress, length: RunLength, loader: Loader, learning_rates: list[float]
) -> None:
    """Check that several processes begin with the same weights, at the same place, on the same data.

    Raises:
        ValueError: in each of them, if they do not.
    """
    if world.size == 1:
        return
    world.check_agreement(
        {
            "complete epochs": progress.epoch,
            "batches of the epoch": progress.batch,
            "batches per epoch": length.steps_per_epoch,
            "training images": len(loader.dataset),
        },
        {
            "weights": _digest(*state.weights().values()),
            "optimizer state": _digest(*state.arrays().values()),
            "class names": _digest(numpy.array(loader.dataset.class_names)),
            "learning rates": _digest(numpy.array(learning_rates)),
        },
    )


def _digest(*arrays: numpy.ndarray) -> int:
    """A number below 2^40 that differs if the arrays do."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(numpy.ascontiguousarray(array).tobytes())
    return int.from_bytes(found.digest()[:5], "little")


def introduce(
    config: Config, network: nn.Cell, arithmetic: Arithmetic, loader: Loader, validation: Loader | None, frozen: str
) -> None:
    """Say what will be trained, on what, and what `freeze` has said about it."""
    processes = config.runtime.processes
    together = f", {processes} processes with batches of {config.data.batch_size}" if processes > 1 else ""
    weights = sum(parameter.size for parameter in network.trainable_params())
    to_validate = f", {len(validation.dataset):,} to validate" if validation is not None else ""
    say(f"{config.model.model}: {weights:,} parameters, on {arithmetic.in_words()}{together}")
    say(f"{config.data.dataset}: {len(loader.dataset):,} images to train{to_validate}")
    if frozen:
        say(frozen)


def describe_run(
    config: Config, network: nn.Cell, loader: Loader, length: RunLength, arithmetic: Arithmetic
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The description in every checkpoint of a run, and what resuming needs in addition to the state.

    Relative paths in "config" start from "folder".
    """
    info = {
        "model": network.description,
        "config": config.to_dict(),
        "folder": os.getcwd(),
        "class_names": list(loader.dataset.class_names),
        "held_out": loader.dataset.held_out,
        "is_multi_label": loader.dataset.is_multi_label,
        "versions": {
            "mindcv": __version__,
            "mindspore": mindspore.__version__,
            "numpy": numpy.__version__,
            "python": platform.python_version(),
        },
    }
    training = {
        **arithmetic._asdict(),
        "num_parallel_workers": loader.num_parallel_workers,
        "num_examples": len(loader.dataset),
        "updates_per_epoch": length.updates_per_epoch,
    }
    return info, training


def conclude(
    config: Config,
    store: CheckpointStore,
    progress: Progress,
    length: RunLength,
    saver: SaveCheckpoints,
    early_stop: EarlyStop,
    kind: type[Measured],
    bad_images: BadImagesFile,
    signum: int | None,
) -> int:
    """Say how a training ended and what to do next; returns the exit code.

    Args:
        bad_images: the list of the main process, which takes in those of the others.
        signum: of the signal that this process got; None if it got none, and another may have.

    Raises:
        OSError: if the last checkpoint could not be written.
    """
    bad_images.merge()
    is_short = progress.epoch < config.train.epoch_size
    ended_early = is_short and early_stop.reached(progress.history)
    if is_short and not ended_early:
        where, is_saved, by = progress.position(length), store.last.exists(), signum or signal.SIGTERM
        say(interrupted(config.model.model, store.folder, by, where, is_saved=is_saved, problem=saver.problem))
        return 128 + by
    if saver.problem:
        raise OSError(f"training is finished, but its last checkpoint is missing: {saver.problem}")
    if ended_early:
        say(early_stop.reason(progress.epoch, kind.metric()))
    checkpoint = store.best if progress.best else store.last
    counts = {"bad_steps": progress.bad_steps, "overflows": progress.overflows, "bad_images": len(bad_images)}
    say(finished(store.folder, checkpoint, best=progress.best, **counts))
    return 0
