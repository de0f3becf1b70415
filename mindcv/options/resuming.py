"""What may differ between a run and its continuation: nothing, where the state would not fit; the rest is told."""

import os
from collections.abc import Mapping
from typing import Any

from mindcv.options.option import show

# What the saved state belongs to; another value of these needs a run of its own.
_FIXED = {
    "model": "the weights are that network's",
    "num_classes": "the classifier has that size",
    "in_channels": "the first convolution has that size",
    "dataset": "the classes are that data set's",
    "val_fraction": "it would validate on images that it was trained on",
    "opt": "the saved state is that optimizer's",
    "use_nesterov": "the saved state is that optimizer's",
    "freeze": "the saved state covers the parameters that were trained",
    "freeze_bn": "the saved state covers the parameters that were trained",
}
# What a position inside an epoch is counted in.
_WITHIN_AN_EPOCH = (
    *("batch_size", "gradient_accumulation_steps", "drop_remainder"),
    *("num_samples", "train_split", "shuffle", "seed"),
)
# What a run does beside training: other values need no remark.
_FREE = {
    *("debug", "compile_cache", "resume", "resume_opt", "ckpt_path", "pretrained"),
    *("dataset_download", "num_parallel_workers"),
    *("ckpt_save_dir", "ckpt_save_interval", "ckpt_save_steps", "keep_checkpoint_max", "on_save_error", "log_interval"),
    *("on_nan", "nan_limit", "on_bad_image", "bad_image_limit", "check_data", "val_while_train", "val_interval"),
    *("images", "topk", "output", "overwrite", "dynamic_batch", "fold_bn", "average"),
}
# Of the saved configuration, what belongs to the command that wrote it.
NOT_INHERITED = {
    *("debug", "compile_cache", "resume", "resume_opt", "dataset_download", "ckpt_save_dir", "check_data"),
    *("images", "topk", "output", "overwrite", "dynamic_batch", "average"),
}
_SCHEDULE = {
    *("scheduler", "lr", "min_lr", "warmup_epochs", "warmup_factor", "decay_epochs", "decay_rate"),
    *("multi_step_decay_milestones", "epoch_size", "batch_size", "gradient_accumulation_steps", "num_samples"),
}


def compare_for_resume(saved: Mapping[str, Any], now: Mapping[str, Any], *, inside_epoch: bool) -> list[str]:
    """Compare the configuration of a saved run with that of its continuation.

    Args:
        saved, now: all options, flat.
        inside_epoch: whether the run was saved in the middle of an epoch.
    Returns:
        Remarks for the user on what differs.
    Raises:
        ValueError: if the run cannot be continued with the new values.
    """
    different = {key: f"{key} {show(saved[key])} -> {show(now[key])}" for key in now if _differs(saved, now, key)}
    for key, reason in _FIXED.items():
        if key in different:
            raise ValueError(
                f"this run cannot be resumed with another {key} ({different[key]}): {reason}. Leave {key} as it was, "
                "or start a run of its own: without --resume, with --ckpt_path if it should begin with these weights."
            )
    misplaced = [different[key] for key in _WITHIN_AN_EPOCH if key in different]
    if inside_epoch and misplaced:
        raise ValueError(
            f"the run was saved in the middle of an epoch and would lose its position there: {', '.join(misplaced)}. "
            "Resume with the old values and change them at the end of an epoch, or resume from a checkpoint of an "
            "epoch's end."
        )
    told = [text for key, text in different.items() if key not in _FREE]
    if not told:
        return []
    schedule = "; the learning rates are those of the new schedule" if _SCHEDULE & different.keys() else ""
    return [f"resumed with changes, so not the run it would have been: {', '.join(told)}{schedule}"]


def locate_data(saved: Mapping[str, Any], folder: str) -> tuple[dict[str, Any], str]:
    """A saved configuration with the data_dir that it meant, and a remark if another one takes its place.

    A relative data_dir began in `folder`. If it is gone from there, because a project was moved, the path as it was
    given is tried from the present folder; if that is not there either, it stays what it was, for the message.
    """
    given = saved.get("data_dir", "")
    meant = os.path.normpath(os.path.join(folder, given))
    if not given or os.path.abspath(given) == os.path.abspath(meant):
        return dict(saved), ""
    if os.path.isdir(meant) or not os.path.isdir(given):
        return {**saved, "data_dir": meant}, ""
    return dict(saved), f"its data_dir {meant} is gone; using {os.path.abspath(given)}"


def _differs(saved: Mapping[str, Any], now: Mapping[str, Any], key: str) -> bool:
    """An option that the saved run did not know had no value that could have changed."""
    if key not in saved:
        return False
    before, after = saved[key], now[key]
    return (tuple(before) if isinstance(before, list) else before) != after
