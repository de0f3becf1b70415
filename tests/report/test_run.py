"""How a training says that it ends."""

import sys
from pathlib import Path

import pytest

from mindcv.report import complete, finished, interrupted


@pytest.fixture(autouse=True)
def python_of_the_tests_is_found_first(monkeypatch):
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    monkeypatch.chdir(Path(__file__).parents[2])


def test_an_interrupted_run_names_the_command_that_goes_on():
    text = interrupted("sknet50", Path("my runs"), 15, "epoch 1, step 2 of 4", is_saved=True, problem=None)
    assert text.splitlines() == [
        "interrupted by SIGTERM at epoch 1, step 2 of 4",
        "continue with: python train.py --model=sknet50 '--resume=my runs'",
    ]


def test_an_interrupted_run_says_what_is_not_saved():
    text = interrupted("m", Path("ckpt"), 2, "its beginning", is_saved=False, problem="the disk is full")
    assert text.splitlines() == [
        "this state could not be saved: the disk is full",
        "interrupted by SIGINT at its beginning",
        "nothing is saved yet: start it again",
    ]


def test_a_finished_run_counts_what_was_left_out():
    best = Path("ckpt/m-best.ckpt")
    text = finished(Path("ckpt"), best, best=(3, 98.611, 100.0), bad_steps=1, bad_images=2)
    assert text.splitlines() == [
        "1 step left out, where loss or gradient was not finite",
        "2 images left out that could not be read: ckpt/bad_images.csv",
        "best: epoch 3, top-1 98.61 %, top-5 100.00 %",
        "written to ckpt: checkpoints, metrics.csv, config.yaml",
        "validate with: python validate.py --ckpt_path=ckpt/m-best.ckpt",
    ]
    assert "left out" not in finished(Path("ckpt"), best, best=None, bad_steps=0, bad_images=0)


def test_a_complete_run_says_how_to_go_further():
    assert complete(Path("ckpt"), 1, None, None).startswith(
        "the run in ckpt is complete: 1 epoch. Nothing was changed."
    )
    assert "10 epochs, best top-1 98.61 % in epoch 7" in complete(Path("ckpt"), 10, 7, 98.611)
