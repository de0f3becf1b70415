"""The structure of MindSpore's `.ckpt` format, checked before MindSpore reads the file.

MindSpore 2.10 believes the sizes in a file: an array with fewer bytes than its shape needs is filled up with zeros, one
with more is cut, a name that occurs twice takes the last array, and a file of 40 bytes may claim 16 GB. A checksum of
ours rules that out for our own files; those of other tools have none.

Format (mindspore/train/checkpoint.proto): one field 1 for each part of an array, a large one having several in a row:
{1: name, 2: {1: dims, repeated; 2: kind of number; 3: raw numbers}}. Behind it may stand MindSpore's CRC, which is no
protobuf, or the checksum of this package, field 15.
"""

import mmap
from collections.abc import Iterator
from math import prod
from pathlib import Path

_SIZES = {
    **{"Bool": 1, "Int8": 1, "UInt8": 1, "Int16": 2, "UInt16": 2, "Int32": 4, "UInt32": 4, "Int64": 8, "UInt64": 8},
    **{"Float16": 2, "BFloat16": 2, "Float32": 4, "Float64": 8},
}
_TEXT = "str"  # of 4 bytes per character
_PART, _CHECKSUM = 1, 15
_CRC, _CRC_SIZE = b"crc_num", 17
_VARINT, _BYTES = 0, 2  # wire types; the format has no others


def check_structure(path: Path) -> None:
    """Raise ValueError unless a file is a MindSpore checkpoint in which every array has the bytes its shape needs.

    Only the descriptions of the arrays are read, not the arrays.
    """
    with path.open("rb") as file:
        size = path.stat().st_size
        if not size:
            raise ValueError(f"{path} is empty (0 bytes): it cannot be a checkpoint.")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            end = size - _CRC_SIZE if data[-_CRC_SIZE:].startswith(_CRC) else size
            try:
                _check_arrays(data, end)
            except ValueError as error:
                raise ValueError(
                    f"{path} is damaged or is not a MindSpore checkpoint ({size:,} bytes): {error}."
                ) from None


def _check_arrays(data: mmap.mmap, end: int) -> None:
    names: set[str] = set()
    name, description, held = "", None, 0
    for number, start, stop in _fields(data, 0, end):
        if number == _CHECKSUM and stop == end and names:
            continue
        if number != _PART:
            raise ValueError(f"it has a field {number}, which the format does not know")
        its_name, its_description, count = _part(data, start, stop)
        if its_name == name and description is not None:  # the array goes on
            if its_description != description:
                raise ValueError(f"two parts of {name[:80]!r} are described in two ways")
            held += count
            continue
        if description is not None:
            _check_size(name, *description, held)
        name, description, held = its_name, its_description, count
        if name in names:
            raise ValueError(f"the name {name[:80]!r} occurs twice")
        names.add(name)
    if description is None:
        raise ValueError("no array is in it")
    _check_size(name, *description, held)


def _check_size(name: str, dims: tuple[int, ...], kind: str, held: int) -> None:
    if kind == _TEXT:
        if held == 0 or held % 4:
            raise ValueError(f"the text {name[:80]!r} is cut")
        return
    if kind not in _SIZES:
        raise ValueError(f"{name[:80]!r} has numbers of type {kind[:40]!r}; legal ones: {', '.join(_SIZES)}")
    shape = () if dims == (0,) else dims  # how older versions write a scalar
    if len(shape) > 32 or not all(0 < n < 2**31 for n in shape):
        raise ValueError(f"{name[:80]!r} has the impossible shape {str(list(shape))[:200]}")
    if held != prod(shape) * _SIZES[kind]:
        raise ValueError(
            f"{name[:80]!r} of shape {list(shape)} and {kind} takes {prod(shape) * _SIZES[kind]:,} bytes, "
            f"but {held:,} are there"
        )


def _part(data: mmap.mmap, start: int, end: int) -> tuple[str, tuple[tuple[int, ...], str], int]:
    """Name, description (dims, kind of number) and number of bytes of one part."""
    fields = _unique(data, start, end, "a part of an array", (1, 2))
    dims, kind, held = [], None, None
    for number, inner, stop in _fields(data, *fields[2]):
        if number == 1:  # one after another, or packed
            position = inner
            while position < stop:
                value, position = _varint(data, position, stop)
                dims.append(value)
        elif number == 2 and kind is None:
            kind = _text(data, inner, stop)
        elif number == 3 and held is None:
            held = stop - inner
        else:
            raise ValueError(f"an array has a field {number} that it should not have, or has twice")
        if len(dims) > 32:
            raise ValueError("an array has more than 32 dimensions")
    if kind is None or held is None:
        raise ValueError("an array is not described by its type and its numbers")
    return _text(data, *fields[1]), (tuple(dims), kind), held


def _unique(data: mmap.mmap, start: int, end: int, what: str, wanted: tuple[int, ...]) -> dict[int, tuple[int, int]]:
    """First and one past the last byte of fields that must be there once, and no others."""
    found = [(number, (first, stop)) for number, first, stop in _fields(data, start, end)]
    if sorted(number for number, _ in found) != list(wanted):
        raise ValueError(f"{what} has fields {[number for number, _ in found][:9]} instead of {list(wanted)}")
    return dict(found)


def _fields(data: mmap.mmap, position: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, first and one past the last byte of each protobuf field."""
    while position < end:
        begin = position
        key, position = _varint(data, position, end)
        if key & 7 == _VARINT:
            start = position
            _, stop = _varint(data, position, end)
        elif key & 7 == _BYTES:
            length, start = _varint(data, position, end)
            stop = start + length
        else:
            raise ValueError(f"no field of the format begins at byte {begin:,}")
        if stop > end:
            raise ValueError(f"the field at byte {begin:,} is cut off")
        yield key >> 3, start, stop
        position = stop


def _varint(data: mmap.mmap, position: int, end: int) -> tuple[int, int]:
    """A number of up to 64 bits, and the position behind it."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            raise ValueError("it is cut off inside a number")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError(f"the number before byte {position:,} has more than 64 bits")


def _text(data: mmap.mmap, start: int, end: int) -> str:
    try:
        return data[start:end].decode()
    except UnicodeDecodeError:
        raise ValueError(f"the text at byte {start:,} is none") from None
