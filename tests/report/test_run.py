"""Messages at the end of a training."""

import sys
from pathlib import Path

import pytest

from mindcv.report import complete, finished, interrupted


@pytest.fixture(autouse=True)
def python_of_the_tests_is_found_first(monkeypatch):
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    monkeypatch.chdir(Path(__file__).parents[2])


def test_an_interrupted_run_prints_the_command_to_resume():
    text = interrupted("sknet50", Path("my runs"), 15, "epoch 1, step 2 of 4", is_saved=True, problem=None)
    assert text.splitlines() == [
        "interrupted by SIGTERM at epoch 1, step 2 of 4",
        "continue with: python train.py --model=sknet50 '--resume=my runs'",
    ]


def test_an_interrupted_run_reports_an_unsaved_state():
    text = interrupted("m", Path("ckpt"), 2, "its beginning", is_saved=False, problem="the disk is full")
    assert text.splitlines() == [
        "this state could not be saved: the disk is full",
        "interrupted by SIGINT at its beginning",
        "nothing is saved yet: start it again",
    ]


def test_a_finished_run_counts_skipped_steps_and_images():
    best = Path("ckpt/m-best.ckpt")
    text = finished(Path("ckpt"), best, best=(3, {"top1": 98.611, "top5": 100.0}), bad_steps=1, bad_images=2)
    assert text.splitlines() == [
        "1 step skipped: loss or gradient NaN or infinite",
        "2 unreadable images skipped: ckpt/bad_images.csv",
        "best: epoch 3, top-1 98.61 %, top-5 100.00 %",
        "written to ckpt: checkpoints, metrics.csv, config.yaml",
        "validate with: python validate.py --ckpt_path=ckpt/m-best.ckpt",
    ]
    assert "skipped" not in finished(Path("ckpt"), best, best=None, bad_steps=0, bad_images=0)


def test_a_complete_run_prints_how_to_continue():
    assert complete(Path("ckpt"), 1, None).startswith("the run in ckpt is complete: 1 epoch. Nothing was changed.")
    assert "10 epochs, best top-1 98.61 % in epoch 7" in complete(
        Path("ckpt"), 10, (7, {"top1": 98.611, "top5": 100.0})
    )
    assert "longer with --early_stop_patience=none" in complete(
        Path("ckpt"), 10, (7, {"top1": 98.611, "top5": 100.0}), ended_early=True
    )
