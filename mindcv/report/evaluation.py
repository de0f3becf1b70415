"""Metrics of an evaluation, as text for a terminal and as a JSON or CSV file."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mindcv.console import printable
from mindcv.engine import Evaluation, Metrics, MultiLabelEvaluation, Outcomes, confusion_matrix
from mindcv.files import replacing
from mindcv.report.predictions import _inert

_SHOWN = 3
_COLUMNS = ("class_index", "class_name", "examples", "predicted", "precision", "recall", "f1")
_MULTI_LABEL_COLUMNS = ("class_index", "class_name", "examples", "average_precision")


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
    columns = (metrics.examples, metrics.predicted, metrics.precision, metrics.recall, metrics.f1)
    calibration = metrics.calibration
    bins = zip(*map(_numbers, (calibration.examples, calibration.confidence, calibration.accuracy)), strict=True)
    before = {
        **about,
        **{key: _number(value) for key, value in asdict(evaluation).items()},
        "macro": asdict(metrics.macro),
        "weighted": asdict(metrics.weighted),
        "calibration_error": _number(calibration.error),
        "calibration_bins": [dict(zip(("examples", "confidence", "accuracy"), row, strict=True)) for row in bins],
    }
    after = {"confusion_matrix": confusion_matrix(outcomes, len(class_names)).tolist()}
    _write(Path(path), _COLUMNS, _rows(class_names, columns), before, after)


def format_precisions(precisions: np.ndarray, class_names: Sequence[str]) -> str:
    """Return the classes with the lowest average precision: (K,), see `average_precision`."""
    worst = [number for number in np.argsort(precisions, kind="stable")[:_SHOWN].tolist() if precisions[number] < 1.0]
    lines = [f"  {printable(class_names[number])}: {_percent(precisions[number])}" for number in worst]
    return "\n".join(["lowest average precision:", *lines]) if lines else "average precision: 100.00 % of each class"


def write_multi_label_report(
    path: str | Path,
    evaluation: MultiLabelEvaluation,
    precisions: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    about: Mapping[str, Any],
) -> None:
    """Write the average precision of each class to a file, as `write_report` does.

    `.csv`: the columns class_index, class_name, examples, average_precision (0..1). `.json`: an object with the entries
    of `about`, those of the `MultiLabelEvaluation` (mAP in per cent), and "classes" with the columns above.

    Args:
        precisions: (K,), NaN for classes without examples.
        labels: (N, K) of 0 and 1.

    Raises:
        OSError: if the file cannot be written; an earlier one is unchanged.
    """
    rows = _rows(class_names, (labels.sum(axis=0).astype(int), precisions))
    before = {**about, **{key: _number(value) for key, value in asdict(evaluation).items()}}
    _write(Path(path), _MULTI_LABEL_COLUMNS, rows, before, {})


def _write(
    path: Path,
    columns: Sequence[str],
    rows: Iterator[tuple[Any, ...]],
    before: Mapping[str, Any],
    after: Mapping[str, Any],
) -> None:
    """Write the rows of the classes as CSV, or as JSON between the entries `before` and `after`."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        if path.suffix.lower() == ".csv":
            writer = csv.writer(file)
            writer.writerow(columns)
            for index, name, *numbers in rows:
                writer.writerow((index, _inert(name), *("" if number is None else number for number in numbers)))
            return
        entries = {**before, "classes": [dict(zip(columns, row, strict=True)) for row in rows], **after}
        file.write("{\n" + ",\n".join(f'"{key}": {_to_json(value)}' for key, value in entries.items()) + "\n}\n")


def _to_json(value: Any) -> str:
    """JSON on one line, or one for each element of a list: a matrix has a line per row."""
    if isinstance(value, list):
        return "[\n" + ",\n".join(map(_to_line, value)) + "\n]"
    return _to_line(value)


def _to_line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _rows(class_names: Sequence[str], columns: Sequence[np.ndarray]) -> Iterator[tuple[Any, ...]]:
    return zip(range(len(class_names)), class_names, *map(_numbers, columns), strict=True)


def _numbers(array: np.ndarray) -> list[float | int | None]:
    return [_number(value) for value in array.tolist()]


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"
