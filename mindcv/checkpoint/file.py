"""Checkpoints that describe themselves, are never half written, and load exactly or not at all.

A checkpoint is MindSpore's own `.ckpt` format (`mindspore.load_checkpoint` reads it) with one more entry, "mindcv": a
JSON text that says which model it is and how it was trained. Its last bytes are a SHA-256 of all the others, wrapped as
a protobuf field that readers of the format skip. What a training needs to go on is in the same file, under names that
begin with "training_state.", so that it cannot belong to other weights.
"""

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np

from mindcv.checkpoint.protobuf_walk import check_structure
from mindcv.paths import check_checkpoint_path

_INFO = "mindcv"
_STATE = "training_state."
_DIGEST_FIELD = bytes([15 << 3 | 2, 32])  # protobuf: field 15, length-delimited, 32 bytes
_TRAILER_SIZE = len(_DIGEST_FIELD) + 32


@dataclass(frozen=True)
class Checkpoint:
    """Weights and what the file says about them.

    Attributes:
        path: the file.
        weights: parameter name -> array.
        info: model, config, class names, epoch, metrics and versions; empty for a file that another tool wrote.
        names: whose names the weights have: "mindcv-sk" (this package's), "timm" or "mindcv".
        state: name -> array of what a training needs to go on beside the weights; empty where it cannot.
    """

    path: Path
    weights: dict[str, np.ndarray]
    info: dict[str, Any]
    names: str = "mindcv-sk"
    state: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def can_resume(self) -> bool:
        """Whether a training can go on from it."""
        return bool(self.state) and "training" in self.info

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


def save_checkpoint(
    path: Path,
    weights: Mapping[str, np.ndarray],
    info: Mapping[str, Any],
    state: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write a checkpoint so that a kill at any instant leaves either the old file or the new one.

    The new file is read again and compared with what it should hold before it takes the old one's place.

    Args:
        path: the file to write or replace.
        weights: parameter name -> array.
        info: JSON-compatible description of the weights.
        state: name -> array of what a training needs to go on.
    Raises:
        OSError: if the folder cannot be written or is full; the previous file is as it was.
    """
    path = Path(path)
    with temporary_checkpoint(path, weights, info, state) as temporary:
        publish(temporary, path)


@contextlib.contextmanager
def temporary_checkpoint(
    path: Path,
    weights: Mapping[str, np.ndarray],
    info: Mapping[str, Any],
    state: Mapping[str, np.ndarray] | None = None,
) -> Iterator[Path]:
    """Write what will be `path` under another name beside it, verified and flushed; removed afterwards if still there.

    Raises:
        OSError: if that fails, or what is done with it meanwhile; the message names `path`.
    """
    temporary = temporary_name(path)
    arrays = {**weights, **{_STATE + name: array for name, array in (state or {}).items()}}
    try:
        try:
            _write(temporary, arrays, info)
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)
            temporary.with_suffix(".tmp").unlink(missing_ok=True)  # MindSpore's own temporary file
    except OSError as error:
        raise OSError(f"could not write {path}: {error.strerror or error}") from error


def _write(temporary: Path, arrays: Mapping[str, np.ndarray], info: Mapping[str, Any]) -> None:
    try:
        with _quiet_mindspore():
            entries = [{"name": name, "data": ms.Tensor(array)} for name, array in arrays.items()]
            ms.save_checkpoint(entries, str(temporary), append_dict={_INFO: json.dumps(info, sort_keys=True)})
    except RuntimeError as error:  # what MindSpore makes of a full disk
        raise OSError(str(error)) from error
    os.chmod(temporary, 0o644)  # MindSpore makes it read-only, which the next run could not replace everywhere
    with temporary.open("ab") as file:
        file.write(_DIGEST_FIELD + _digest(temporary))
    flush(temporary)
    _compare(temporary, arrays)


def temporary_name(path: Path) -> Path:
    """The name under which `path` is written first."""
    return path.with_name(f".{path.stem}.saving.ckpt")


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
    check_structure(path)
    try:
        arrays, info = _read_entries(path)
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"{path} is damaged or is not a MindSpore checkpoint ({size:,} bytes).") from error
    if not is_sealed and (info is not None or any(name.startswith(_STATE) for name in arrays)):
        raise ValueError(f"{path} is damaged: its end, the checksum, is missing. Use another checkpoint.")
    try:
        description = json.loads(info or "{}")
    except ValueError as error:
        raise ValueError(f"{path} is damaged: its description is not valid. Use another checkpoint.") from error
    if not isinstance(description, dict):
        raise ValueError(f"{path} is damaged: its description is not valid. Use another checkpoint.")
    weights = {name: array for name, array in arrays.items() if not name.startswith(_STATE)}
    state = {name.removeprefix(_STATE): array for name, array in arrays.items() if name.startswith(_STATE)}
    return Checkpoint(path, weights, description, state=state)


def _read_entries(path: Path) -> tuple[dict[str, np.ndarray], str | None]:
    with _quiet_mindspore():
        entries = ms.load_checkpoint(str(path))
    info = entries.pop(_INFO, None)
    return {name: value.asnumpy() for name, value in entries.items() if isinstance(value, ms.Parameter)}, info


def _compare(temporary: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Raise OSError unless the file gives back `arrays`, bit for bit."""
    try:
        written, _ = _read_entries(temporary)
    except (ValueError, RuntimeError) as error:
        raise OSError("the file read back is not what was written") from error
    same = written.keys() == arrays.keys() and all(
        written[name].dtype == array.dtype
        and written[name].shape == array.shape
        and np.array_equal(written[name].ravel().view(np.uint8), array.ravel().view(np.uint8))  # NaN equals itself
        for name, array in arrays.items()
    )
    if not same:
        raise OSError("the file read back is not what was written")


def publish(temporary: Path, path: Path) -> None:
    """Flush to disk, then rename: readers see the old file or all of the new one."""
    flush(temporary)
    os.replace(temporary, path)
    flush(path.parent)


def flush(path: Path) -> None:
    """Have the operating system write a file, or the names in a folder, to the disk."""
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


@contextlib.contextmanager
def _quiet_mindspore() -> Iterator[None]:
    """MindSpore logs a CRITICAL line beside each exception; the exception is enough."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
