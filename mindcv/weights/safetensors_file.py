"""Reader for safetensors files: the length of a JSON table, the table, then raw little-endian numbers.

Format: https://huggingface.co/docs/safetensors. The NumPy interface of the `safetensors` package lacks bfloat16.
"""

import json
import os
from math import prod
from pathlib import Path

import numpy as np

from mindcv.faults import named_in_errors

_LARGEST_HEADER = 100_000_000  # bytes; the format's own limit
_KINDS = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}


def read_safetensors(path: str | Path) -> dict[str, np.ndarray]:
    """Read every tensor of a safetensors file.

    Args:
        path: the file, which is read into memory completely.
    Returns:
        Name -> array of the shape and dtype in the file, in the order of its table; bfloat16 is widened to float32,
        exactly. The arrays own their memory.
    Raises:
        ValueError: if the file is damaged, cut off, of another format, or has numbers for which NumPy has no dtype.
        OSError, MemoryError: if there is no such file, or it cannot be read.
    """
    try:
        with named_in_errors(path):
            return _tensors(load_file(path))
    except ValueError as error:
        raise ValueError(f"{path} is refused: {error}") from None


def load_file(path: str | Path) -> bytes:
    """Read a file into memory; a mapped file on a failing disk would crash the process (SIGBUS)."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            raise ValueError("it is empty (0 bytes).")
        data = file.read(size)
        if len(data) != size:
            raise ValueError("it was truncated while it was read.")
        return data


def item_size(kind: str) -> int:
    """Return the bytes of one number in a file. `kind` is "bfloat16" or the name of a NumPy dtype."""
    return 2 if kind == "bfloat16" else np.dtype(kind).itemsize


def numbers(data: bytes, start: int, count: int, kind: str, *, big_endian: bool = False) -> np.ndarray:
    """Copy numbers out of a file.

    Args:
        start: first byte in `data`, of any alignment; all numbers must be inside.
        kind: "bfloat16" or the name of a NumPy dtype.
    Returns:
        (count,) in this machine's byte order; float32 for bfloat16.
    """
    if not count:  # `np.frombuffer` needs at least one byte
        return np.empty(0, np.float32 if kind == "bfloat16" else kind)
    if kind == "bool":  # only the bytes 0 and 1 are legal in np.bool_
        return np.frombuffer(data, np.uint8, count, start) != 0
    in_file = np.dtype("uint16" if kind == "bfloat16" else kind).newbyteorder(">" if big_endian else "<")
    raw = np.frombuffer(data, in_file, count, start)
    if kind == "bfloat16":  # the upper half of a float32
        bits = raw.astype(np.uint32)
        bits <<= 16
        return bits.view(np.float32)
    return raw.astype(kind)


def checked_shape(shape: object) -> tuple[int, ...]:
    """Return a shape as a tuple; raise ValueError unless NumPy could have it, even with nonzero sizes only."""
    if not isinstance(shape, list | tuple) or len(shape) > 32:
        raise ValueError("a tensor has no shape of at most 32 sizes.")
    if not all(type(n) is int and 0 <= n < 2**40 for n in shape) or prod(n or 1 for n in shape) >= 2**48:
        raise ValueError(f"a tensor has the impossible shape {list(shape)}."[:300])
    return tuple(shape)


def _tensors(data: bytes) -> dict[str, np.ndarray]:
    length = int.from_bytes(data[:8], "little")
    if length > _LARGEST_HEADER or data[8:9] != b"{":
        raise ValueError(f"it is not a safetensors file (it begins with {data[:12]!r}).")
    first = 8 + length
    if first > len(data):
        raise ValueError(f"it is cut off: its table takes {first:,} bytes, the file has {len(data):,}.")
    entries = {name: _entry(name, entry) for name, entry in _table(data[8:first]).items() if name != "__metadata__"}
    # Every byte must belong to exactly one tensor.
    position = 0
    for name, (_, _, begin, end) in sorted(entries.items(), key=lambda item: item[1][2:]):
        if begin != position:
            raise ValueError(f"tensor {name!r} begins at byte {begin}, but the one before it ends at {position}.")
        position = end
    if first + position != len(data):
        raise ValueError(f"it has {len(data):,} bytes, but its table describes {first + position:,}; is it cut off?")
    return {
        name: numbers(data, first + begin, prod(shape), kind).reshape(shape)
        for name, (kind, shape, begin, _) in entries.items()
    }


def _table(header: bytes) -> dict[str, object]:
    try:
        table = json.loads(header.decode(), object_pairs_hook=_without_duplicates)
    except RecursionError:
        raise ValueError("its table is nested too deeply.") from None
    except ValueError as error:
        raise ValueError(f"its table cannot be read ({error}).") from None
    return table


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name occurs twice")
    return table


def _entry(name: str, entry: object) -> tuple[str, tuple[int, ...], int, int]:
    """Check one entry of the table; return kind of number, shape, first byte and one past the last."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"tensor {name!r} is not described by dtype, shape and data_offsets.")
    dtype, offsets = entry["dtype"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _KINDS:
        raise ValueError(f"tensor {name!r} has numbers of type {str(dtype)[:40]!r}; legal ones: {', '.join(_KINDS)}.")
    kind, shape = _KINDS[dtype], checked_shape(entry["shape"])
    if not (isinstance(offsets, list) and len(offsets) == 2 and all(type(n) is int and n >= 0 for n in offsets)):
        raise ValueError(f"tensor {name!r} does not have two data_offsets.")
    begin, end = offsets
    if end - begin != prod(shape) * item_size(kind):
        raise ValueError(f"tensor {name!r} of shape {list(shape)} and {dtype} does not have {end - begin} bytes.")
    return kind, shape, begin, end
