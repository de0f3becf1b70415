"""What an exported file says about itself, and the checksum that seals it.

ONNX and MindIR are both protobuf messages, and both have a map from text to text as their field 14: `metadata_props`
of an ONNX ModelProto, `user_info` of a MindIR ModelProto. Entries of a protobuf map may be appended to a finished
message, so one writer and one reader serve both formats, and every other reader of either finds the entries.

Two entries are written: "mindcv", a JSON text, and, as the last bytes of the file, "mindcv_sha256", the SHA-256 of all
bytes before it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from mindcv.faults import DamagedError, named_in_errors
from mindcv.paths import check_exported_path

_INFO = "mindcv"
_DIGEST = "mindcv_sha256"
_MAP_FIELD = 14


def append_info(path: Path, info: Mapping[str, Any]) -> None:
    """Add the description and the checksum to a file that has neither.

    Args:
        info: JSON-compatible.
    """
    with path.open("ab") as file:
        file.write(_entry(_INFO, json.dumps(info, sort_keys=True)))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with path.open("ab") as file:
        file.write(_entry(_DIGEST, digest))


def read_info(path: str | Path) -> dict[str, Any]:
    """The description inside an .onnx or .mindir file, its checksum verified; {} if another tool wrote the file.

    Raises:
        ValueError: if there is no such file.
        DamagedError: if it is damaged or of another format.
        OSError, MemoryError: if it cannot be read; that says nothing about the file.
    """
    path = Path(path)
    with named_in_errors(path):
        check_exported_path(path)
        return _read_info(path)


def _read_info(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            entries = dict(_map_entries(file, path.stat().st_size))
    except (EOFError, UnicodeDecodeError) as error:
        raise DamagedError(
            f"{path} is damaged, or is no {path.suffix} file ({path.stat().st_size:,} bytes)."
        ) from error
    if _INFO not in entries:
        return {}
    content = path.read_bytes()
    trailer = _entry(_DIGEST, entries.get(_DIGEST, ""))
    if not content.endswith(trailer) or hashlib.sha256(content[: -len(trailer)]).hexdigest() != entries.get(_DIGEST):
        raise DamagedError(
            f"{path} is damaged, or another tool changed it: its checksum does not match its contents. Export it again."
        )
    return json.loads(entries[_INFO])


def _entry(key: str, value: str) -> bytes:
    """One entry of the map, as it stands in the file."""
    return _field(_MAP_FIELD, _field(1, key.encode()) + _field(2, value.encode()))


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _map_entries(file: BinaryIO, size: int) -> Iterator[tuple[str, str]]:
    """Key and value of each map entry; all other fields are skipped without being read."""
    for number, start, end in _fields(file, size):
        if number == _MAP_FIELD:
            texts = {}
            file.seek(start)
            for inner, inner_start, inner_end in _fields(file, end):
                file.seek(inner_start)
                texts[inner] = file.read(inner_end - inner_start).decode()
            yield texts.get(1, ""), texts.get(2, "")


def _fields(file: BinaryIO, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, first and one past the last byte of each protobuf field from here to `end`."""
    while (position := file.tell()) < end:
        key = _read_varint(file)
        number, wire_type = key >> 3, key & 7
        if number == 0 or wire_type not in (0, 1, 2, 5):
            raise EOFError(f"no protobuf field at byte {position}")
        length = {0: 0, 1: 8, 5: 4}.get(wire_type)
        if wire_type == 0:
            _read_varint(file)
        elif wire_type == 2:
            length = _read_varint(file)
        start = file.tell()
        stop = start + length
        if stop > end:
            raise EOFError(f"the field at byte {position} is cut off")
        yield number, start, stop
        file.seek(stop)


def _read_varint(file: BinaryIO) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            raise EOFError("the file ends inside a number")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise EOFError("a number of more than 64 bits")
