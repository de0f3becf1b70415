"""Checks of paths given by the user, before any work is done."""

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from mindcv.faults import DamagedError
from mindcv.files import listed
from mindcv.folders import describe_content, entries_of
from mindcv.nearest import did_you_mean, nearest

EXPORT_SUFFIXES = (".onnx", ".mindir")
WEIGHT_SUFFIXES = (".ckpt", ".safetensors", ".pth", ".pt", ".bin", *EXPORT_SUFFIXES)


def is_exported(path: str | Path) -> bool:
    """Return whether a file is an exported network, by its name."""
    return Path(path).suffix.lower() in EXPORT_SUFFIXES


def check_checkpoint_path(path: str | Path) -> None:
    """Raise ValueError, naming the nearest checkpoints, unless `path` is a file that is not empty."""
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder, expected a checkpoint file. {_found(path, _weight_files(path))}")
    if not path.exists():
        if not path.parent.is_dir():
            raise ValueError(f"no checkpoint at {path}: the folder {path.parent} does not exist.")
        found = _weight_files(path.parent)
        raise ValueError(f"no checkpoint at {path}.{_nearest_file(path, found)} {_found(path.parent, found)}")
    if path.stat().st_size == 0:
        raise DamagedError(f"{path} is empty (0 bytes): it cannot be a checkpoint.")


def check_exported_path(path: str | Path) -> None:
    """Raise ValueError, naming the nearest files, unless `path` is an .onnx or .mindir file that is not empty."""
    path = Path(path)
    if not is_exported(path):
        raise ValueError(f"an exported network is a file that ends in {' or '.join(EXPORT_SUFFIXES)}, got {path}.")
    if not path.is_file():
        found = sorted(p.name for p in path.parent.glob("*") if is_exported(p) and p.is_file())
        raise ValueError(f"no file {path}.{_nearest_file(path, found)} Exported networks there: {listed(found)}.")
    if path.stat().st_size == 0:
        raise DamagedError(f"{path} is empty (0 bytes): it cannot be an exported network.")


def check_output_path(path: str | Path, suffixes: Sequence[str]) -> None:
    """Raise ValueError unless a file with one of these suffixes can be written there."""
    given, path = os.fspath(path), Path(path)
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"the output must be a file named *{' or *'.join(suffixes)}; got {given!r}.")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; expected the name of a file.")
    if not path.parent.is_dir():
        raise ValueError(f"cannot write {path}: the folder {path.parent} does not exist. Create it first.")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"cannot write {path}: the folder {path.parent} is not writable.")


def check_overwrite(path: str | Path, overwrite: bool) -> None:
    """Raise ValueError if something exists at `path` and may not be replaced."""
    if os.path.lexists(path) and not overwrite:
        raise ValueError(f"{path} exists already: give another name, or --overwrite to replace it.")


def what_is_there(path: str | Path) -> str:
    """Describe the nearest existing folder: names similar to the missing one, and its first names."""
    path = Path(path)
    folder = next(parent for parent in (path, *path.parents) if parent.is_dir())
    missing = path.relative_to(folder).parts[:1]
    names = [entry.name + "/" * entry.is_dir() for entry in entries_of(folder)]
    hint = did_you_mean(missing[0], names, parts=False) if missing and not glob.has_magic(missing[0]) else ""
    return f"{hint} {describe_content(folder)}"


def _nearest_file(path: Path, names: Sequence[str]) -> str:
    close = nearest(path.name, names)
    return f" Did you mean {path.parent / close[0]}?" if close else ""


def _weight_files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.suffix in WEIGHT_SUFFIXES)


def _found(folder: Path, names: list[str]) -> str:
    return f"Checkpoints in {folder}: {listed(names)}."
