"""Resuming a training: find the run, compare it with the present options, restore it, prepare its folder."""

# Where a training starts, the first that applies:
# 1. --resume=FILE, --resume=FOLDER, or --resume alone (ckpt_save_dir): the run that is there; it must exist.
# 2. --resume=auto: the run in ckpt_save_dir, if there is one.
# 3. --ckpt_path or --pretrained: those weights (assemble_weights.py), in a new run.
# 4. Random weights, in a new run.

import os
from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import mindspore

from assemble import Arithmetic
from assemble_weights import NOT_INHERITED, saved_config
from config import DIGITS_PRESET, OPTIONS, Config, Schedule
from early import check_data_dir, resume_path
from mindcv.checkpoint import Checkpoint, CheckpointStore, check_fits, read_checkpoint, save_checkpoint
from mindcv.console import say, warn
from mindcv.data import Loader
from mindcv.distributed import ALONE, World
from mindcv.engine import EarlyStop, Progress, RunLength, TrainState, deciding
from mindcv.options.option import show
from mindcv.options.together import without_effect
from mindcv.report import complete
from mindcv.runtime import present_devices

# Options that a position inside an epoch depends on.
_WITHIN_AN_EPOCH = (
    *("batch_size", "gradient_accumulation_steps", "drop_remainder"),
    *("num_samples", "train_split", "shuffle", "sampler", "aug_repeats", "seed", "processes"),
)
_OF_SCHEDULE = {
    *(field.name for field in fields(Schedule)),
    *("epoch_size", "batch_size", "processes", "gradient_accumulation_steps", "num_samples"),
}


def find_run(config: Config) -> tuple[Config, Checkpoint | None]:
    """The checkpoint to resume from, and the configuration with that of its run; None if a new run starts.

    Raises:
        ValueError: if nothing can be resumed and `resume` is not "auto", or not with these options.
    """
    path = resume_path(config)
    if path is None:
        return config, None
    checkpoint = _read_run(config, path)
    if checkpoint is None:
        return config, None
    saved, workers_then = saved_config(checkpoint), checkpoint.info["training"]["num_parallel_workers"]
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
    for remark in compare(saved, config.to_dict(), inside_epoch=position["batch"] > 0):
        say(remark)
    workers = config.data.num_parallel_workers
    if workers != workers_then:
        say(
            f"the run had {workers_then} data threads and now has {workers}: augmentations differ from those it would "
            "have had"
        )
    return config, checkpoint


def why_complete(config: Config, run: Checkpoint) -> str:
    """What to say about a run that has reached its end; "" if it has not."""
    reached, options = Progress.from_dict(run.info["training"]["progress"]), config.train
    early_stop = EarlyStop(options.early_stop_patience, options.early_stop_delta)
    ended_early = reached.epoch < options.epoch_size and early_stop.reached(reached.history)
    if not ended_early and reached.epoch < options.epoch_size:
        return ""
    folder = Path(options.ckpt_save_dir)
    return complete(folder, reached.epoch, reached.best, ended_early=ended_early)


def _read_run(config: Config, path: Path) -> Checkpoint | None:
    """The checkpoint in a file, or the newest whole one in a folder; None if there is none and none is needed."""
    if path.is_file():
        saved = read_checkpoint(path)
        if not saved.can_resume:
            raise ValueError(
                f"{path} holds weights, but no training state to resume. Resume from a ...-last.ckpt, or start a "
                f"new run with these weights: --ckpt_path={path}."
            )
        return saved
    checkpoint, complaints = CheckpointStore(path, _model_of_run(config, path)).newest()
    for complaint in complaints:
        warn(complaint)
    if checkpoint and complaints:
        say(f"resuming from the previous one: {checkpoint.path}")
    if checkpoint or config.train.resume == "auto":
        return checkpoint
    raise ValueError(
        f"nothing to resume in {path}: there is no checkpoint of a training of {config.model.model} there. Give "
        "--resume=FOLDER or --resume=FILE of the run to resume; --resume=auto starts a new run if there is none."
    )


