"""MindSpore's `.ckpt` format, read and written without MindSpore.

MindSpore 2.10 trusts the sizes in a file: an array with fewer bytes than its shape needs is padded with zeros, a longer
one is cut, of duplicate names the last one counts, and a file of 40 bytes may claim 16 GB. It rejects a file larger
than the free memory (not counting memory used for cached files), and calls a file that it could not open damaged. Its
saver turns a full disk into a RuntimeError.

Format (mindspore/train/checkpoint.proto): one field 1 per part of an array, of which a large array has several in a
row: {1: name, 2: {1: dims, repeated; 2: kind of number; 3: raw little-endian numbers}}. The last one may be followed by
MindSpore's CRC, which is not protobuf, or by this package's checksum, field 15.
"""

import binascii
import sys
from collections.abc import Iterator, Mapping
from io import BufferedReader, BytesIO
from math import prod
from typing import BinaryIO, NamedTuple

import numpy as np

from mindcv.faults import DamagedError
from mindcv.files import blocks
from mindcv.protobuf import BYTES, VARINT, field, fields, head, read_text, read_varint, varint

_KINDS = {
    **{"Bool": "bool", "Int8": "int8", "UInt8": "uint8", "Int16": "int16", "UInt16": "uint16", "Int32": "int32"},
    **{"UInt32": "uint32", "Int64": "int64", "UInt64": "uint64", "Float16": "float16", "Float32": "float32"},
    "Float64": "float64",
}
_KIND_OF = {dtype: kind for kind, dtype in _KINDS.items()}
_IN_FILE = {**_KINDS, "Bool": "uint8", "BFloat16": "uint16"}  # kind of number -> dtype of the raw numbers
_TEXT = "str"  # UTF-32, 4 bytes per character
_PART, _CHECKSUM = 1, 15
_CRC, _CRC_SIZE = b"crc_num", 17
_PART_SIZE = 1 << 29  # largest part in bytes, as in MindSpore


class _Array(NamedTuple):
    dims: tuple[int, ...]
    kind: str
    parts: list[tuple[int, int]]  # first byte of each and one past its last


