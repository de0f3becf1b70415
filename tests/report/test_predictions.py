"""Predictions on the terminal and in files: complete, aligned and written atomically."""

import csv
import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mindcv.report import check_predictions_path, format_predictions, write_predictions
from mindcv.report.predictions import COLUMNS

PREDICTIONS = [
    (Path("photos/cat.jpg"), [(2, "tabby, tabby cat", 0.75), (0, "lynx", 0.2)]),
    (Path('odd "name",\nx.png'), [(0, "lynx", 0.6), (1, "=1+1", 1e-17)]),
]
FAILURES = [(Path("photos/cut.jpg"), "image file is truncated, 16 bytes")]


def read_csv(path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


def test_csv_has_a_row_per_image_and_rank_and_one_per_failure(tmp_path):
    write_predictions(tmp_path / "out.csv", PREDICTIONS, FAILURES)
    rows = read_csv(tmp_path / "out.csv")
    assert tuple(rows[0]) == COLUMNS == ("image", "rank", "class_index", "class_name", "probability", "error")
    assert [tuple(row.values()) for row in rows] == [
        ("photos/cat.jpg", "1", "2", "tabby, tabby cat", "0.75", ""),
        ("photos/cat.jpg", "2", "0", "lynx", "0.2", ""),
        ('odd "name",\nx.png', "1", "0", "lynx", "0.6", ""),
        ('odd "name",\nx.png', "2", "1", "'=1+1", "1e-17", ""),
        ("photos/cut.jpg", "", "", "", "", "image file is truncated, 16 bytes"),
    ]


def test_json_is_a_list_of_objects(tmp_path):
    write_predictions(tmp_path / "out.JSON", PREDICTIONS, FAILURES)
    entries = json.loads((tmp_path / "out.JSON").read_text("utf-8"))
    assert [entry["image"] for entry in entries] == ["photos/cat.jpg", 'odd "name",\nx.png', "photos/cut.jpg"]
    assert entries[0]["candidates"][1] == {"class_index": 0, "class_name": "lynx", "probability": 0.2}
    assert [entry["error"] for entry in entries] == [None, None, FAILURES[0][1]]
    assert entries[2]["candidates"] == []


# Any bytes that a file name can have, as the file system gives them to Python.
_file_names = st.binary(min_size=1, max_size=12).filter(lambda b: not {0, 47} & set(b) and b != b".").map(os.fsdecode)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=_file_names, class_name=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_any_file_name_and_class_name_comes_back_from_both_files(name, class_name, tmp_path):
    for suffix in (".csv", ".json"):
        write_predictions(tmp_path / f"out{suffix}", [(Path(name), [(0, class_name, 0.5)])])
    (row,) = read_csv(tmp_path / "out.csv")
    (entry,) = json.loads((tmp_path / "out.json").read_text("utf-8"))
    image, its_class = (row[key].removeprefix("'") for key in ("image", "class_name"))
    assert os.fsencode(image) == os.fsencode(entry["image"]) == os.fsencode(name)
    assert its_class == entry["candidates"][0]["class_name"] == class_name


def test_a_failed_write_leaves_the_earlier_file_and_nothing_else(tmp_path):
    path = tmp_path / "out.json"
    write_predictions(path, PREDICTIONS)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="Out of range float"):
        write_predictions(path, [(Path("a"), [(0, "x", float("nan"))])])
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["out.json"]
    write_predictions(path, [])
    assert json.loads(path.read_text()) == []


