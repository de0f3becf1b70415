"""Labelled images in a MindRecord file, read by the offsets in its index.

MindSpore writes two files: NAME, whose pages hold the images, and NAME.db, an SQLite table with the place and the
indexed fields of each record. MindSpore's own readers give records in order or by category only, not by their number.

Source: MindSpore 2.10, minddata/mindrecord (ShardHeader, ShardIndexGenerator).
"""

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from mindcv.data.collection import PackedCollection, by_value, number_classes, stamp_of
from mindcv.files import listed

_IMAGE, _LABEL = "image", "label"
_LENGTH = 8  # bytes of the length, little-endian, before the header and before each image
_LARGEST_HEADER = 1 << 29  # MindSpore's limit is 128 MB
_WRITE = (
    "Write it by FileWriter(NAME, shard_num=1) with add_schema({'image': {'type': 'bytes'}, 'label': {'type': "
    "'int32'}}) and add_index(['label'])."
)


class RecordCollection(PackedCollection):
    """The images of a MindRecord file, in the order of the records."""

    def where(self, position: int) -> str:
        return f"{self.path}, record {position}"

    def member(self, position: int) -> str:
        return str(position)


def read_records(path: Path) -> RecordCollection:
    """Index a file that MindSpore's FileWriter wrote: `image` (bytes of an image file) and `label` (number or text).

    `label` must be an indexed field, as every field is unless `add_index` names others, and `image` the only field of
    bytes. Classes are the labels that occur, sorted by value, or as text if they are texts.

    Raises:
        ValueError: if the file or its index is missing, broken or has other fields, or is one of several parts.
    """
    stamp = stamp_of(path)
    header = _header(path)
    try:
        (fields,) = [(schema["schema"], schema["blob_fields"]) for schema in header["schema"]]
        start, page_size = int(header["header_size"]), int(header["page_size"])
        parts, found = len(header["shard_addresses"]), list(fields[0])
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{path} has a header that MindSpore 2.10 does not write. {_WRITE}") from None
    if parts != 1:
        raise ValueError(f"{path} is one of {parts} parts; only files in one part are read. {_WRITE}")
    if fields[1] != [_IMAGE] or _LABEL not in fields[0]:
        expected = "a field label, and image as its only bytes"
        raise ValueError(f"{path} must have {expected}; it has {listed(found)}. {_WRITE}")
    rows = _rows(path.with_name(path.name + ".db"), path)
    try:
        pages, begins, ends = np.array([row[:3] for row in rows], np.int64).T
        offsets = start + page_size * pages + begins + _LENGTH
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{path}.db is broken: an offset is not a number. Get both files again.") from None
    sizes = ends - begins - _LENGTH
    if min(offsets.min(), sizes.min()) < 0 or (offsets + sizes).max() > os.path.getsize(path):
        raise ValueError(f"{path} and {path}.db do not belong together, or {path} is cut off. Get both files again.")
    labels = number_classes([str(row[3]) for row in rows], by_value)
    return RecordCollection(path, *labels, np.stack([offsets, sizes], axis=1), stamp)


def _header(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH), "little")
        content = file.read(length) if length <= min(_LARGEST_HEADER, os.path.getsize(path)) else b""
    try:
        header = json.loads(content)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise ValueError(f"{path} is no MindRecord file, or is damaged. {_WRITE}")
    return header


def _rows(index: Path, path: Path) -> list[tuple[Any, ...]]:
    """The page, the offset and the end there, and the label of each record, in order."""
    if not index.is_file():
        raise ValueError(f"{path} needs its index, {index}, which does not exist: copy it too, without renaming it.")
    try:
        with closing(sqlite3.connect(f"{index.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as database:
            columns = [column for _, column, *_ in database.execute("PRAGMA table_info(INDEXES)")]
            if f"{_LABEL}_0" not in columns:
                raise ValueError(f"{path} has no index of the field label. {_WRITE}")
            place = "PAGE_ID_BLOB, PAGE_OFFSET_BLOB, PAGE_OFFSET_BLOB_END"
            rows = database.execute(f"SELECT {place}, {_LABEL}_0 FROM INDEXES ORDER BY ROW_ID").fetchall()
    except sqlite3.Error as error:
        raise ValueError(f"{index} is no index of a MindRecord file ({error}): get both files again.") from None
    if not rows:
        raise ValueError(f"{path} holds no records.")
    return rows
