"""The report of an evaluation: on the terminal, as JSON and CSV, and as a picture."""

import csv
import json

import numpy as np
import pytest
from PIL import Image
from tiers import full

from mindcv.engine import Evaluation, Outcomes, measure
from mindcv.report import draw_confusion_matrix, format_metrics, write_report

NAMES = ["cat", "=dog", "größe", "owl"]
RESULT = Evaluation(top1=60.0, top5=100.0, loss=float("nan"), num_examples=6, seconds=0.5, num_bad=1, num_not_finite=1)


@pytest.fixture
def outcomes() -> Outcomes:
    """Six examples: cat is right twice and once taken for dog; a dog is right, one an owl, one not finite."""
    found = Outcomes()
    found.labels, found.predicted = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 1, 1, 3, -1])
    found.confidence = np.array([1.0, 1.0, 1.0, 1.0, 1.0, np.nan])
    return found


def test_the_text_has_the_averages_and_the_worst_classes(outcomes):
    assert format_metrics(measure(outcomes, 4), outcomes, NAMES) == (
        "macro: precision 75.00 %  recall 50.00 %  F1 60.00 %  calibration error 40.00 %\n"
        "lowest F1:\n"
        "  =dog: F1 40.00 %, 1 of 3 taken for owl\n"
        "  cat: F1 80.00 %, 1 of 3 taken for =dog"
    )
    outcomes.predicted, outcomes.confidence = outcomes.labels, np.ones(6)
    assert format_metrics(measure(outcomes, 4), outcomes, NAMES) == (
        "macro: precision 100.00 %  recall 100.00 %  F1 100.00 %  calibration error 0.00 %"
    )


def test_json_has_everything(tmp_path, outcomes):
    path = tmp_path / "report.json"
    write_report(path, RESULT, measure(outcomes, 4), outcomes, NAMES, {"model": "sknet50"})
    text = path.read_text(encoding="utf-8")
    report = json.loads(text)
    assert (report["model"], report["top1"], report["loss"], report["num_not_finite"]) == ("sknet50", 60.0, None, 1)
    assert report["macro"] == pytest.approx({"precision": 0.75, "recall": 0.5, "f1": 0.6})
    assert report["confusion_matrix"] == [[2, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert [row["class_name"] for row in report["classes"]] == NAMES
    cat, _, empty, owl = report["classes"]
    assert (cat["examples"], cat["predicted"], cat["recall"]) == (3, 2, pytest.approx(2 / 3))
    assert (empty["examples"], empty["f1"]) == (0, None)
    assert (owl["predicted"], owl["precision"]) == (1, None)
    assert report["calibration_error"] == pytest.approx(0.4)
    assert [row["examples"] for row in report["calibration_bins"]] == [0] * 14 + [5]
    assert '"größe"' in text and "[2, 1, 0, 0],\n" in text  # a row of the matrix is a line


def test_csv_has_a_row_per_class(tmp_path, outcomes):
    path = tmp_path / "report.CSV"
    write_report(path, RESULT, measure(outcomes, 4), outcomes, NAMES, {})
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class_name"] for row in rows] == ["cat", "'=dog", "größe", "owl"]  # no formula
    assert [row["examples"] for row in rows] == ["3", "3", "0", "0"]
    assert [row["f1"] for row in rows] == ["0.8", "0.4", "", ""]


@pytest.mark.parametrize("classes", full([4, 30, 70], by_default=[4]))  # with counts, with names, with colours only
def test_the_picture_is_darkest_where_all_of_a_class_are(tmp_path, classes):
    pytest.importorskip("matplotlib")
    names = [*NAMES, *(f"$class_{number}^{'x' * number}" for number in range(4, classes))][:classes]
    draw_confusion_matrix(tmp_path / "c.png", np.diag(np.arange(classes)), names, "sknet50 on $a_b")
    assert [path.name for path in tmp_path.iterdir()] == ["c.png"]
    pixels = np.asarray(Image.open(tmp_path / "c.png").convert("RGB")).astype(int)
    height, width, _ = pixels.shape
    assert 500 < height < width < 2600
    is_dark_blue = (pixels == (8, 48, 107)).all(axis=2)  # the end of the colour scale
    rows = np.flatnonzero(is_dark_blue[:, : width // 2].any(axis=1))
    assert len(rows) > height // 8  # the first half of the diagonal