def _model_of_run(config: Config, folder: Path) -> str:
    """The model that was asked for, or the only one that was trained in a folder."""
    if config.sources["model"] not in ("default", DIGITS_PRESET) or config.train.resume == "auto":
        return config.model.model
    found = {path.name.rpartition("-")[0] for kind in ("last", "previous") for path in folder.glob(f"*-{kind}.ckpt")}
    if len(found) > 1:
        raise ValueError(f"{folder} holds runs of {', '.join(sorted(found))}: say which with --model.")
    return found.pop() if found else config.model.model


def _check_device(config: Config, run: Checkpoint) -> None:
    device = config.runtime.device_target
    if config.sources["device_target"] == str(run.path) and device not in ("auto", "CPU", *(here := present_devices())):
        raise ValueError(
            f"the run was on device_target={device}, which is not available here; present: {', '.join(here)}. "
            f"--device_target={here[0]} resumes it; results then agree only up to rounding."
        )


def compare(saved: Mapping[str, Any], now: Mapping[str, Any], *, inside_epoch: bool) -> list[str]:
    """Remarks on what differs between the configuration of a saved run and that of its continuation.

    An option that the saved run did not know, or that has no effect in both, has not changed.

    Raises:
        ValueError: if the run cannot be continued with the new values.
    """
    before = {key: tuple(value) if isinstance(value, list) else value for key, value in saved.items()}
    defaults = {name: option.default for name, option in OPTIONS.items()}
    runs = ({**defaults, **now, **before}, {**defaults, **now})
    idle_before, idle_now = (without_effect(values, OPTIONS, "train") for values in runs)
    idle = idle_before.keys() & idle_now.keys()
    changed = [key for key in now if key in before and before[key] != now[key] and key not in idle]
    different = {key: f"{key} {show(saved[key])} -> {show(now[key])}" for key in changed}
    fixed = {key: OPTIONS[key].fixed for key in different}
    if "loss_scale" in different and any(_scale_is_dynamic(run) for run in runs):
        fixed["loss_scale"] = "a dynamic scale is part of the saved state"
    for key, why in fixed.items():
        if why:
            raise ValueError(
                f"this run cannot be resumed with another {key} ({different[key]}): {why}. Leave {key} as it was, or "
                "start a new run: without --resume, with --ckpt_path to start from these weights."
            )
    misplaced = [different[key] for key in _WITHIN_AN_EPOCH if key in different]
    if inside_epoch and misplaced:
        raise ValueError(
            f"the run was saved in the middle of an epoch and would lose its position there: {', '.join(misplaced)}. "
            "Resume with the old values and change them at the end of an epoch, or resume from a checkpoint saved "
            "at the end of an epoch."
        )
    # With plateau, the learning rates follow from which epochs are validated.
    reacting = {"val_interval"} if now.get("scheduler") == "plateau" else set()
    reported = [text for key, text in different.items() if not OPTIONS[key].free or key in reacting]
    if not reported:
        return []
    schedule = "; the learning rates are those of the new schedule" if _OF_SCHEDULE & different.keys() else ""
    return [f"resumed with changes, so not identical to an uninterrupted run: {', '.join(reported)}{schedule}"]


def _scale_is_dynamic(values: Mapping[str, Any]) -> bool:
    kind = values["loss_scale_type"]
    return kind == "dynamic" or (kind == "auto" and values["loss_scale"] is None)


def say_if_rounding_changes(run: Checkpoint | None, arithmetic: Arithmetic) -> None:
    """Report that a run continues where the last bits differ: device, determinism, TF32, MindSpore's version."""
    now = {**arithmetic._asdict(), "mindspore": mindspore.__version__}
    then = {**now, **run.info["training"], **run.info.get("versions", {})} if run else now
    keys = [key for key in ("device", "mindspore") if then[key] != now[key]]
    if then["device"] == now["device"]:
        keys += [key for key in ("deterministic", "tf32") if then[key] != now[key]]
    if keys:
        was, is_now = (_of_arithmetic(values, keys) for values in (then, now))
        say(f"the run was on {was} and continues on {is_now}: results agree up to rounding, not to the last bit")


