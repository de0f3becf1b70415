"""Lists of labelled images: a CSV file with the columns `image,label`."""

import csv
import os
import reprlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mindcv.data.collection import FileCollection, by_value, number_classes
from mindcv.files import listed

_SEPARATOR = ";"  # between the labels in a cell


def read_list(path: Path) -> FileCollection:
    """Read a list of images: UTF-8, a header `image,label`, then the path and the class of one image per line.

    Paths are relative to the list's folder; empty lines are passed over. Classes are the labels that occur, sorted as
    text, or by value if all are decimal numbers.

    Images have several labels if the header is `image,label,label` and so on, or if a cell holds labels separated by
    `;`. Then an image may have none.

    Raises:
        ValueError: for another header, a line without path or with another number of cells, a path or a label of an
            image that occurs twice, an image without label, a path that is not a file, and a list without images or
            labels; the message names the line.
    """
    lines: dict[str, int] = {}  # path -> its line
    members: list[str] = []
    labels: list[list[str]] = []
    is_multi_label = False
    for number, image, cells in _rows(path):
        own = [label for cell in cells for part in cell.split(_SEPARATOR) if (label := part.strip())]
        file = os.path.normpath(path.parent / image)
        if not image:
            raise ValueError(f"{path}, line {number}: the image is empty.")
        if file in lines:
            raise ValueError(f"{path}, line {number}: {image} is in line {lines[file]} already; list it once.")
        if len(set(own)) < len(own):
            raise ValueError(f"{path}, line {number}: {image} has a label twice: {listed(map(reprlib.repr, own))}.")
        is_multi_label = is_multi_label or len(cells) > 1 or _SEPARATOR in cells[0]
        lines[file] = number
        members.append(image)
        labels.append(own)
    if not lines:
        raise ValueError(f"{path} lists no images.")
    without = [number for number, own in zip(lines.values(), labels, strict=True) if not own]
    if without and not is_multi_label:
        raise ValueError(f"{path}, line {without[0]}: the label is empty.")
    if not any(labels):
        raise ValueError(f"{path} lists no labels.")
    missing = [file for file in lines if not os.path.isfile(file)]
    if missing:
        more = f" ({len(missing):,} of {len(lines):,} are missing)" if len(missing) > 1 else ""
        raise ValueError(
            f"{path}, line {lines[missing[0]]}: there is no file {missing[0]}{more}. Paths are relative to "
            f"{path.parent}."
        )
    class_names, numbers = number_classes([label for own in labels for label in own], by_value)
    if is_multi_label:
        numbers = _rows_of_labels(numbers, [len(own) for own in labels], len(class_names))
    remarks = [f"{path}: {len(without):,} of {len(lines):,} images have no label"] * bool(without)
    return FileCollection(path, class_names, numbers, list(lines), members, remarks)


def _rows_of_labels(numbers: np.ndarray, counts: Sequence[int], classes: int) -> np.ndarray:
    """Return (N, classes) bool from the class numbers of all images, of which each has `counts`."""
    rows = np.zeros((len(counts), classes), bool)
    rows[np.repeat(np.arange(len(counts)), counts), numbers] = True
    return rows


def _rows(path: Path) -> Iterator[tuple[int, str, list[str]]]:
    """Yield the line number, the path and the cells with labels of every line after the header that is not empty."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [cell.strip() for cell in next(reader, [])]
            if [cell.lower() for cell in header] != ["image", *["label"] * max(len(header) - 1, 1)]:
                raise ValueError(
                    f"{path}, line 1: the header must be image,label (several labels per image: image,label,label); "
                    f"found {listed(map(reprlib.repr, header), none='nothing')}."
                )
            for row in filter(None, reader):
                if len(row) != len(header):
                    expected = f"{len(header)} cells are expected, {','.join(header)}"
                    raise ValueError(f"{path}, line {reader.line_num}: {expected}; got {reprlib.repr(row)}.")
                image, *cells = [cell.strip() for cell in row]
                yield reader.line_num, image, cells
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text in UTF-8 ({error.reason}): save it as CSV in UTF-8.") from None
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: not readable as CSV ({error}).") from None
