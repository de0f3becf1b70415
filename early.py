"""Checks of names and paths that run before MindSpore is imported, which takes seconds."""

import glob
import os
from pathlib import Path

from config import COMMAND_LINE, Config
from mindcv.folders import BUILT_IN, is_collection, splits_in
from mindcv.model_names import model_names
from mindcv.nearest import did_you_mean
from mindcv.paths import (
    EXPORT_SUFFIXES,
    check_checkpoint_path,
    check_exported_path,
    check_output_path,
    check_overwrite,
    is_exported,
    what_is_there,
)
from mindcv.registry import unknown

WITHOUT_FILES = ("digits", "synthetic")
_OUTPUTS = {"infer": (".csv", ".json"), "export": EXPORT_SUFFIXES}
_OUTPUTS_OF_VALIDATE = {"report": (".json", ".csv"), "confusion_matrix": (".png",)}


def check_names_and_paths(config: Config) -> None:
    """Check everything that needs no MindSpore. Values from a checkpoint are checked when it is read.

    Raises:
        ValueError: for an unknown name, or a missing file or folder.
    """
    prog, model, files = config.prog, config.model, config.files
    if model.model not in model_names():
        raise unknown("model", model.model, model_names())
    if prog in _OUTPUTS and (files.output or prog != "infer"):
        check_output_path(files.output, _OUTPUTS[prog])
    if files.output:
        check_overwrite(files.output, files.overwrite)
    for key, suffixes in _OUTPUTS_OF_VALIDATE.items() if prog == "validate" else ():
        if path := getattr(files, key):
            check_output_path(path, suffixes)
            check_overwrite(path, files.overwrite)
    if prog == "infer":
        for pattern in files.images:
            if not glob.has_magic(pattern) and not os.path.lexists(pattern):
                raise ValueError(f"there is no file or folder {pattern}.{what_is_there(pattern)}")
    if prog == "train" and config.train.show_augment:
        check_output_path(config.train.show_augment, (".png",))
    if prog == "train" and config.train.plot_schedule:
        check_output_path(config.train.plot_schedule, (".png",))
    if prog == "train" and config.train.resume:
        resume_path(config)
        return
    _check_weights(config)
    if prog in ("train", "validate"):
        check_data_dir(config)


def resume_path(config: Config) -> Path | None:
    """The file or folder of the run that `resume` continues; None if a new run starts.

    Raises:
        ValueError: if it does not exist, and `resume` is not "auto".
    """
    resume = config.train.resume
    if not resume:
        return None
    path = Path(config.train.ckpt_save_dir if resume is True or resume == "auto" else resume)
    if path.exists():
        return path
    if resume == "auto":
        return None
    key = "ckpt_save_dir" if resume is True else "resume"
    raise ValueError(
        f"nothing to resume in {path} ({key}), which does not exist.{what_is_there(path)} --resume=auto starts a "
        "new run if there is none."
    )


def _check_weights(config: Config) -> None:
    model = config.model
    if model.pretrained:
        from mindcv.weights.catalog import find_weights  # here: imports NumPy

        find_weights(model.model, None if model.pretrained is True else model.pretrained)
    for path in [model.ckpt_path] if model.ckpt_path else []:
        runs_exported = config.prog in ("validate", "infer") and is_exported(path)
        (check_exported_path if runs_exported else check_checkpoint_path)(path)
    for path in config.files.average or ():
        if "," in path and not os.path.exists(path):
            raise ValueError(f"there is no file {path}; list several as separate words: --average a.ckpt b.ckpt")
        check_checkpoint_path(path)


def check_data_dir(config: Config) -> None:
    """Check that the data set's folder or file exists, if it needs one that is not to be downloaded.

    Raises:
        ValueError: if it does not.
    """
    (name, folder), sources = (config.data.dataset, config.data.data_dir), config.sources
    asked = sources["data_dir"] == COMMAND_LINE or (name not in WITHOUT_FILES and sources["dataset"] != "default")
    if not asked or config.data.dataset_download:
        return
    if os.path.isdir(folder):
        inner = any(os.path.isdir(os.path.join(folder, inner)) for inner in (name, "train", "val"))
        held = inner or bool(splits_in(folder))
        if sources["data_dir"] == "default" and not held and name not in BUILT_IN:
            hint = did_you_mean(name, BUILT_IN)
            if hint:
                raise ValueError(f"dataset={name}: {folder} holds no folder of that name, and none called train.{hint}")
        return
    if name not in BUILT_IN and is_collection(folder):
        return
    if os.path.exists(folder):
        where = os.path.dirname(os.path.abspath(folder))
        raise ValueError(f"data_dir must be a folder; {folder} is a file. Give the folder that holds it: {where}")
    message = f"data_dir={folder} ({sources['data_dir']}): there is no such folder.{what_is_there(folder)}"
    if sources["data_dir"] != COMMAND_LINE:
        message += " Say where it is: --data_dir=FOLDER."
    if name in BUILT_IN:
        raise ValueError(f"{message} Put {name} there, or get it with --dataset_download.")
    raise ValueError(
        f"{message} Data set {name!r} is one's own images:{did_you_mean(name, BUILT_IN)}\n"
        f"  {folder}/train/<class>/<image>.jpg, or train.tar, or a list with the columns image,label: train.csv"
    )
