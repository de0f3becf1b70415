"""Builds the objects of a configuration, for all scripts.

The only module that knows both the options of config.py and the factories of mindcv.
"""

import os
import platform
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import mindspore
import numpy
from mindspore import nn

from config import COMMAND_LINE, OPTIONS, Config
from mindcv.checkpoint import Checkpoint, CheckpointStore, check_fits
from mindcv.console import say
from mindcv.data import Loader
from mindcv.engine import (
    Callback,
    Clip,
    PlateauRates,
    Progress,
    RunLength,
    TrainStep,
    WeightAverage,
    create_loss_scale,
)
from mindcv.export import ExportedNetwork
from mindcv.loss import create_loss
from mindcv.models import build_model, prepare_for_inference, recompute_blocks, set_precision
from mindcv.optim import create_optimizer
from mindcv.runtime import on_cpu
from mindcv.scheduler import create_scheduler, phases, plateau_factor
from mindcv.version import __version__
from mindcv.weights.download import cache_folder
from mindcv.weights.load import load_weights, num_classes


def graph_folder(config: Config) -> Path | None:
    """The folder in which compiled graphs are kept between starts; None without the cache."""
    return cache_folder() / "graphs" if config.runtime.compile_cache else None


def describe_graphs(config: Config, network: nn.Cell | ExportedNetwork) -> dict[str, Any]:
    """Everything but the sources that determines a script's graphs, for `compiled_graphs_kept`."""
    options = {name: value for name, value in config.to_dict().items() if OPTIONS[name].in_graph}
    return {"options": options, "network": getattr(network, "description", None)}


def build_store(config: Config) -> CheckpointStore:
    """The checkpoint store of a run; creates nothing yet."""
    options = config.train
    return CheckpointStore(
        options.ckpt_save_dir,
        config.model.model,
        keep=options.keep_checkpoint_max,
        policy=options.ckpt_save_policy if options.val_while_train else "latest_k",
        interval=options.ckpt_save_interval,
    )


def fit_to_epoch(config: Config, batches: int) -> Config:
    """Limit the accumulation steps to the batches of an epoch, unless they are set on the command line."""
    wanted, source = config.step.gradient_accumulation_steps, config.sources["gradient_accumulation_steps"]
    if wanted <= batches or source == COMMAND_LINE:
        return config
    say(f"gradient_accumulation_steps={wanted} ({source}) gives way to the {batches} batches of an epoch")
    return replace(config, step=replace(config.step, gradient_accumulation_steps=batches))


def build_rates(config: Config, length: RunLength) -> list[float]:
    """The learning rate of each update of a run.

    Raises:
        ValueError: if an option of the schedule is illegal.
    """
    return create_scheduler(**vars(config.schedule), epochs=length.epochs, updates_per_epoch=length.updates_per_epoch)


def build_step(config: Config, network: nn.Cell, length: RunLength) -> tuple[TrainStep, list[float]]:
    """The training step, and the learning rate of each of its updates.

    Raises:
        ValueError: if an option of the loss, optimizer, schedule or recomputing is illegal.
    """
    options = config.step
    learning_rates = build_rates(config, length)
    _set_precision(config, network)
    if options.recompute:
        recompute_blocks(network)
    if config.loss.aux_factor and not getattr(network, "aux_logits", False):
        raise ValueError(
            f"aux_factor={config.loss.aux_factor:g} ({config.sources['aux_factor']}), but {config.model.model} has no "
            "auxiliary classifiers: leave it out, or set it to 0."
        )
    optimizer = create_optimizer(network, **vars(config.optim), lr=learning_rates)
    clip = Clip(options.clip_mode, options.clip_value, optimizer.parameters, exempt=network.depth_groups()[-1])
    step = TrainStep(
        network,
        create_loss(**vars(config.loss), aug_splits=config.augment.aug_splits),
        optimizer,
        clip=clip if options.clip_grad else None,
        accumulate_steps=length.accumulate_steps,
        loss_scale=create_loss_scale(
            options.loss_scale_type,
            options.loss_scale,
            options.amp_level,
            options.amp_dtype,
            skips_overflow=options.drop_overflow_update,
        ),
        average=WeightAverage(network, options.ema_decay, options.ema_warmup) if options.ema else None,
    )
    return step, learning_rates


