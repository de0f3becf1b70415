"""Builds what a training needs beyond its data: network, learning rates, step, and their description."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy
from mindspore import nn

from assemble import apply_layout, apply_precision, check_num_classes, is_mixed
from config import COMMAND_LINE, Config
from mindcv.checkpoint import Checkpoint, check_fits
from mindcv.console import say
from mindcv.data import Dataset
from mindcv.distributed import ALONE, World
from mindcv.engine import (
    Callback,
    Clip,
    PlateauRates,
    Progress,
    RunLength,
    TrainStep,
    WeightAverage,
    create_loss_scale,
    step_for_device,
)
from mindcv.files import listed
from mindcv.loss import LOSSES, MULTI_LABEL, create_loss
from mindcv.models import build_model, recompute_blocks
from mindcv.optim import create_optimizer
from mindcv.options.option import show
from mindcv.options.schedule_together import lr_from_base
from mindcv.scheduler import create_scheduler, phases, plateau_factor
from mindcv.weights.load import load_weights


def fit_to_epoch(config: Config, batches: int) -> Config:
    """Limit the accumulation steps to the batches of an epoch, unless they are set on the command line.

    A learning rate that follows from `lr_base` is then that of the shorter update.
    """
    wanted, source = config.step.gradient_accumulation_steps, config.sources["gradient_accumulation_steps"]
    if wanted <= batches or source == COMMAND_LINE:
        return config
    fitted, lr = replace(config, step=replace(config.step, gradient_accumulation_steps=batches)), ""
    if config.lr_base.lr_base is not None:
        fitted = replace(fitted, schedule=replace(config.schedule, lr=lr_from_base(fitted.to_dict())))
        lr = f": lr={show(fitted.schedule.lr)}"
    say(f"gradient_accumulation_steps={wanted} ({source}) gives way to the {batches} batches of an epoch{lr}")
    return fitted


def build_to_train(config: Config, class_names: Sequence[str], weights: Checkpoint | None) -> nn.Cell:
    """The network for these classes, starting from the weights if there are any.

    A classifier of other classes is replaced by a new one; a first convolution for other input channels is adapted.

    Raises:
        ValueError: if the network, the data set and the weights do not belong together.
    """
    check_num_classes(config, class_names)
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
        device_forms=not is_mixed(config),
    )
    if weights:
        its_classes = weights.info.get("class_names")
        load_weights(
            network, weights, adapt=True, new_classifier=bool(its_classes) and its_classes != list(class_names)
        )
    return network


def build_rates(config: Config, length: RunLength) -> list[float]:
    """The learning rate of each update of a run.

    Raises:
        ValueError: if an option of the schedule is illegal.
    """
    return create_scheduler(**vars(config.schedule), epochs=length.epochs, updates_per_epoch=length.updates_per_epoch)


def build_step(
    config: Config, network: nn.Cell, length: RunLength, world: World = ALONE
) -> tuple[TrainStep, list[float]]:
    """The training step, and the learning rate of each of its updates.

    Raises:
        ValueError: if an option of the loss, optimizer, schedule or recomputing is illegal.
    """
    options = config.step
    learning_rates = build_rates(config, length)
    apply_layout(config, network)
    apply_precision(config, network)
    if options.recompute:
        recompute_blocks(network)
    if config.loss.aux_factor and not getattr(network, "aux_logits", False):
        raise ValueError(
            f"aux_factor={config.loss.aux_factor:g} ({config.sources['aux_factor']}), but {config.model.model} has no "
            "auxiliary classifiers: leave it out, or set it to 0."
        )
    optimizer = create_optimizer(network, **vars(config.optim), lr=learning_rates)
    exempt = network.depth_groups()[-1] if options.clip_mode == "agc" else ()
    clip = Clip(options.clip_mode, options.clip_value, optimizer.parameters, exempt) if options.clip_grad else None
    step = step_for_device(options.guard)(
        network,
        create_loss(**vars(config.loss), aug_splits=config.aug_splits),
        optimizer,
        clip=clip,
        accumulate_steps=length.accumulate_steps,
        loss_scale=create_loss_scale(
            options.loss_scale_type,
            options.loss_scale,
            options.amp_level,
            options.amp_dtype,
            skips_overflow=options.drop_overflow_update,
        ),
        average=WeightAverage(network, options.ema_decay, options.ema_warmup) if options.ema else None,
        world=world,
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


def weigh_classes(config: Config, training: Dataset) -> Config:
    """The configuration with a number for each class if the loss uses `class_weights`.

    "balanced" is N / (K * images of the class), so that each class has the same total weight.

    Raises:
        ValueError: if there are not as many numbers as classes, or a class to balance has no image; with several labels
            per image if classes are to be balanced, or the loss expects one label.
    """
    _check_loss(config, training)
    names, weights = training.class_names, config.loss.class_weights
    if weights is None or "class_weights" not in LOSSES.options(config.loss.loss):
        return config
    if weights == "balanced" and training.is_multi_label:
        raise ValueError(
            f"class_weights=balanced is for one label per image, and data set {training.name!r} has several: each "
            f"image answers for every class, so that classes weigh the same already. Give {len(names)} numbers, or "
            "use a loss that weighs the labels of 1 and 0: --loss=asl_multi_label, or --loss=focal with --focal_alpha."
        )
    if weights == "balanced":
        counts = numpy.bincount(training.labels, minlength=len(names))
        if not counts.all():
            missing = [repr(name) for name, count in zip(names, counts, strict=True) if not count]
            raise ValueError(
                f"class_weights=balanced needs at least one training image of each class; there is none of "
                f"{listed(missing)}. Give the weights as {len(names)} numbers instead."
            )
        weights = tuple((len(training) / (len(names) * counts)).tolist())
    elif len(weights) != len(names):
        raise ValueError(
            f"class_weights must be {len(names)} numbers, one for each class of data set {config.data.dataset!r}; "
            f"got {len(weights)}."
        )
    return replace(config, loss=replace(config.loss, class_weights=weights))


def _check_loss(config: Config, training: Dataset) -> None:
    """Raise ValueError if images have several labels and the loss expects one."""
    name = config.loss.loss
    if training.is_multi_label and name not in MULTI_LABEL:
        raise ValueError(
            f"loss={name} ({config.sources['loss']}) is for one label per image, but data set {training.name!r} has "
            f"several: use one of {', '.join(MULTI_LABEL)}, for example --loss={MULTI_LABEL[0]}."
        )
