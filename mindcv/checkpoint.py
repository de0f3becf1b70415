"""Checkpoints that describe themselves, are never half written, and load exactly or not at all.

A checkpoint is MindSpore's own `.ckpt` format (`mindspore.load_checkpoint` reads it) with one more entry, "mindcv": a
JSON text that says which model it is and how it was trained. Its last bytes are a SHA-256 of all the others, wrapped as
a protobuf field that readers of the format skip.
"""

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

EXPORT_SUFFIXES = (".onnx", ".mindir")
WEIGHT_SUFFIXES = (".ckpt", ".safetensors", ".pth", ".pt", ".bin", *EXPORT_SUFFIXES)
_INFO = "mindcv"
_DIGEST_FIELD = bytes([15 << 3 | 2, 32])  # protobuf: field 15, length-delimited, 32 bytes
_TRAILER_SIZE = len(_DIGEST_FIELD) + 32
_RUN_FILE = re.compile(r".+-(best|last|\d+)\.ckpt|metrics\.csv|config\.yaml")


@dataclass(frozen=True)
class Checkpoint:
    """Weights and what the file says about them.

    Attributes:
        path: the file.
        weights: parameter name -> array.
        info: model, config, class names, epoch, metrics and versions; empty for a file that another tool wrote.
        names: whose names the weights have: "mindcv-sk" (this package's), "timm" or "mindcv".
    """

    path: Path
    weights: dict[str, np.ndarray]
    info: dict[str, Any]
    names: str = "mindcv-sk"

    def require_info(self) -> dict[str, Any]:
        """The description.

        Raises:
            ValueError: if there is none, because another tool wrote the file or its end is cut off.
        """
        if not self.info:
            raise ValueError(
                f"{self.path} does not describe itself: another tool wrote it, or its end is cut off. Its weights can "
                "start a training (train.py --ckpt_path) of the same network."
            )
        return self.info


def network_weights(network: nn.Cell) -> dict[str, np.ndarray]:
    """A copy of every parameter and running statistic, by name."""
    return {parameter.name: parameter.asnumpy().copy() for parameter in network.get_parameters()}


def save_checkpoint(path: Path, weights: Mapping[str, np.ndarray], info: Mapping[str, Any]) -> None:
    """Write a checkpoint so that a kill at any instant leaves either the old file or the new one.

    Args:
        path: the file to write or replace.
        weights: parameter name -> array.
        info: JSON-compatible description of the weights.
    Raises:
        OSError: if the folder cannot be written or is full; the previous file is as it was.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.saving.ckpt")
    entries = [{"name": name, "data": ms.Tensor(array)} for name, array in weights.items()]
    try:
        with _quiet_mindspore():
            ms.save_checkpoint(entries, str(temporary), append_dict={_INFO: json.dumps(info, sort_keys=True)})
        os.chmod(temporary, 0o644)  # MindSpore makes it read-only, which the next run could not replace everywhere
        digest = _digest(temporary)
        with temporary.open("ab") as file:
            file.write(_DIGEST_FIELD + digest)
        publish(temporary, path)
    except RuntimeError as error:  # what MindSpore makes of a full disk
        raise OSError(f"could not write {path}: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint and verify its checksum.

    Raises:
        ValueError: if there is no such file (the nearest names are given), it is damaged, or it is no checkpoint.
    """
    path = Path(path)
    check_checkpoint_path(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - _TRAILER_SIZE))
        trailer = file.read()
    is_sealed = trailer.startswith(_DIGEST_FIELD)
    if is_sealed and _digest(path, size - _TRAILER_SIZE) != trailer[len(_DIGEST_FIELD) :]:
        raise ValueError(f"{path} is damaged: its checksum does not match its contents. Use another checkpoint.")
    try:
        with _quiet_mindspore():
            entries = ms.load_checkpoint(str(path))
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"{path} is damaged or is not a MindSpore checkpoint ({size:,} bytes).") from error
    info = entries.pop(_INFO, None)
    if info is not None and not is_sealed:
        raise ValueError(f"{path} is damaged: its end, the checksum, is missing. Use another checkpoint.")
    weights = {name: value.asnumpy() for name, value in entries.items() if isinstance(value, ms.Parameter)}
    return Checkpoint(path, weights, json.loads(info) if info else {})


def check_checkpoint_path(path: str | Path) -> None:
    """Raise ValueError, naming the nearest checkpoints, unless `path` is a file that is not empty."""
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder, expected a checkpoint file. {_found(path, _weight_files(path))}")
    if not path.exists():
        if not path.parent.is_dir():
            raise ValueError(f"no checkpoint at {path}: the folder {path.parent} does not exist.")
        found = _weight_files(path.parent)
        close = get_close_matches(path.name, found, n=1)
        hint = f" Did you mean {path.parent / close[0]}?" if close else ""
        raise ValueError(f"no checkpoint at {path}.{hint} {_found(path.parent, found)}")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty (0 bytes): it cannot be a checkpoint.")


def load_exact(network: nn.Cell, weights: Mapping[str, np.ndarray], source: str) -> None:
    """Copy weights into a network whose names, shapes and dtypes are all the same.

    Args:
        source: where the weights come from, for messages.
    Raises:
        ValueError: for any difference, listing both sides; the network is then unchanged.
    """
    own = {parameter.name: parameter for parameter in network.get_parameters()}
    problems = _listing("missing from the file", sorted(own.keys() - weights.keys()))
    problems += _listing("unknown to the network", sorted(weights.keys() - own.keys()))
    different = [
        f"{name}: network {_shape(own[name].asnumpy())}, file {_shape(weights[name])}"
        for name in own
        if name in weights and _shape(own[name].asnumpy()) != _shape(weights[name])
    ]
    problems += _listing("of another shape or type", different)
    if problems:
        raise ValueError(f"the weights in {source} do not fit this network:\n" + "\n".join(problems))
    for name, parameter in own.items():
        parameter.set_data(ms.Tensor(weights[name]))


