"""Reader for PyTorch's weight files (`.pth`, `.pt`, `.bin`) that needs no PyTorch and executes nothing in the file.

`torch.save` writes a zip archive of a pickle and one entry per storage. Before version 1.6 it wrote a stream: pickles,
then the storages. The pickles are read by `torch_pickle.py`.
"""

import logging
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from io import BytesIO
from math import prod
from pathlib import Path

import numpy as np

from mindcv.faults import named_in_errors
from mindcv.files import listed
from mindcv.weights.safetensors_file import item_size, load_file, numbers
from mindcv.weights.torch_pickle import Ignored, Storage, Storages, Tensor, read_pickle

_LOG = logging.getLogger("mindcv")

# Keys of the weights in a training checkpoint, their average first (timm's order).
WEIGHT_KEYS = ("state_dict_ema", "model_ema", "state_dict", "model")

_STREAM_START = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # the pickle of PyTorch's magic number
_STREAM_VERSION = 1001


def read_torch_file(path: str | Path) -> dict[str, np.ndarray]:
    """Read the state dict in a file of `torch.save`, of either format.

    Args:
        path: a file with a state dict, or with a training checkpoint that has one under "state_dict_ema", "model_ema",
            "state_dict" or "model" (the first of these is used, which is logged if there are several).
    Returns:
        Name -> array, in the order of the file, with its shapes and dtypes; bfloat16 is widened to float32, exactly.
        The arrays are read-only because, as in PyTorch, tensors may share memory or repeat numbers (`expand`).
    Raises:
        ValueError: if the file is damaged, cut off or of another format, contains anything but tensors and plain
            containers, or has no state dict.
        OSError, MemoryError: if there is no such file, or it cannot be read.
    """
    try:
        with named_in_errors(path):
            data = load_file(path)
        if data[:4] == b"PK\x03\x04":
            saved, load = _read_zip(data)
        elif data[: len(_STREAM_START)] == _STREAM_START:
            saved, load = _read_stream(data)
        elif data[257:262] == b"ustar":
            raise ValueError("it is in the tar format of PyTorch before 0.1.10. Load and save it with a newer one.")
        else:
            raise ValueError(f"torch.save did not write it (it begins with {data[:12]!r}).")
        return {name: _view(tensor, load(tensor.storage)) for name, tensor in _state_dict(saved, path).items()}
    except ValueError as error:
        raise ValueError(f"{path} is refused: {error}") from None


def _read_zip(data: bytes) -> tuple[object, Callable[[Storage], np.ndarray]]:
    """Return the object in an archive, and a function that reads one of its storages."""
    try:
        entries = {entry.filename: entry for entry in zipfile.ZipFile(BytesIO(data)).infolist()}
    except (zipfile.BadZipFile, NotImplementedError, struct.error, OverflowError, ValueError) as error:
        raise ValueError(f"its table of contents is damaged or cut off ({error}).") from None
    roots = [match[1] for name in entries if (match := re.fullmatch(r"([^/]+/)data\.pkl", name))]
    if len(roots) != 1:
        raise ValueError(f"it is a zip archive, but not of torch.save: {len(roots)} folders in it have a data.pkl.")

    def find(name: str) -> tuple[int, int]:
        if roots[0] + name not in entries:
            raise ValueError(f"{name[:40]!r} is missing from it.")
        return _entry_bounds(data, entries[roots[0] + name])

    start, end = find("data.pkl")
    storages = Storages(len(data))
    saved = read_pickle(BytesIO(data[start:end]), storages)
    order = b"little"  # archives before PyTorch 2.1 do not say
    if f"{roots[0]}byteorder" in entries:
        order = data[slice(*find("byteorder"))]
        if order not in (b"little", b"big"):
            raise ValueError(f"its byte order is neither little nor big but {order[:12]!r}.")
    left = len(data)

    @cache
    def load(storage: Storage) -> np.ndarray:
        nonlocal left
        start, end = find(f"data/{storage.key}")
        if end - start != storage.count * item_size(storage.kind):
            raise ValueError(
                f"storage {storage.key[:40]!r} has {end - start:,} bytes for {storage.count:,} {storage.kind}."
            )
        left -= end - start  # overlapping entries would add up to more than the file
        if left < 0:
            raise ValueError("its entries overlap.")
        return numbers(data, start, storage.count, storage.kind, big_endian=order == b"big")

    return saved, load