def _of_arithmetic(values: Mapping[str, Any], keys: Collection[str]) -> str:
    words = {
        "deterministic": "with --deterministic" if values["deterministic"] else "without --deterministic",
        "tf32": "no TF32" if values["tf32"] == "none" else f"TF32 in {values['tf32']}",
        "mindspore": f"MindSpore {values['mindspore']}",
    }
    return ", ".join([values["device"], *(text for key, text in words.items() if key in keys)])


def prepare_folder(
    config: Config,
    run: Checkpoint | None,
    state: TrainState,
    store: CheckpointStore,
    loader: Loader,
    length: RunLength,
    world: World = ALONE,
) -> Progress:
    """Prepare the folder for a new run, or restore the state of an earlier one; returns its progress.

    Of several processes, only the main one changes files.

    Raises:
        ValueError: if the earlier run's state or classes do not fit; nothing is then changed.
    """
    if run:
        check_fits(run, loader.dataset.class_names)
        progress, remarks = resume(run, state, store, length.updates_per_epoch, len(loader.dataset), world)
        for remark in [*remarks, f"resumed from {run.path}: {progress.position(length)}"]:
            say(remark)
    else:
        progress, earlier = Progress(), store.prepare_new_run() if world.is_main else None
        if earlier:
            say(f"an earlier run's files were moved to {earlier}")
    if not world.is_main:
        return progress
    # The saved configuration repeats the run, from any folder; it does not resume it.
    data = replace(config.data, data_dir=os.path.abspath(config.data.data_dir))
    model = replace(config.model, ckpt_path=config.model.ckpt_path and os.path.abspath(config.model.ckpt_path))
    train = replace(config.train, resume=False, resume_opt=False)
    replace(config, data=data, model=model, train=train).save(store.folder / "config.yaml")
    return progress


def resume(
    run: Checkpoint,
    state: TrainState,
    store: CheckpointStore,
    updates_per_epoch: int,
    num_examples: int,
    world: World = ALONE,
) -> tuple[Progress, list[str]]:
    """Restore the state of a run and prepare its folder; returns the progress, and remarks for the user.

    Args:
        updates_per_epoch: of this run; between epochs it may differ from the checkpoint's.
        num_examples: of the training split.
        world: the main process alone prepares the folder.
    Raises:
        ValueError: if the state does not fit this run; nothing is then changed.
    """
    before = run.info["training"]["num_examples"]
    remarks = []
    if before != num_examples:
        remarks.append(f"the training split had {before:,} images and now has {num_examples:,}")
        if run.info["training"]["progress"]["batch"] > 0:
            raise ValueError(
                f"{remarks[0]}, and {run.path} was saved in the middle of an epoch, whose order is that of the old "
                "images. Restore them, or resume from a checkpoint saved at the end of an epoch."
            )
    progress = state.restore(run)
    if updates_per_epoch != run.info["training"]["updates_per_epoch"]:  # only between epochs
        state.set_updates(progress.epoch * updates_per_epoch)
    if not world.is_main:
        return progress, remarks
    return progress, [*remarks, *store.prepare_to_resume(run), *_find_best(run, store, progress)]


def _find_best(run: Checkpoint, store: CheckpointStore, progress: Progress) -> list[str]:
    """Make the best checkpoint on disk and the run's record of it agree."""
    if store.best.exists():
        info = read_checkpoint(store.best).info
        if progress.best_score is None or deciding(info["metrics"])[1] > progress.best_score:
            progress.set_best(info["epoch"], info["metrics"])  # its epoch is not in this state
        return []
    if progress.best_score is None:
        return []
    if progress.best_epoch == progress.epoch and progress.batch == 0:
        info = {key: value for key, value in run.info.items() if key != "training"}
        save_checkpoint(store.best, run.weights, info)
        return [f"{store.best} was missing and has been restored from {run.path}"]
    remark = (
        f"{store.best} is missing: that of epoch {progress.best_epoch} ({progress.best_score:.2f} %) is lost, and the "
        "best of the remaining epochs will take its place"
    )
    progress.set_best(None, {})
    return [remark]