def check_fits(checkpoint: Checkpoint, class_names: Sequence[str] | None = None, **wanted: Any) -> None:
    """Compare what a checkpoint says about itself with what is wanted.

    Args:
        class_names: of the data set; None compares no classes.
        **wanted: any of model, num_classes, in_channels.
    Raises:
        ValueError: naming what differs. A file without a description passes; `load_exact` compares its weights.
    """
    if not checkpoint.info:
        return
    for key, value in wanted.items():
        saved = checkpoint.info["model"][key]
        if saved != value:
            raise ValueError(f"{checkpoint.path} holds {key}={saved}, but {key}={value} is wanted here.")
    if class_names is None:
        return
    saved = checkpoint.info["class_names"]
    if not saved:  # imported weights, which come without names
        return
    if len(saved) != len(class_names):
        raise ValueError(f"{checkpoint.path} tells {len(saved)} classes apart, the data set has {len(class_names)}.")
    differing = [f"{k}: {a!r} / {b!r}" for k, (a, b) in enumerate(zip(saved, class_names, strict=True)) if a != b]
    if differing:
        raise ValueError(
            f"the classes of {checkpoint.path} are not those of the data set (class number: checkpoint / data set): "
            + ", ".join(differing[:5])
            + (f", ... ({len(differing)} differ)" if len(differing) > 5 else "")
        )


class CheckpointStore:
    """The folder of one run: `{model}-best.ckpt`, `{model}-last.ckpt`, and the newest few epochs.

    Args:
        folder: created when the run starts.
        model: name used for the files.
        keep: how many `{model}-{epoch}.ckpt` to keep beside best and last; 0 writes none.
        interval: save every so many epochs; the final epoch is saved in any case.
    """

    def __init__(self, folder: str | Path, model: str, *, keep: int = 0, interval: int = 1) -> None:
        self.folder = Path(folder)
        self.model = model
        self.keep = keep
        self.interval = interval

    @property
    def best(self) -> Path:
        return self.folder / f"{self.model}-best.ckpt"

    @property
    def last(self) -> Path:
        return self.folder / f"{self.model}-last.ckpt"

    def check_writable(self) -> None:
        """Raise ValueError unless the folder can be made and written; leaves nothing behind."""
        existing = next(p for p in (self.folder, *self.folder.absolute().parents) if p.exists())
        try:
            with tempfile.TemporaryFile(dir=existing):
                pass
        except OSError as error:
            raise ValueError(f"cannot write checkpoints to {self.folder}: {error.strerror} ({existing}).") from error

    def open(self) -> Path | None:
        """Make the folder ready for a new run. An earlier run's files move to `earlier-N/`; returns that folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        earlier = [path for path in self.folder.iterdir() if _RUN_FILE.fullmatch(path.name)]
        if not earlier:
            return None
        number = 1
        while (archive := self.folder / f"earlier-{number}").exists():
            number += 1
        archive.mkdir()
        for path in earlier:
            path.rename(archive / path.name)
        return archive

    def save(self, network: nn.Cell, info: Mapping[str, Any], *, epoch: int, is_best: bool, is_final: bool) -> None:
        """Write what is due after `epoch` (counted from 1): last, and the best and numbered ones where they apply."""
        due = is_final or epoch % self.interval == 0
        if not (due or is_best):
            return
        weights = network_weights(network)
        if is_best:
            save_checkpoint(self.best, weights, info)
        if due:
            save_checkpoint(self.last, weights, info)
            if self.keep:
                _copy(self.last, self.folder / f"{self.model}-{epoch}.ckpt")
                self._prune()

    def _prune(self) -> None:
        numbered = re.compile(rf"{re.escape(self.model)}-(\d+)\.ckpt")
        epochs = {int(m[1]): p for p in self.folder.iterdir() if (m := numbered.fullmatch(p.name))}
        for epoch in sorted(epochs)[: -self.keep]:
            epochs[epoch].unlink()


def _copy(source: Path, target: Path) -> None:
    temporary = target.with_name(f".{target.stem}.saving.ckpt")
    try:
        shutil.copyfile(source, temporary)
        publish(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def publish(temporary: Path, path: Path) -> None:
    """Flush to disk, then rename: readers see the old file or all of the new one."""
    _flush(temporary)
    os.replace(temporary, path)
    _flush(path.parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _digest(path: Path, length: int | None = None) -> bytes:
    """SHA-256 of the first `length` bytes of a file, or of all."""
    digest, left = hashlib.sha256(), path.stat().st_size if length is None else length
    with path.open("rb") as file:
        while left and (block := file.read(min(left, 1 << 20))):
            digest.update(block)
            left -= len(block)
    return digest.digest()


def _shape(array: np.ndarray) -> str:
    return f"{array.dtype}{list(array.shape)}"


def _listing(title: str, names: list[str]) -> list[str]:
    if not names:
        return []
    shown = ", ".join(names[:5]) + (f", ... ({len(names)} in all)" if len(names) > 5 else "")
    return [f"  {title}: {shown}"]


def _weight_files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.suffix in WEIGHT_SUFFIXES)


def _found(folder: Path, names: list[str]) -> str:
    return f"Checkpoints in {folder}: {', '.join(names[:8]) or 'none'}."


@contextlib.contextmanager
def _quiet_mindspore() -> Iterator[None]:
    """MindSpore logs a CRITICAL line beside each exception; the exception is enough."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