def read_arrays(file: BufferedReader | BytesIO) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read a checkpoint of MindSpore or of this package, whose checksum is not verified here.

    Args:
        file: an open file. Memory is allocated only for the arrays, after the structure was checked.
    Returns:
        Name -> array, of the shape and dtype in the file (bfloat16 is widened to float32, exactly). Name -> text.
    Raises:
        DamagedError: if an array does not have the bytes that its shape needs, or MindSpore's CRC, if there is one,
            does not match; the message does not name the file.
    """
    size = end = file.seek(0, 2)
    file.seek(max(0, size - _CRC_SIZE))
    trailer = file.read()
    if trailer.startswith(_CRC):
        end = size - _CRC_SIZE
        if _crc(file, end) != int.from_bytes(trailer[len(_CRC) :], "big"):
            raise DamagedError("its CRC does not match its contents")
    entries = _entries(file, end)
    for name, entry in entries.items():
        _check_size(name, *entry)
    texts = {name: _read_text(file, name, entry) for name, entry in entries.items() if entry.kind == _TEXT}
    return {name: _read_array(file, entry) for name, entry in entries.items() if entry.kind != _TEXT}, texts


def encode(arrays: Mapping[str, np.ndarray], texts: Mapping[str, str]) -> Iterator[tuple[str, memoryview]]:
    """Yield the bytes of a checkpoint in pieces, each with the name of its array or text.

    They are the bytes that `mindspore.save_checkpoint` writes. Contiguous arrays are not copied.

    Raises:
        ValueError: if an array has a dtype that the format does not have, or no elements.
    """
    for name, array in arrays.items():
        if array.dtype.name not in _KIND_OF or not array.size:
            raise ValueError(
                f"{name} cannot be saved: a checkpoint holds arrays of {', '.join(_KIND_OF)} with at least one "
                f"element, got {array.dtype} of shape {array.shape}."
            )
        content = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8)
        yield from _encode_entry(name, array.shape, _KIND_OF[array.dtype.name], content.data)
    for name, text in texts.items():
        yield from _encode_entry(name, (0,), _TEXT, memoryview(text.encode("utf-32-le")))


def _encode_entry(name: str, dims: tuple[int, ...], kind: str, content: memoryview) -> Iterator[tuple[str, memoryview]]:
    described = b"".join(b"\x08" + varint(n) for n in dims) + field(2, kind.encode())
    named = field(1, name.encode())
    for start in range(0, len(content), _PART_SIZE):
        part = content[start : start + _PART_SIZE]
        array = described + head(3, len(part))
        inner = named + head(2, len(array) + len(part)) + array
        yield name, memoryview(head(_PART, len(inner) + len(part)) + inner)
        yield name, part


def _crc(file: BinaryIO, length: int) -> int:
    crc = 0
    for block in blocks(file, length):
        crc = binascii.crc32(block, crc)
    return crc


def _entries(file: BinaryIO, end: int) -> dict[str, _Array]:
    """Return name -> position and description of each array and text; the arrays are not read."""
    found: dict[str, _Array] = {}
    before = None
    for number, start, stop in _fields(file, 0, end):
        if number == _CHECKSUM and stop == end and found:
            continue
        if number != _PART:
            raise DamagedError(f"it has a field {number}, which the format does not have")
        name, part = _read_part(file, start, stop)
        if name == before:  # another part of the same array
            if part[:2] != found[name][:2]:
                raise DamagedError(f"two parts of {name[:80]!r} have different descriptions")
            found[name].parts.extend(part.parts)
        elif name in found:
            raise DamagedError(f"the name {name[:80]!r} occurs twice")
        else:
            found[name] = part
        before = name
    if not found:
        raise DamagedError("it holds no array")
    return found


def _check_size(name: str, dims: tuple[int, ...], kind: str, parts: list[tuple[int, int]]) -> None:
    held = sum(stop - start for start, stop in parts)
    if kind == _TEXT:
        if held == 0 or held % 4:
            raise DamagedError(f"the text {name[:80]!r} is cut off")
        return
    if kind not in _IN_FILE:
        raise DamagedError(f"{name[:80]!r} has numbers of type {kind[:40]!r}; legal ones: {', '.join(_IN_FILE)}")
    shape = _shape(dims)
    if len(shape) > 32 or not all(0 < n < 2**31 for n in shape):
        raise DamagedError(f"{name[:80]!r} has the impossible shape {str(list(shape))[:200]}")
    needed = prod(shape) * np.dtype(_IN_FILE[kind]).itemsize
    if held != needed:
        raise DamagedError(
            f"{name[:80]!r} of shape {list(shape)} and {kind} needs {needed:,} bytes, but {held:,} are there"
        )


def _shape(dims: tuple[int, ...]) -> tuple[int, ...]:
    return () if dims == (0,) else dims  # (0,): a scalar, as older versions write it


def _read_array(file: BufferedReader | BytesIO, entry: _Array) -> np.ndarray:
    # Of native byte order by name: MindSpore before 2.8 takes no "<f4" for a float32.
    array = np.empty(_shape(entry.dims), _IN_FILE[entry.kind])
    view, place = array.reshape(-1).view(np.uint8).data, 0
    for start, stop in entry.parts:
        file.seek(start)
        if file.readinto(view[place : place + stop - start]) != stop - start:
            raise DamagedError("it was truncated while it was read")
        place += stop - start
    if sys.byteorder == "big":
        array.byteswap(inplace=True)
    if entry.kind == "BFloat16":  # the upper half of a float32
        bits = array.reshape(-1).astype(np.uint32)
        bits <<= 16
        return bits.view(np.float32).reshape(array.shape)
    return array.astype(_KINDS[entry.kind], copy=False)


def _read_text(file: BinaryIO, name: str, entry: _Array) -> str:
    content = bytearray()
    for start, stop in entry.parts:
        file.seek(start)
        content += file.read(stop - start)
    try:
        return content.decode("utf-32-le", "surrogatepass").rstrip("\0")
    except UnicodeDecodeError:
        raise DamagedError(f"the text {name[:80]!r} is not valid UTF-32") from None


def _read_part(file: BinaryIO, start: int, end: int) -> tuple[str, _Array]:
    """Return the name and description of one part of an array."""
    parts = _unique(file, start, end, "a part of an array", (1, 2))
    dims: list[int] = []
    kind, content = None, None
    for number, inner, stop in _fields(file, *parts[2]):
        if number == 1:  # one after another, or packed
            position = inner
            while position < stop and len(dims) <= 32:
                value, position = read_varint(file, position, stop)
                dims.append(value)
        elif number == 2 and kind is None:
            kind = read_text(file, inner, stop)
        elif number == 3 and content is None:
            content = inner, stop
        else:
            raise DamagedError(f"an array has an unexpected or repeated field {number}")
        if len(dims) > 32:
            raise DamagedError("an array has more than 32 dimensions")
    if kind is None or content is None:
        raise DamagedError("an array lacks its type or its numbers")
    return read_text(file, *parts[1]), _Array(tuple(dims), kind, [content])


def _unique(file: BinaryIO, start: int, end: int, what: str, wanted: tuple[int, ...]) -> dict[int, tuple[int, int]]:
    """Return the first and one past the last byte of each wanted field; every one must occur once, and no other."""
    found = [(number, (first, stop)) for number, first, stop in _fields(file, start, end)]
    if sorted(number for number, _ in found) != list(wanted):
        raise DamagedError(f"{what} has fields {[number for number, _ in found][:9]} instead of {list(wanted)}")
    return dict(found)


def _fields(file: BinaryIO, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, first and one past the last byte of each field."""
    for number, wire_type, first, stop in fields(file, start, end):
        if wire_type not in (VARINT, BYTES):
            raise DamagedError(f"no field of the format begins before byte {first:,}")
        yield number, first, stop
