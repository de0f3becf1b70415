"""Predictions as text for a terminal, and as a CSV or JSON file."""

import csv
import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO, TypeAlias

from mindcv.console import printable
from mindcv.files import replacing
from mindcv.paths import check_output_path

# (path, best candidates first), a candidate being (class index, class name, probability in 0..1).
Ranking: TypeAlias = tuple[Path, Sequence[tuple[int, str, float]]]
Failure: TypeAlias = tuple[Path, str]  # (path, reason)

COLUMNS = ("image", "rank", "class_index", "class_name", "probability", "error")
SUFFIXES = (".csv", ".json")
_GAP = "  "
# Beginnings of formulas in spreadsheet programs, also in full width, and the apostrophe, which makes it unambiguous.
_FORMULA_STARTS = (*"=+-@\t\r\n", *"\uff1d\uff0b\uff0d\uff20", "'")
_PERCENT_WIDTH = len("100.0 %")


def format_predictions(predictions: Sequence[Ranking], failures: Sequence[Failure] = (), width: int = 80) -> str:
    """Return a table without a final newline: a line per image, or for a single image a line per candidate.

    Args:
        predictions: the images and their candidates.
        failures: the images without predictions, listed with their reasons below the table.
        width: columns of the terminal. Long paths are shortened in the middle and long class names at the end;
            runners-up that do not fit are left out. Reasons of failures are never cut.
    """
    parts = []
    if len(predictions) == 1:
        parts.append(_single(predictions[0], width))
    elif predictions:
        parts.append(_table(predictions, width))
    if failures:
        title = f"not predicted, {len(failures)} of {len(predictions) + len(failures)}:"
        listed = [f"{_GAP}{printable(str(path))}: {printable(reason)}" for path, reason in failures]
        parts.append("\n".join([title, *listed]))
    return "\n\n".join(parts)


def write_predictions(path: str | Path, predictions: Sequence[Ranking], failures: Sequence[Failure] = ()) -> None:
    """Write all predictions, then the failures, to a file, atomically.

    `.csv`: the columns `COLUMNS`, one row per image and rank (from 1). A failure is one row with the reason in `error`
    and empty cells between. `.json`: a list of objects
    `{"image", "candidates": [{"class_index", "class_name", "probability"}], "error": null or the reason}`.

    Both are UTF-8 and preserve names exactly. Bytes of a file name that are not UTF-8 are escaped in JSON, as
    `os.fsencode` expects, and written unchanged in CSV (read them with `encoding_errors="surrogateescape"`). In CSV, a
    text that a spreadsheet program could take for a formula, because it starts with "=", "+", "-", "@", a tab or a line
    break, gets an apostrophe in front, and so does a text that starts with an apostrophe. Programs that read the file
    remove one leading apostrophe.

    Raises:
        ValueError: from `check_predictions_path`.
        OSError: if the file cannot be written; an earlier one is unchanged.
    """
    path = Path(path)
    check_predictions_path(path)
    is_csv = path.suffix.lower() == ".csv"
    errors = "surrogateescape" if is_csv else "backslashreplace"  # a lone surrogate becomes JSON's escape
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", errors=errors, newline="") as file:
        (_write_csv if is_csv else _write_json)(file, predictions, failures)


def check_predictions_path(path: str | Path) -> None:
    """Raise ValueError unless `write_predictions` can write there; call it before the work."""
    check_output_path(path, SUFFIXES)


def _write_csv(file: TextIO, predictions: Sequence[Ranking], failures: Sequence[Failure]) -> None:
    writer = csv.writer(file)  # its line ends are CR LF, so that a CR in a name is quoted too
    writer.writerow(COLUMNS)
    for path, candidates in predictions:
        for rank, (class_index, class_name, probability) in enumerate(candidates, 1):
            writer.writerow((_inert(str(path)), rank, class_index, _inert(class_name), probability, ""))
    for path, reason in failures:
        writer.writerow((_inert(str(path)), "", "", "", "", _inert(reason)))


