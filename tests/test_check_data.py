"""`validate.py --check_data`, and validation that leaves bad images out and reports them."""

import csv
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import fixtures_data
import numpy as np
import pytest
from script_runs import fails, small_run

import train
import validate
from mindcv.data import check_dataset, create_dataset
from mindcv.data.dataset import ArrayDataset
from mindcv.report import write_bad_images
from mindcv.script import run_script

ROOT = Path(__file__).parent.parent


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """A folder data set of 20 + 12 images, in a temporary working folder."""
    monkeypatch.chdir(tmp_path)
    for split, count in (("train", 10), ("val", 6)):
        fixtures_data.write_image_folder(tmp_path / "pictures", split, ["a", "b"], count, "jpg")
    return tmp_path / "pictures"


def check(*extra) -> int:
    with pytest.raises(SystemExit) as caught:
        run_script(validate.main, ["--check_data", "--dataset=pictures", "--data_dir=pictures", *extra])
    return caught.value.code


def spoil(folder, count) -> list[Path]:
    """Truncate some images; returns their paths."""
    chosen = sorted(folder.rglob("*.jpg"))[:count]
    for number, path in enumerate(chosen):
        path.write_bytes(path.read_bytes()[: 300 * (number % 2)])
    return chosen


def test_a_good_data_set_is_reported_and_no_file_written(pictures, capsys):
    assert check() == 0
    printed = capsys.readouterr()
    assert re.search(r"^train: 20 images, 0 bad, \d+\.\d s, [\d,]+ images/s$", printed.out, re.MULTILINE)
    assert re.search(r"^val: 12 images, 0 bad", printed.out, re.MULTILINE)
    assert printed.err == "" and os.listdir() == ["pictures"]


def test_bad_images_of_both_splits_are_listed_with_reasons_and_written_to_a_file(pictures, capsys):
    bad = [*spoil(pictures / "train", 3), *spoil(pictures / "val", 1)]
    assert check() == 1
    printed = capsys.readouterr().out
    assert "train: 20 images, 3 bad" in printed and "val: 12 images, 1 bad" in printed
    for path in bad:
        assert f"  {path.relative_to(pictures.parent)}: " in printed
    assert f"full list with reasons: {pictures.parent / 'bad_images.csv'}" in printed
    with Path("bad_images.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["image"] for row in rows] == [str(path.relative_to(pictures.parent)) for path in bad]
    assert rows[0]["reason"] == "the file is empty" and all(row["reason"] for row in rows)


def test_only_twenty_bad_images_are_shown_but_all_are_written(pictures, capsys):
    spoil(pictures, 31)
    assert check() == 1
    printed = capsys.readouterr().out
    assert len(re.findall(r"^  pictures/", printed, re.MULTILINE)) == 20 and "\n  and 11 more\n" in printed
    assert len(Path("bad_images.csv").read_text().splitlines()) == 32


def test_file_names_that_are_not_valid_text_reach_terminal_and_file(pictures, capsys):
    odd = pictures / "val" / "a" / os.fsdecode(b"line\nbreak \xff.jpg")
    odd.write_bytes(b"")
    assert check() == 1
    assert "val/a/line\\nbreak \\udcff.jpg: the file is empty" in capsys.readouterr().out
    assert os.fsencode(odd.relative_to(pictures.parent)) in Path("bad_images.csv").read_bytes()


def test_a_name_that_a_spreadsheet_would_run_as_a_formula_is_escaped(tmp_path):
    write_bad_images(tmp_path / "bad.csv", [("=cmd|'/c calc'!A1/x.jpg", "-1"), ("a.jpg", "the file is empty")])
    lines = (tmp_path / "bad.csv").read_text().splitlines()
    assert lines == ["image,reason", "'=cmd|'/c calc'!A1/x.jpg,'-1", "a.jpg,the file is empty"]


def test_a_missing_data_set_is_a_one_line_error(pictures, capsys):
    message = fails(validate.main, ["--check_data", "--dataset=pictures", "--data_dir=absent"], capsys)
    assert "data_dir=absent (command line): there is no such folder" in message


def test_images_in_memory_are_checked_for_type_and_shape(capsys):
    with pytest.raises(SystemExit) as caught:
        run_script(validate.main, ["--check_data", "--dataset=digits"])
    assert caught.value.code == 0
    assert "train: 1,437 images, 0 bad" in capsys.readouterr().out

    class Odd(ArrayDataset):
        def _image(self, position):
            return [np.zeros((4, 4, 3)), np.zeros((4, 4, 1), np.uint8), np.zeros((4, 4, 3), np.uint8)][position]

    odd = Odd("odd", "train", ["a"], np.zeros((3, 4, 4, 3), np.uint8), np.zeros(3), [("x", 3)])
    found = check_dataset(odd, progress=False)
    assert [where for where, _ in found] == ["x, record 0", "x, record 1"]
    assert found[0][1] == "expected uint8 of shape (height, width, 3), got float64 of shape (4, 4, 3)"


def test_the_number_of_threads_does_not_change_the_result_and_is_checked(pictures):
    spoil(pictures / "train", 5)
    dataset = create_dataset("pictures", pictures, "train")
    assert len(check_dataset(dataset, 1)) == 5
    assert check_dataset(dataset, 1) == check_dataset(dataset, 3)
    with pytest.raises(ValueError, match="num_parallel_workers must be a number >= 1; got 0"):
        check_dataset(dataset, 0)


def test_a_terminal_shows_a_bar(pictures):
    """In a process whose error output is a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    line = [sys.executable, str(ROOT / "validate.py"), "--check_data", "--dataset=pictures", "--data_dir=pictures"]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:  # raised by Linux when the other side is closed
        pass
    finally:
        os.close(ours)
    assert process.wait() == 0
    assert re.search(rb"check train +\d+%\|.*\| \d+/20", shown)


def test_validation_leaves_bad_images_out_and_reports_them(tmp_path, pictures, tiny_model, capsys):
    line = ["--dataset=pictures", f"--data_dir={pictures}", "--num_samples=none", "--batch_size=8", "--epoch_size=1"]
    train.main(small_run(tmp_path / "out", *line))
    (bad,) = spoil(pictures / "val", 1)
    line = [f"--ckpt_path={tmp_path}/out/tiny_sknet-best.ckpt"]
    assert str(bad) in fails(validate.main, line, capsys)
    result = validate.main([*line, "--on_bad_image=skip"])
    assert (result.num_examples, result.num_bad) == (11, 1)
    printed = capsys.readouterr().out
    assert "11 images in" in printed and f"1 unreadable left out:\n  {bad}: the file is empty\n" in printed


def test_check_data_uses_the_data_set_of_a_checkpoint(tmp_path, pictures, tiny_model, capsys):
    line = ["--dataset=pictures", f"--data_dir={pictures}", "--num_samples=none", "--batch_size=8", "--epoch_size=1"]
    train.main(small_run(tmp_path / "out", *line))
    with pytest.raises(SystemExit) as caught:
        run_script(validate.main, ["--check_data", f"--ckpt_path={tmp_path}/out/tiny_sknet-best.ckpt"])
    assert caught.value.code == 0
    assert "val: 12 images, 0 bad" in capsys.readouterr().out