def test_unwritable_places_are_an_error_beforehand(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    for path, message in (
        (tmp_path / "out.txt", r"named \*\.csv or \*\.json; got"),
        (tmp_path / "out", r"named \*\.csv or \*\.json"),
        (tmp_path / "folder.csv", "is a folder; expected the name of a file"),
        (tmp_path / "absent" / "out.csv", f"the folder {tmp_path / 'absent'} does not exist"),
    ):
        for function in (check_predictions_path, lambda path: write_predictions(path, PREDICTIONS)):
            with pytest.raises(ValueError, match=message):
                function(path)
    check_predictions_path(tmp_path / "out.csv")
    assert os.listdir(tmp_path) == ["folder.csv"]


LONG = Path("holiday/2019/a very long folder name for the pictures of one summer/IMG_20190714_1530.jpg")
MANY = [
    (Path("cat.jpg"), [(0, "German short-haired pointer", 0.5), (1, "golden retriever", 0.25), (2, "lynx", 0.125)]),
    (LONG, [(2, "lynx", 1.0), (1, "golden retriever", 0.0), (0, "German short-haired pointer", 0.0)]),
    (Path("图片/猫.png"), [(3, "虎斑猫", 0.9), (2, "lynx", 0.0625), (1, "golden retriever", 0.03)]),
]


def terminal_columns(text) -> int:
    return sum(2 if "\u4e00" <= character <= "\u9fff" else 1 for character in text)


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_table_fits_the_terminal_and_its_columns_line_up(width):
    lines = format_predictions(MANY, width=width).split("\n")
    assert len(lines) == 1 + len(MANY)
    assert max(map(terminal_columns, lines)) <= width
    percentages = {terminal_columns(line[: line.index(" %")]) for line in lines[1:]}
    assert len(percentages) == 1
    assert "IMG_20190714_1530.jpg" in lines[2] or width <= 80
    assert lines[0].split() == ["image", "class", "runners-up"]


def test_a_wide_terminal_shows_everything_and_a_narrow_one_abbreviates():
    wide, narrow = (format_predictions(MANY, width=width) for width in (200, 80))
    assert str(LONG) in wide
    assert "golden retriever 25.0 %, lynx 12.5 %" in wide
    assert "..." not in wide
    assert "holiday" not in narrow or "..." in narrow
    assert "lynx 12.5 %" not in narrow
    assert "golden retriever 25.0 %" in narrow or "... 25.0 %" in narrow


def test_without_runners_up_paths_get_their_columns():
    text = format_predictions([(path, candidates[:1]) for path, candidates in MANY], width=130)
    assert str(LONG) in text
    assert "runners-up" not in text


def test_a_single_image_has_a_line_per_candidate():
    assert format_predictions(MANY[:1]).split("\n") == [
        "cat.jpg",
        "  1  German short-haired pointer   50.0 %",
        "  2  golden retriever              25.0 %",
        "  3  lynx                          12.5 %",
    ]
    assert max(map(len, format_predictions(MANY[:1], width=30).split("\n"))) == 30


def test_failures_are_listed_with_their_reasons():
    text = format_predictions(MANY, FAILURES)
    assert text.endswith("\n\nnot predicted, 1 of 4:\n  photos/cut.jpg: image file is truncated, 16 bytes")
    assert format_predictions([], FAILURES).startswith("not predicted, 1 of 1:\n")


def test_a_name_cannot_break_a_line_or_control_the_terminal():
    name = os.fsdecode(b"a\n\x1b[31m\xff.png")
    text = format_predictions([(Path(name), [(0, "red\x07", 1.0)]), MANY[0]], [(Path(name), "bad\nreason")])
    assert r"a\n\x1b[31m\udcff.png" in text
    assert r"red\x07" in text
    assert r"bad\nreason" in text
    assert all(character.isprintable() or character == "\n" for character in text)
    text.encode("utf-8")


@given(
    st.lists(
        st.tuples(
            _file_names.map(Path), st.lists(st.tuples(st.integers(0, 9), st.text(), st.floats(0, 1)), min_size=1)
        ),
        max_size=4,
    ),
    st.integers(40, 160),
)
@settings(max_examples=100, deadline=None)
def test_any_predictions_can_be_shown_in_any_width(predictions, width):
    text = format_predictions(predictions, width=width)
    if len(predictions) > 1:
        assert len(text.split("\n")) == 1 + len(predictions)
    assert all(line.isprintable() for line in text.split("\n"))
