"""Checkpoint files with a description and a checksum, written atomically.

A checkpoint is MindSpore's `.ckpt` format (`mindspore.load_checkpoint` reads it) with one more entry, "mindcv": a JSON
text that describes the model and its training. The last bytes are a SHA-256 of all others, wrapped as a protobuf field
that readers of the format skip. The state needed to resume is in the same file, under names that begin with
"training_state.", so that it always belongs to the weights.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mindcv.checkpoint.format import encode, read_arrays
from mindcv.faults import DamagedError, named_in_errors
from mindcv.files import flush, hash_beginning, publish, temporary_name
from mindcv.paths import check_checkpoint_path

_INFO = "mindcv"
_STATE = "training_state."
_DIGEST_FIELD = bytes([15 << 3 | 2, 32])  # protobuf: field 15, length-delimited, 32 bytes
_TRAILER_SIZE = len(_DIGEST_FIELD) + 32
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Checkpoint:
    """Weights and their description.

    Attributes:
        path: the file.
        weights: parameter name -> array.
        info: model, config, class names, epoch, metrics and versions; empty for a file of another tool.
        names: naming scheme of the weights: "mindcv-sk" (this package's), "timm" or "mindcv".
        state: name -> array of the training state; empty if a run cannot resume from the file.
    """

    path: Path
    weights: dict[str, np.ndarray]
    info: dict[str, Any]
    names: str = "mindcv-sk"
    state: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def can_resume(self) -> bool:
        """Whether a training can resume from it."""
        return bool(self.state) and "training" in self.info

    def require_info(self) -> dict[str, Any]:
        """Return the description.

        Raises:
            ValueError: if there is none, because another tool wrote the file or its end is cut off.
        """
        if not self.info:
            raise ValueError(
                f"{self.path} has no description: another tool wrote it, or its end is cut off. Its weights can "
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

    The new file is read back and compared before it replaces the old one.

    Args:
        path: the file to write or replace.
        weights: parameter name -> array.
        info: JSON-compatible description of the weights.
        state: name -> array of the training state.
    Raises:
        OSError: if the folder cannot be written or is full; the previous file is unchanged.
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
    """Write the checkpoint `path` under a temporary name, verified and flushed; removed afterwards if still there.

    Raises:
        OSError: if writing it, or the body of the `with` statement, fails; the message names `path`.
    """
    temporary = temporary_name(path)
    arrays = {**weights, **{_STATE + name: array for name, array in (state or {}).items()}}
    try:
        try:
            _write(temporary, arrays, info)
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OSError(f"could not write {path}: {error.strerror or error}") from error


def _write(temporary: Path, arrays: Mapping[str, np.ndarray], info: Mapping[str, Any]) -> None:
    texts = {_INFO: json.dumps(info, sort_keys=True)}
    assert not texts.keys() & arrays.keys()
    digest = hashlib.sha256()
    with temporary.open("wb") as file:
        for _, piece in encode(arrays, texts):
            file.write(piece)
            digest.update(piece)
        trailer = _DIGEST_FIELD + digest.digest()
        file.write(trailer)
    flush(temporary)
    _compare(temporary, chain(encode(arrays, texts), [("the checksum", memoryview(trailer))]))


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint and verify its checksum.

    Raises:
        ValueError: if there is no such file (the nearest names are given).
        DamagedError: if it is damaged or not a checkpoint.
        OSError, MemoryError: if it cannot be read, which does not mean that it is damaged.
    """
    path = Path(path)
    with named_in_errors(path):
        check_checkpoint_path(path)
        is_sealed, arrays, texts = _read(path)
    if not is_sealed and (_INFO in texts or any(name.startswith(_STATE) for name in arrays)):
        raise DamagedError(f"{path} is damaged: its end, the checksum, is missing. Use another checkpoint.")
    try:
        description = json.loads(texts.get(_INFO, "{}"))
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{path} is damaged: its description is not valid. Use another checkpoint.") from error
    if not isinstance(description, dict):
        raise DamagedError(f"{path} is damaged: its description is not valid. Use another checkpoint.")
    weights = {name: array for name, array in arrays.items() if not name.startswith(_STATE)}
    state = {name.removeprefix(_STATE): array for name, array in arrays.items() if name.startswith(_STATE)}
    return Checkpoint(path, weights, description, state=state)


def _read(path: Path) -> tuple[bool, dict[str, np.ndarray], dict[str, str]]:
    """Return whether a file has a checksum, its arrays and its texts."""
    with path.open("rb") as file:
        is_sealed = _verify_checksum(file, path)
        try:
            return is_sealed, *read_arrays(file)
        except DamagedError as error:
            size = file.seek(0, os.SEEK_END)
            raise DamagedError(
                f"{path} is damaged or is not a MindSpore checkpoint ({size:,} bytes): {error}."
            ) from None


def _verify_checksum(file: BinaryIO, path: Path) -> bool:
    """Return whether the file ends in a checksum of this package; raise DamagedError if it does not match."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _TRAILER_SIZE))
    trailer = file.read()
    if not trailer.startswith(_DIGEST_FIELD):
        return False
    if hash_beginning(file, size - _TRAILER_SIZE).digest() != trailer[len(_DIGEST_FIELD) :]:
        raise DamagedError(f"{path} is damaged: its checksum does not match its contents. Use another checkpoint.")
    return True


def _compare(path: Path, pieces: Iterable[tuple[str, memoryview]]) -> None:
    """Raise OSError unless the file consists of these bytes."""
    with path.open("rb") as file:
        for name, piece in pieces:
            for start in range(0, len(piece), _BLOCK):
                expected = bytes(piece[start : start + _BLOCK])
                if file.read(len(expected)) != expected:
                    raise OSError(f"the file read back is not what was written: the first difference is in {name}")
        if file.read(1):
            raise OSError("the file read back is not what was written: it is longer")
