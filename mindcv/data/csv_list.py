"""Lists of labelled images: a CSV file with the columns `image,label`."""

import csv
import os
from collections.abc import Iterator
from pathlib import Path

from mindcv.data.collection import FileCollection, number_classes
from mindcv.files import listed

_HEADER = ["image", "label"]


def read_list(path: Path) -> FileCollection:
    """Read a list of images: UTF-8, a header `image,label`, then the path and the class of one image per line.

    Paths are relative to the list's folder; empty lines are passed over. Classes are the labels that occur, sorted as
    text, or by value if all are decimal numbers.

    Raises:
        ValueError: for another header, a line without path or label or with more cells, a path that occurs twice or
            is not a file, and a list without images; the message names the line.
    """
    lines: dict[str, int] = {}  # path -> its line
    members, labels = [], []
    for number, cells in _rows(path):
        if len(cells) != len(_HEADER):
            raise ValueError(f"{path}, line {number}: {len(_HEADER)} cells are expected, image,label; got {cells}.")
        image, label = cells
        if not image or not label:
            raise ValueError(f"{path}, line {number}: the {'label' if image else 'image'} is empty: {cells}.")
        file = os.path.normpath(path.parent / image)
        if file in lines:
            raise ValueError(f"{path}, line {number}: {image} is in line {lines[file]} already; list it once.")
        lines[file] = number
        members.append(image)
        labels.append(label)
    if not lines:
        raise ValueError(f"{path} lists no images: its header {','.join(_HEADER)} is its only line.")
    missing = [file for file in lines if not os.path.isfile(file)]
    if missing:
        more = f" ({len(missing):,} of {len(lines):,} are missing)" if len(missing) > 1 else ""
        raise ValueError(
            f"{path}, line {lines[missing[0]]}: there is no file {missing[0]}{more}. Paths are relative to "
            f"{path.parent}."
        )
    return FileCollection(path, *number_classes(labels, _in_order), list(lines), members)


def _in_order(names: set[str]) -> list[str]:
    """Sort class names as text, or by value if all are decimal numbers."""
    are_numbers = all(name.isascii() and name.isdigit() for name in names)
    return sorted(names, key=lambda name: (int(name) if are_numbers else 0, name))


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the stripped cells of every line after the header that is not empty."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [cell.strip() for cell in next(reader, [])]
            if [cell.lower() for cell in header] != _HEADER:
                raise ValueError(
                    f"{path}, line 1: the header must be {','.join(_HEADER)}; found {listed(map(repr, header))}."
                )
            for row in reader:
                if row:
                    yield reader.line_num, [cell.strip() for cell in row]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text in UTF-8 ({error.reason}): save it as CSV in UTF-8.") from None
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: not readable as CSV ({error}).") from None
