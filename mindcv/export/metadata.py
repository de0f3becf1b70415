"""The description in an exported file, and its checksum.

ONNX and MindIR are both protobuf messages, and both have a map from text to text as their field 14: `metadata_props`
of an ONNX ModelProto, `user_info` of a MindIR ModelProto. Entries of a protobuf map may be appended to a finished
message, so one writer and one reader serve both formats, and other tools find the entries too.

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
from mindcv.protobuf import field, fields, read_text

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
        OSError, MemoryError: if it cannot be read, which does not mean that it is damaged.
    """
    path = Path(path)
    with named_in_errors(path):
        check_exported_path(path)
        return _read_info(path)


def _read_info(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            entries = dict(_map_entries(file, path.stat().st_size))
    except DamagedError as error:
        size = path.stat().st_size
        raise DamagedError(f"{path} is damaged, or is no {path.suffix} file ({size:,} bytes): {error}.") from None
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
    """One entry of the map, encoded."""
    return field(_MAP_FIELD, field(1, key.encode()) + field(2, value.encode()))


def _map_entries(file: BinaryIO, size: int) -> Iterator[tuple[str, str]]:
    """Key and value of each map entry; all other fields are skipped without being read."""
    for number, _, start, end in fields(file, 0, size):
        if number == _MAP_FIELD:
            texts = {inner: read_text(file, first, stop) for inner, _, first, stop in fields(file, start, end)}
            yield texts.get(1, ""), texts.get(2, "")
