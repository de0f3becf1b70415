"""Metrics of an evaluation, as text for a terminal and as a JSON or CSV file."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mindcv.console import printable
from mindcv.engine import Evaluation, Metrics, Outcomes, confusion_matrix
from mindcv.files import replacing
from mindcv.report.predictions import _inert

_SHOWN = 3
_COLUMNS = ("class_index", "class_name", "examples", "predicted", "precision", "recall", "f1")


def format_metrics(metrics: Metrics, outcomes: Outcomes, class_names: Sequence[str]) -> str:
    """Return the averages, and the classes with the lowest F1 and what they were most often taken for."""
    macro = metrics.macro
    lines = [
        f"macro: precision {_percent(macro.precision)}  recall {_percent(macro.recall)}  F1 {_percent(macro.f1)}  "
        f"calibration error {_percent(metrics.calibration.error)}"
    ]
    worst = [number for number in np.argsort(metrics.f1, kind="stable")[:_SHOWN].tolist() if metrics.f1[number] < 1.0]
    for number in worst:
        predicted = outcomes.predicted[outcomes.labels == number]
        wrong = np.bincount(predicted[(predicted != number) & (predicted >= 0)], minlength=len(class_names))
        taken = ""
        if wrong.any():
            most = int(wrong.argmax())
            taken = f", {wrong[most]:,} of {len(predicted):,} taken for {printable(class_names[most])}"
        lines.append(f"  {printable(class_names[number])}: F1 {_percent(metrics.f1[number])}{taken}")
    if worst:
        lines.insert(1, "lowest F1:")
    return "\n".join(lines)


def write_report(
    path: str | Path,
    evaluation: Evaluation,
    metrics: Metrics,
    outcomes: Outcomes,
    class_names: Sequence[str],
    about: Mapping[str, Any],
) -> None:
    """Write the metrics to a file, atomically.

    `.csv`: the columns class_index, class_name, examples, predicted (how often), precision, recall, f1, one row per
    class; cells are empty for classes without examples. A class name that a spreadsheet program could take for a
    formula is written as by `write_predictions`.

    `.json`: an object with the entries of `about`, those of the `Evaluation` (top1 and top5 in per cent), "macro" and
    "weighted" averages, "calibration_error" and "calibration_bins", "classes" with the columns above, and
    "confusion_matrix", a list of rows (label) of counts (prediction). Numbers that do not exist are null.

    Args:
        about: what was evaluated, JSON-compatible.

    Raises:
        OSError: if the file cannot be written; an earlier one is unchanged.
    """
    path = Path(path)
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        if path.suffix.lower() == ".csv":
            writer = csv.writer(file)
            writer.writerow(_COLUMNS)
            for index, name, *numbers in _rows(metrics, class_names):
                writer.writerow((index, _inert(name), *("" if number is None else number for number in numbers)))
            return
        calibration = metrics.calibration
        bins = zip(*map(_numbers, (calibration.examples, calibration.confidence, calibration.accuracy)), strict=True)
        entries = {
            **about,
            **{key: _number(value) for key, value in asdict(evaluation).items()},
            "macro": asdict(metrics.macro),
            "weighted": asdict(metrics.weighted),
            "calibration_error": _number(calibration.error),
            "calibration_bins": [dict(zip(("examples", "confidence", "accuracy"), row, strict=True)) for row in bins],
            "classes": [dict(zip(_COLUMNS, row, strict=True)) for row in _rows(metrics, class_names)],
            "confusion_matrix": confusion_matrix(outcomes, len(class_names)).tolist(),
        }
        file.write("{\n" + ",\n".join(f'"{key}": {_to_json(value)}' for key, value in entries.items()) + "\n}\n")


def _to_json(value: Any) -> str:
    """JSON on one line, or one for each element of a list: a matrix has a line per row."""
    if isinstance(value, list):
        return "[\n" + ",\n".join(map(_to_line, value)) + "\n]"
    return _to_line(value)


def _to_line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _rows(metrics: Metrics, class_names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    columns = (metrics.examples, metrics.predicted, metrics.precision, metrics.recall, metrics.f1)
    return zip(range(len(class_names)), class_names, *map(_numbers, columns), strict=True)


def _numbers(array: np.ndarray) -> list[float | int | None]:
    return [_number(value) for value in array.tolist()]


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"
