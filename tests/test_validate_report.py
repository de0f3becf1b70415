"""validate.py --report: the same top-1 as without, for checkpoints and exported networks, with unreadable images."""

import csv
import json

import fixtures_data
import pytest
from script_runs import fails, small_run

import export
import train
import validate
from config import load_config


@pytest.fixture
def pictures(tmp_path, monkeypatch, tiny_model):
    """A folder data set of two classes, a network trained on it, and an unreadable image."""
    monkeypatch.chdir(tmp_path)
    for split, count in (("train", 8), ("val", 6)):
        fixtures_data.write_image_folder(tmp_path / "pictures", split, ["a", "b"], count, "jpg")
    data = ["--dataset=pictures", "--data_dir=pictures", "--num_samples=none", "--batch_size=8", "--epoch_size=1"]
    train.main(small_run("out", *data))
    sorted((tmp_path / "pictures" / "val").rglob("*.jpg"))[0].write_bytes(b"")


def test_a_report_agrees_with_the_validation(pictures, capsys):
    line = ["--ckpt_path=out/tiny_sknet-last.ckpt", "--on_bad_image=skip"]
    plain = validate.main(line)
    capsys.readouterr()
    result = validate.main([*line, "--report=report.json"])
    printed = capsys.readouterr().out
    assert (result.top1, result.loss, result.num_bad) == (plain.top1, plain.loss, 1)
    with open("report.json", encoding="utf-8") as file:
        report = json.load(file)
    assert (report["model"], report["dataset"], report["split"]) == ("tiny_sknet", "pictures", "val")
    assert (report["top1"], report["num_examples"], report["num_bad"]) == (plain.top1, 11, 1)
    right = sum(row[number] for number, row in enumerate(report["confusion_matrix"]))
    assert 100 * right / 11 == pytest.approx(plain.top1)
    assert "macro: precision " in printed and "written to report.json\n" in printed

    assert "report.json exists already" in fails(validate.main, [*line, "--report=report.json"], capsys)
    validate.main([*line, "--report=report.json", "--overwrite"])

    export.main(["--ckpt_path=out/tiny_sknet-last.ckpt", "--output=tiny.onnx"])
    exported = validate.main(["--ckpt_path=tiny.onnx", "--on_bad_image=skip", "--report=report.csv"])
    assert exported.top1 == plain.top1
    with open("report.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["class_name"], int(row["examples"])) for row in rows] == [("a", 5), ("b", 6)]


def test_the_files_are_checked_before_the_work(tmp_path, capsys):
    checkpoint = tmp_path / "a.ckpt"
    checkpoint.write_bytes(b"x")
    for option, legal in (("report=a.txt", r"\*.json or \*.csv"), ("confusion_matrix=a.jpg", r"\*.png")):
        message = fails(validate.main, [f"--ckpt_path={checkpoint}", f"--{option}"], capsys)
        assert f"must be a file named {legal.replace(chr(92), '')}; got" in message
    assert "does not exist" in fails(validate.main, [f"--ckpt_path={checkpoint}", "--report=no/a.csv"], capsys)


def test_a_report_of_checked_data_is_a_remark():
    notices = load_config(["--check_data", "--dataset=digits", "--report=a.csv"], prog="validate").notices
    assert any(line.startswith("report has no effect with check_data=true") for line in notices)