def _inert(text: str) -> str:
    """Keep a spreadsheet program from running a text, such as a file name, as a formula."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _write_json(file: TextIO, predictions: Sequence[Ranking], failures: Sequence[Failure]) -> None:
    keys = ("class_index", "class_name", "probability")
    entries = [
        {"image": str(path), "candidates": [dict(zip(keys, c, strict=True)) for c in candidates], "error": None}
        for path, candidates in predictions
    ]
    entries += [{"image": str(path), "candidates": [], "error": reason} for path, reason in failures]
    json.dump(entries, file, ensure_ascii=False, indent=1, allow_nan=False)
    file.write("\n")


def _single(prediction: Ranking, width: int) -> str:
    path, candidates = prediction
    names = [printable(name) for _, name, _ in candidates]
    space = width - 2 * len(_GAP) - len(str(len(candidates))) - len(_GAP) - _PERCENT_WIDTH
    name_width = max(min(max(map(_columns, names)), space), 4)
    lines = [_cut_middle(printable(str(path)), width)]
    for rank, (name, (_, _, probability)) in enumerate(zip(names, candidates, strict=True), 1):
        number = f"{rank:{len(str(len(candidates)))}}"
        lines.append(f"{_GAP}{number}{_GAP}{_pad(_cut_end(name, name_width), name_width)}{_GAP}{_percent(probability)}")
    return "\n".join(lines)


def _table(predictions: Sequence[Ranking], width: int) -> str:
    images = [printable(str(path)) for path, _ in predictions]
    classes = [printable(candidates[0][1]) for _, candidates in predictions]
    # Each takes at least 9 columns, which limits the number that can be shown.
    others = [
        [(printable(name), _percent(probability).strip()) for _, name, probability in candidates[1 : 2 + width // 9]]
        for _, candidates in predictions
    ]

    # Up to a quarter for the class, up to a third reserved for runners-up, the rest for paths; runners-up get what the
    # paths leave.
    class_width = min(max(map(_columns, [*classes, "class"])), width // 4)
    longest = max(sum(_columns(name) + len(percentage) + 3 for name, percentage in row) for row in others)
    space = width - class_width - _PERCENT_WIDTH - 2 * len(_GAP)
    reserved = min(longest, width // 3) + len(_GAP) if longest else 0
    image_width = max(min(max(map(_columns, [*images, "image"])), space - reserved), 8)
    other_width = space - image_width - len(_GAP)

    lines = [
        f"{_pad('image', image_width)}{_GAP}{_pad('class', class_width)}"
        + (f"{_GAP}{'':{_PERCENT_WIDTH}}{_GAP}runners-up" if longest else "")
    ]
    for image, name, runners_up, (_, candidates) in zip(images, classes, others, predictions, strict=True):
        cells = [
            _pad(_cut_middle(image, image_width), image_width),
            _pad(_cut_end(name, class_width), class_width),
            _percent(candidates[0][2]),
            _as_many_as_fit(runners_up, other_width),
        ]
        lines.append(_GAP.join(cells))
    return "\n".join(line.rstrip() for line in lines)


def _as_many_as_fit(candidates: Sequence[tuple[str, str]], width: int) -> str:
    """Join as many (name, percentage) as fit into the width, with dots if there are more."""
    texts = [f"{name} {percentage}" for name, percentage in candidates]
    for count in range(len(texts), 0, -1):
        shown = ", ".join(texts[:count]) + ", ..." * (count < len(texts))
        if _columns(shown) <= width:
            return shown
    if not candidates:
        return ""
    name, percentage = candidates[0]
    return f"{_cut_end(name, width - len(percentage) - 1)} {percentage}"


def _percent(probability: float) -> str:
    return f"{100 * probability:5.1f} %"


def _columns(text: str) -> int:
    """Count the terminal columns of a text: two for a Chinese character, none for a combining accent."""
    return len(text) if text.isascii() else sum(map(_character_columns, text))


def _character_columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _pad(text: str, width: int) -> str:
    return text + " " * (width - _columns(text))


def _beginning(text: str, width: int) -> str:
    used = 0
    for position, character in enumerate(text):
        used += _character_columns(character)
        if used > width:
            return text[:position]
    return text


def _cut_end(text: str, width: int) -> str:
    return text if _columns(text) <= width else _beginning(text, width - 3) + "..."


def _cut_middle(text: str, width: int) -> str:
    """Shorten a path in the middle, keeping the file name or two thirds of the width at its end."""
    if _columns(text) <= width:
        return text
    name = text[text.rfind("/") :]
    end_width = min(max(_columns(name), (width - 3) * 2 // 3), width - 3)
    end = _beginning(text[::-1], end_width)[::-1]
    return _beginning(text, width - 3 - _columns(end)) + "..." + end