def rate_callbacks(
    config: Config, length: RunLength, step: TrainStep, learning_rates: list[float], progress: Progress
) -> list[Callback]:
    """What changes the learning rates during the run, before its first step: a callback for "plateau", else nothing."""
    schedule = config.schedule
    if schedule.scheduler != "plateau":
        return []
    keys = ("lr", "min_lr", "decay_rate", "patience_epochs")
    _, warmup = phases(vars(schedule), length.epochs, length.updates_per_epoch)["warmup"]
    factor = partial(plateau_factor, **{key: getattr(schedule, key) for key in keys}, warmup_epochs=warmup)
    return [PlateauRates(step.optimizer, learning_rates, factor, progress.history)]


def build_to_train(config: Config, class_names: Sequence[str], weights: Checkpoint | None) -> nn.Cell:
    """The network for these classes, starting from the weights if there are any.

    A classifier of other classes is replaced by a new one; a first convolution for other input channels is adapted.

    Raises:
        ValueError: if the network, the data set and the weights do not belong together.
    """
    _check_num_classes(config, class_names)
    model = config.model
    if weights:
        check_fits(weights, model=model.model)
    network = build_model(
        model.model,
        weights,
        num_classes=len(class_names),
        in_channels=config.image.in_channels,
        drop_rate=model.drop_rate,
        drop_path_rate=model.drop_path_rate,
        drop_block_rate=model.drop_block_rate,
        device_forms=not _is_mixed(config),
    )
    if weights:
        its_classes = weights.info.get("class_names")
        load_weights(
            network, weights, adapt=True, new_classifier=bool(its_classes) and its_classes != list(class_names)
        )
    return network


def describe_run(
    config: Config, network: nn.Cell, loader: Loader, length: RunLength, device: str
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
        "device": device,
        "num_parallel_workers": loader.num_parallel_workers,
        "num_examples": len(loader.dataset),
        "updates_per_epoch": length.updates_per_epoch,
    }
    return info, training


def build_to_run(
    config: Config, weights: Checkpoint, class_names: Sequence[str] | None = None, *, device_forms: bool = True
) -> nn.Cell:
    """The network with exactly these weights, or the exported network.

    Args:
        class_names: those of the data set to evaluate on; None if there is none.
        device_forms: as in `create_model`.

    Raises:
        ValueError: if the network, the data set and the weights do not belong together.
    """
    if class_names is not None:
        _check_num_classes(config, class_names)
    in_channels = config.image.in_channels
    check_fits(weights, class_names, model=config.model.model, in_channels=in_channels)
    if weights.names == "exported":
        return ExportedNetwork(weights.path)
    classes = len(class_names) if class_names is not None else num_classes(weights)
    network = build_model(
        config.model.model, weights, num_classes=classes, in_channels=in_channels, device_forms=device_forms
    )
    load_weights(network, weights)
    return network


def build_to_infer(config: Config, weights: Checkpoint, class_names: Sequence[str] | None = None) -> nn.Cell:
    """`build_to_run`, made faster: must not be saved, exported or trained. An exported network is unchanged."""
    network = build_to_run(config, weights, class_names, device_forms=not _is_mixed(config))
    if isinstance(network, ExportedNetwork):
        return network
    network = prepare_for_inference(network, fold_bn=config.model.fold_bn)
    _set_precision(config, network)
    return network


def _is_mixed(config: Config) -> bool:
    """Whether the script computes in mixed precision, which needs the textbook layers."""
    levels = {config.step.val_amp_level} | ({config.step.amp_level} if config.prog == "train" else set())
    return levels != {"O0"}


def _set_precision(config: Config, network: nn.Cell) -> None:
    options = config.step
    if _is_mixed(config) and options.amp_dtype == "bfloat16" and on_cpu():
        raise ValueError("amp_dtype=bfloat16: MindSpore has no such convolutions on a CPU. Use --amp_dtype=float16.")
    set_precision(network, options.amp_level, options.val_amp_level, options.amp_dtype)


def _check_num_classes(config: Config, class_names: Sequence[str]) -> None:
    if config.model.num_classes not in (None, len(class_names)):
        raise ValueError(
            f"num_classes={config.model.num_classes}, but data set {config.data.dataset!r} has {len(class_names)} "
            f"classes: leave --num_classes out, or set it to {len(class_names)}."
        )
