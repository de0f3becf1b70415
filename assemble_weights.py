"""The weights that a configuration names, and their description."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from assemble import build_to_run
from config import COMMAND_LINE, OPTIONS, Config
from early import check_data_dir
from mindcv.checkpoint import Checkpoint, check_fits, network_weights
from mindcv.console import say
from mindcv.export import read_info
from mindcv.models import default_cfg
from mindcv.models.classifier import IMAGENET
from mindcv.paths import is_exported
from mindcv.weights import find_weights, imagenet_classes
from mindcv.weights.load import num_classes, read_published, read_weights

# Options of a saved configuration that belong to the command that wrote it.
NOT_INHERITED = {option.name for option in OPTIONS.values() if not option.inherited}
# For weights also the options that say where and from what their run started.
_NOT_OF_WEIGHTS = NOT_INHERITED | {
    *("ckpt_path", "pretrained", "device_target", "deterministic", "tf32", "num_parallel_workers", "channels_last"),
}
# Options that training inherits from published weights; from a checkpoint it takes only the weights.
_PREPROCESSING = {"mean", "std", "interpolation", "crop_pct"}


def weights_to_start(config: Config) -> tuple[Config, Checkpoint | None]:
    """The weights that a configuration names, and the configuration with their own values inherited.

    Raises:
        ValueError: if the weights cannot be obtained, are damaged, or are not those of the model asked for.
    """
    made_for = default_cfg(config.model.model)
    weights = _read_weights(config)
    inherited: dict[str, Any] = {}
    origin = ""
    if config.prog == "train" and made_for != IMAGENET:  # the options' defaults are ImageNet's
        inherited, origin = _in_channels(config, made_for._asdict()), f"the images of {config.model.model}"
    if weights and weights.info:
        if config.prog != "train":
            asked = {key: value for key, value in config.to_dict().items() if config.sources[key] == COMMAND_LINE}
            check_fits(weights, **{key: asked[key] for key in asked.keys() & weights.info["model"].keys()})
        inherited, origin = inherited | _inherited(config, weights), weights.info.get("weights", str(weights.path))
    if inherited:
        config = config.inherit(inherited, origin)
    if weights and config.prog == "validate":
        check_data_dir(config)
    for notice in config.notices:
        say(notice)
    return config, weights


def weights_to_use(config: Config) -> tuple[Config, Checkpoint]:
    """`weights_to_start` for a configuration that is known to name weights."""
    config, weights = weights_to_start(config)
    assert weights is not None
    return config, weights


def _read_weights(config: Config) -> Checkpoint | None:
    model = config.model
    if model.pretrained:
        record = find_weights(model.model, None if model.pretrained is True else model.pretrained)
        say(
            f"weights: {record.name} of {record.source} for {record.model}, licence {record.licence}, published top-1 "
            f"{record.top1:.2f} % at {record.eval_size}x{record.eval_size}"
        )
        return read_published(record)
    if config.prog in ("validate", "infer") and is_exported(model.ckpt_path):
        return Checkpoint(Path(model.ckpt_path), {}, read_info(model.ckpt_path), names="exported")
    return read_weights(model.ckpt_path) if model.ckpt_path else None


def _inherited(config: Config, weights: Checkpoint) -> dict[str, Any]:
    """The options that the run inherits from the weights' configuration."""
    own = saved_config(weights)
    if config.prog != "train":
        return {key: value for key, value in own.items() if key not in _NOT_OF_WEIGHTS}
    if not config.model.pretrained:
        return {}
    return _in_channels(config, {key: own[key] for key in _PREPROCESSING})


def _in_channels(config: Config, image: dict[str, Any]) -> dict[str, Any]:
    """Options of the section "image"; for grey images with the average of mean and std, as for the defaults."""
    if config.image.in_channels != 1:
        return image
    return image | {key: (sum(image[key]) / len(image[key]),) for key in ("mean", "std")}


def saved_config(checkpoint: Checkpoint) -> dict[str, Any]:
    """The configuration that a checkpoint was saved with, its data_dir as a path from the current folder.

    A relative data_dir starts from that run's folder. If it is missing there, because a project was moved, the same
    path is tried from the current folder; if that is missing too, data_dir stays, for the error message.
    """
    saved = dict(checkpoint.info["config"])
    given = saved.get("data_dir", "")
    meant = os.path.normpath(os.path.join(checkpoint.info.get("folder", "."), given))
    if not given or os.path.abspath(given) == os.path.abspath(meant):
        return saved
    if os.path.exists(meant) or not os.path.exists(given):
        return {**saved, "data_dir": meant}
    say(f"{checkpoint.path}: its data_dir {meant} is gone; using {os.path.abspath(given)}")
    return saved


def class_names_of(weights: Checkpoint) -> list[str]:
    """A name for each class: ImageNet's in words; class numbers if the weights have no names."""
    in_words = dict(imagenet_classes())
    names = weights.info.get("class_names")
    if not names and weights.names == "exported":
        raise ValueError(f"{weights.path} does not name its classes: another tool wrote it. Export it with export.py.")
    return [in_words.get(name, name) for name in names or map(str, range(num_classes(weights)))]


def as_own_checkpoint(config: Config, weights: Checkpoint) -> Checkpoint:
    """The same weights under this package's names, with their description, updated by the options of this run.

    Raises:
        ValueError: if they are not exactly those of the network that the configuration names.
    """
    if weights.names == "mindcv-sk" and weights.info:
        given = {key: value for key, value in config.to_dict().items() if config.given(key)}
        check_fits(weights, **{key: given[key] for key in ("model", "in_channels") if key in given})
        image = {key: given[key] for key in vars(config.image) if key in given}
        saved = weights.info.get("config", {})
        if "val_image_resize" in saved:  # there is one size outside training
            own = None if "image_resize" in given else saved["val_image_resize"]
            size = given.get("val_image_resize") or own
            image |= {"val_image_resize": None, **({"image_resize": size} if size else {})}
        return replace(weights, info={**weights.info, "config": {**saved, **image}})
    network = build_to_run(config, weights)
    info = {
        "class_names": [],
        **weights.info,
        "model": network.description,
        "config": {"model": config.model.model, **vars(config.eval_image)},
    }
    return replace(weights, weights=network_weights(network), info=info, names="mindcv-sk")
