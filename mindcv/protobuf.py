"""The part of the protobuf encoding that MindSpore's checkpoints and exported networks use.

A message is a sequence of fields: a number and a wire type in one varint, then the content.
"""

from collections.abc import Iterator
from typing import BinaryIO

from mindcv.faults import DamagedError

VARINT, FIXED_64, BYTES, FIXED_32 = 0, 1, 2, 5
_SIZES = {FIXED_64: 8, FIXED_32: 4}


def varint(value: int) -> bytes:
    """Encode a non-negative number, 7 bits per byte, the lowest first."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def head(number: int, length: int) -> bytes:
    """Return the bytes before the content of a length-delimited field."""
    return varint(number << 3 | BYTES) + varint(length)


def field(number: int, content: bytes) -> bytes:
    """Return a length-delimited field."""
    return head(number, len(content)) + content


def fields(file: BinaryIO, position: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield number, wire type, first and one past the last byte of the content of each field, without reading it.

    Raises:
        DamagedError: if the bytes are not fields, or the last one is cut off; the message does not name the file.
    """
    while position < end:
        begin = position
        key, start = read_varint(file, begin, end)
        number, wire_type = key >> 3, key & 7
        if number == 0 or wire_type not in (VARINT, FIXED_64, BYTES, FIXED_32):
            raise DamagedError(f"no field of the format begins at byte {begin:,}")
        if wire_type == VARINT:
            _, position = read_varint(file, start, end)
        elif wire_type == BYTES:
            length, start = read_varint(file, start, end)
            position = start + length
        else:
            position = start + _SIZES[wire_type]
        if position > end:
            raise DamagedError(f"the field at byte {begin:,} is cut off")
        yield number, wire_type, start, position


def read_varint(file: BinaryIO, position: int, end: int) -> tuple[int, int]:
    """Read a number of up to 64 bits; return it and the position after it.

    Raises:
        DamagedError: if it does not end before `end`, or is longer.
    """
    file.seek(position)
    value, content = 0, file.read(min(10, end - position))
    for index, byte in enumerate(content):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, position + index + 1
    if len(content) == 10:
        raise DamagedError(f"the number at byte {position:,} has more than 64 bits")
    raise DamagedError("it is cut off inside a number")


def read_text(file: BinaryIO, start: int, end: int) -> str:
    """Read the UTF-8 text from byte `start` to before byte `end`.

    Raises:
        DamagedError: if it is not valid UTF-8.
    """
    file.seek(start)
    try:
        return file.read(end - start).decode()
    except UnicodeDecodeError:
        raise DamagedError(f"the text at byte {start:,} is not valid UTF-8") from None
