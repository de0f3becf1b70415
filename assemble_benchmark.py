"""Builds what benchmark.py measures: what train.py and validate.py would build from the same options."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from mindspore import nn

from assemble import build_to_infer, is_mixed, made_faster
from assemble_data import build_training_loader
from assemble_training import build_step, build_to_train, fit_to_epoch, weigh_classes
from assemble_weights import weights_to_start
from config import OPTIONS, Config, load_config
from measure import why_no_data
from mindcv.checkpoint import Checkpoint
from mindcv.data import Loader
from mindcv.engine import RunLength, TrainStep
from mindcv.models import build_model, check_batch_norms, default_cfg, freeze
from mindcv.models.classifier import CIFAR
from mindcv.weights.load import num_classes

_OWN = "benchmark.py"  # where the options that it decides come from


class Subject(NamedTuple):
    """What is measured: the configurations of train.py and validate.py, and the weights if any are named.

    Attributes:
        why_no_data: why the images are random ones; "" if data are given.
    """

    training: Config
    evaluation: Config
    weights: Checkpoint | None
    why_no_data: str

    @property
    def why_no_accuracy(self) -> str:
        return self.why_no_data or ("" if self.weights else "no weights are given: --ckpt_path or --pretrained")


def subject(argv: Sequence[str], mode: int) -> Subject:
    """The subject of a command line of benchmark.py.

    Data are given if the command line, a recipe whose folder exists, or the checkpoint names them. Otherwise the images
    are random, for as many classes as the options, the weights or ImageNet have.
    """
    config = load_config(argv, prog="benchmark").insist({"mode": mode}, _OWN)
    model, reason = config.model, why_no_data(config)
    if reason and not model.ckpt_path:
        config = _with_random_images(config, None)
    named = config.for_script("validate" if model.ckpt_path or model.pretrained else "train")
    config, weights = weights_to_start(named)
    if reason and weights and model.ckpt_path:
        if "dataset" in weights.info.get("config", {}):
            reason = ""
        else:
            config = _with_random_images(config, weights)
    return Subject(config.for_script("train"), config.for_script("validate"), weights, reason)


def _with_random_images(config: Config, weights: Checkpoint | None) -> Config:
    classes = config.model.num_classes or (10 if default_cfg(config.model.model) == CIFAR else 1000)
    if weights:
        classes = num_classes(weights)
    images = {"dataset": "synthetic", "num_classes": classes, "num_samples": max(config.data.batch_size, 2)}
    not_theirs = {key: OPTIONS[key].default for key in ("data_dir", "train_split", "val_split", "folds")}
    return config.insist(images | not_theirs, _OWN)


class Training(NamedTuple):
    """What train.py trains with."""

    config: Config
    loader: Loader
    length: RunLength
    step: TrainStep
    learning_rates: list[float]


def build_training(what: Subject, steps: int) -> Training:
    """What train.py would build, for at least `steps` updates."""
    config = what.training
    loader = build_training_loader(config, what.weights, resumes=False)
    if not what.why_no_data:
        config = fit_to_epoch(config, len(loader))
    accumulate_steps = config.step.gradient_accumulation_steps
    # The length decides about nothing but the list of learning rates.
    batches = 100 * accumulate_steps if what.why_no_data else len(loader)
    epochs = max(config.train.epoch_size, math.ceil(steps * accumulate_steps / batches))
    length = RunLength(epochs, batches, accumulate_steps)
    network = build_to_train(config, loader.dataset.class_names, what.weights)
    freeze(network, config.model.freeze, config.model.freeze_bn)
    check_batch_norms(network, loader.smallest_batch, config.image.image_resize)
    step, learning_rates = build_step(weigh_classes(config, loader.dataset), network, length)
    return Training(config, loader, length, step, learning_rates)


def build_inference(what: Subject, classes: int) -> nn.Cell:
    """The network of validate.py: with the weights, or with random ones for so many classes."""
    config, in_channels = what.evaluation, what.evaluation.image.in_channels
    if what.weights:
        return build_to_infer(config, what.weights)
    forms = not is_mixed(config)
    network = build_model(config.model.model, num_classes=classes, in_channels=in_channels, device_forms=forms)
    return made_faster(config, network)
