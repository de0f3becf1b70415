"""What a run starts from: random weights, those of a file or of the catalog, or an earlier run that it goes on with."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from config import COMMAND_LINE, DIGITS_PRESET, Config
from early import check_data_dir
from mindcv.checkpoint import Checkpoint, CheckpointStore, check_fits, read_checkpoint
from mindcv.console import say, warn
from mindcv.data import Loader
from mindcv.engine import Progress, TrainState, describe_position, take_up
from mindcv.export import read_info
from mindcv.models import MODELS
from mindcv.options.resuming import NOT_INHERITED, compare_for_resume, locate_data
from mindcv.paths import is_exported
from mindcv.runtime import present_devices
from mindcv.weights import find_weights
from mindcv.weights.load import read_published, read_weights

# What a checkpoint's own configuration says, but is a matter of this run: where and from what to start.
_NOT_INHERITED = NOT_INHERITED | {"ckpt_path", "pretrained", "device_target", "num_parallel_workers"}
# What a training takes over from published weights; from a checkpoint of its own kind it takes the weights only.
_PREPROCESSING = {"mean", "std", "interpolation", "crop_pct"}


def read_start(config: Config) -> tuple[Config, Checkpoint | None]:
    """The weights that a configuration names, and the configuration completed by what they say about themselves.

    Raises:
        ValueError: if the weights cannot be had, are damaged, or are not those of the model asked for.
    """
    MODELS.get(config.model.model)
    weights = _read_weights(config, may_be_exported=config.prog in ("validate", "infer"))
    if weights and weights.info:
        if config.prog != "train":
            asked = {key: value for key, value in config.to_dict().items() if config.sources[key] == COMMAND_LINE}
            check_fits(weights, **{key: asked[key] for key in asked.keys() & weights.info["model"].keys()})
        origin = weights.info.get("weights", str(weights.path))
        config = config.inherit(_inherited(config, weights), origin)
        if config.prog == "validate":
            check_data_dir(config)
    for notice in config.notices:
        say(notice)
    return config, weights


def find_run(config: Config) -> tuple[Config, Checkpoint | None]:
    """The checkpoint that `resume` stands for, and the configuration completed by that of its run.

    Returns:
        The configuration as it is and None if the run is to start from the beginning.
    Raises:
        ValueError: if nothing can be resumed and `resume` is not "auto", or not with these options.
    """
    resume = config.train.resume
    if not resume:
        return config, None
    path = Path(config.train.ckpt_save_dir if resume is True or resume == "auto" else resume)
    if path.is_file():
        checkpoint, complaints = read_checkpoint(path), []
        if not checkpoint.can_resume:
            raise ValueError(
                f"{path} holds weights, but no training state to go on with. Resume from a ...-last.ckpt, or start a "
                f"new run with these weights: --ckpt_path={path}."
            )
    else:
        checkpoint, complaints = CheckpointStore(path, _model_of_run(config, path)).newest()
    for complaint in complaints:
        warn(complaint)
    if checkpoint is None:
        if resume == "auto":
            return config, None
        raise ValueError(
            f"nothing to resume in {path}: there is no checkpoint of a training of {config.model.model} there. Give "
            "--resume=FOLDER or --resume=FILE of the run to go on with; --resume=auto starts one where there is none."
        )
    if complaints:
        say(f"going on from the one before: {checkpoint.path}")

    saved, workers_then = _located(checkpoint), checkpoint.info["training"]["num_parallel_workers"]
    inherited = {key: value for key, value in saved.items() if key not in NOT_INHERITED}
    inherited["num_parallel_workers"] = min(workers_then, os.cpu_count() or 1)
    inherited["ckpt_save_dir"] = str(checkpoint.path.parent)
    config = config.inherit(inherited, str(checkpoint.path))
    check_data_dir(config)
    _check_device(config, checkpoint)
    if os.path.abspath(saved["data_dir"]) == os.path.abspath(config.data.data_dir):
        saved["data_dir"] = config.data.data_dir  # another spelling is no change
    position = checkpoint.info["training"]["progress"]
    for notice in config.notices:
        say(notice)
    for remark in compare_for_resume(saved, config.to_dict(), inside_epoch=position["batch"] > 0):
        say(remark)
    workers = config.data.num_parallel_workers
    if workers != workers_then:
        say(
            f"the run had {workers_then} data threads and now has {workers}: augmentations differ from those it would "
            "have had"
        )
    return config, checkpoint


def say_if_another_device(run: Checkpoint | None, device: str) -> None:
    """Say so if a run goes on with another kind of device than it had."""
    before = run.info["training"].get("device", device) if run else device
    if before != device:
        say(f"the run was on {before} and goes on with {device}: results agree up to rounding, not to the last bit")


def prepare_folder(
    config: Config, run: Checkpoint | None, state: TrainState, store: CheckpointStore, loader: Loader
) -> Progress:
    """Make the folder ready for a new run, or restore the state of an earlier one; returns where it stands.

    Raises:
        ValueError: if the earlier run's state or classes do not fit; nothing is then changed.
    """
    if run:
        check_fits(run, loader.dataset.class_names)
        accumulate = config.train.gradient_accumulation_steps
        updates = len(loader) // accumulate
        progress, remarks = take_up(run, state, store, updates_per_epoch=updates, num_examples=len(loader.dataset))
        for remark in [*remarks, f"resumed from {run.path}: {describe_position(progress, updates * accumulate)}"]:
            say(remark)
    else:
        progress, earlier = Progress(), store.prepare_new_run()
        if earlier:
            say(f"an earlier run's files were moved to {earlier}")
    # The saved configuration repeats the run, from any folder; it does not resume it.
    data = replace(config.data, data_dir=os.path.abspath(config.data.data_dir))
    model = replace(config.model, ckpt_path=config.model.ckpt_path and os.path.abspath(config.model.ckpt_path))
    train = replace(config.train, resume=False, resume_opt=False)
    replace(config, data=data, model=model, train=train).save(store.folder / "config.yaml")
    return progress


def _model_of_run(config: Config, folder: Path) -> str:
    """The model that was asked for, or the only one that was trained in a folder."""
    if config.sources["model"] not in ("default", DIGITS_PRESET) or not folder.is_dir():
        return config.model.model
    found = {path.name.rpartition("-")[0] for kind in ("last", "previous") for path in folder.glob(f"*-{kind}.ckpt")}
    if len(found) > 1 and config.train.resume != "auto":
        raise ValueError(f"{folder} holds runs of {', '.join(sorted(found))}: say which with --model.")
    return found.pop() if len(found) == 1 and config.train.resume != "auto" else config.model.model


def _located(checkpoint: Checkpoint) -> dict[str, Any]:
    """The configuration of a checkpoint, with a data_dir that is right from here."""
    config, remark = locate_data(checkpoint.info["config"], checkpoint.info.get("folder", "."))
    if remark:
        say(f"{checkpoint.path}: {remark}")
    return config


def _check_device(config: Config, run: Checkpoint) -> None:
    device = config.runtime.device_target
    if config.sources["device_target"] == str(run.path) and device not in ("auto", "CPU", *(here := present_devices())):
        raise ValueError(
            f"the run was on device_target={device}, which is not available here; present: {', '.join(here)}. "
            f"--device_target={here[0]} goes on with it; its results are then the same up to rounding only."
        )


def _inherited(config: Config, weights: Checkpoint) -> dict[str, Any]:
    """What of the weights' own configuration the run takes over."""
    own = _located(weights)
    if config.prog != "train":
        return {key: value for key, value in own.items() if key not in _NOT_INHERITED}
    if not config.model.pretrained:
        return {}
    own = {key: own[key] for key in _PREPROCESSING}
    if config.image.in_channels == 1:  # their average, as for the defaults
        own |= {key: (sum(own[key]) / len(own[key]),) for key in ("mean", "std")}
    return own


def _read_weights(config: Config, *, may_be_exported: bool) -> Checkpoint | None:
    model = config.model
    if model.pretrained:
        record = find_weights(model.model, None if model.pretrained is True else model.pretrained)
        say(
            f"weights: {record.name} of {record.source} for {record.model}, licence {record.licence}, published top-1 "
            f"{record.top1:.2f} % at {record.eval_size}x{record.eval_size}"
        )
        return read_published(record)
    if may_be_exported and is_exported(model.ckpt_path):
        return Checkpoint(Path(model.ckpt_path), {}, read_info(model.ckpt_path), names="exported")
    return read_weights(model.ckpt_path) if model.ckpt_path else None