def _entry_bounds(data: bytes, entry: zipfile.ZipInfo) -> tuple[int, int]:
    """Return the first byte of an entry's contents and one past the last, after verifying its checksum."""
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size or entry.flag_bits & 1:
        raise ValueError(f"{entry.filename[:80]!r} in it is compressed or encrypted, which torch.save never does.")
    header = data[entry.header_offset : entry.header_offset + 30]
    if len(header) != 30 or header[:4] != b"PK\x03\x04":
        raise ValueError(f"{entry.filename[:80]!r} is not where its table of contents says.")
    start = entry.header_offset + 30 + sum(struct.unpack("<2H", header[26:]))
    end = start + entry.file_size
    if not 0 <= start <= end <= len(data) or zlib.crc32(memoryview(data)[start:end]) != entry.CRC:
        raise ValueError(f"it is damaged: the checksum of {entry.filename[:80]!r} does not match.")
    return start, end


def _read_stream(data: bytes) -> tuple[object, Callable[[Storage], np.ndarray]]:
    """Return the object in a file of the older format, and a function that reads one of its storages."""
    stream = BytesIO(data)  # shares the memory of `data`
    stream.seek(len(_STREAM_START))
    storages = Storages(len(data))
    version = read_pickle(stream, storages)
    if version != _STREAM_VERSION:
        raise ValueError(f"its format is not version {_STREAM_VERSION} of the stream.")
    read_pickle(stream, storages)  # the machine that wrote it; the numbers are little-endian on all
    saved = read_pickle(stream, storages)
    keys = read_pickle(stream, storages)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise ValueError("it has no list of storages.")
    position = stream.tell()
    starts: dict[str, int] = {}
    for key in keys:
        if key not in storages or key in starts:
            raise ValueError(f"storage {key[:40]!r} occurs twice or belongs to no tensor.")
        count = int.from_bytes(data[position : position + 8], "little")
        starts[key] = position + 8
        position += 8 + storages[key].count * item_size(storages[key].kind)
        if position > len(data):
            raise ValueError("it is cut off.")
        if count != storages[key].count:
            raise ValueError(f"storage {key[:40]!r} has {count:,} numbers instead of {storages[key].count:,}.")

    @cache
    def load(storage: Storage) -> np.ndarray:
        if storage.key not in starts:
            raise ValueError(f"storage {storage.key[:40]!r} is missing from it.")
        return numbers(data, starts[storage.key], storage.count, storage.kind)

    return saved, load


def _view(tensor: Tensor, storage: np.ndarray) -> np.ndarray:
    storage.flags.writeable = False
    if not prod(tensor.shape):
        return np.empty(tensor.shape, storage.dtype)
    size = storage.itemsize
    # Along an axis of one element PyTorch allows any stride.
    strides = [size * step if n > 1 else 0 for n, step in zip(tensor.shape, tensor.strides, strict=True)]
    return np.ndarray(tensor.shape, storage.dtype, storage, size * tensor.offset, strides)


def _state_dict(saved: object, path: str | Path) -> dict[str, Tensor]:
    """Return the weights in the saved object."""
    if isinstance(saved, dict):
        found = [key for key in WEIGHT_KEYS if isinstance(saved.get(key), dict)]
        if len(found) > 1:
            _LOG.warning("weights of %s: read from its entry %r, not %s", path, found[0], " or ".join(found[1:]))
        saved = saved[found[0]] if found else saved
    if not isinstance(saved, dict):
        raise ValueError(f"it holds a {_kind(saved)}, not a dictionary of tensors.")
    others = [
        f"{str(name)[:80]!r} ({_kind(value)})"
        for name, value in saved.items()
        if not (isinstance(name, str) and isinstance(value, Tensor))
    ]
    if others:
        raise ValueError(
            f"these of its entries are not named tensors: {listed(others, 5)}. Expected a state dict, or a "
            f"checkpoint that has one under any of {', '.join(WEIGHT_KEYS)}."
        )
    return saved


def _kind(value: object) -> str:
    return value.kind if isinstance(value, Ignored) else type(value).__name__.lstrip("_")
