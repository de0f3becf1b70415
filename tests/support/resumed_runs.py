"""Runs that are interrupted and resumed, for tests of train.py."""

import csv

from script_runs import small_run

from mindcv.checkpoint import read_checkpoint

ONE_EPOCH = ["--epoch_size=1", "--warmup_epochs=0"]


def quick_run(folder, *extra):
    """`small_run` in Pynative mode, for tests that do not depend on the mode."""
    return small_run(folder, "--mode=1", *extra)


def last(folder):
    return folder / "tiny_sknet-last.ckpt"


def assert_same_run(one, other):
    """Weights, optimizer and history of two finished runs are the same."""
    for name in ("last", "best"):
        a, b = (read_checkpoint(folder / f"tiny_sknet-{name}.ckpt") for folder in (one, other))
        assert a.info["epoch"] == b.info["epoch"] and a.info["metrics"] == b.info["metrics"]
        for these, those in ((a.weights, b.weights), (a.state, b.state)):
            assert these.keys() == those.keys()
            for key, array in these.items():
                assert array.tobytes() == those[key].tobytes(), key
    rows = []
    for folder in (one, other):
        with (folder / "metrics.csv").open(newline="") as lines:
            columns = ("epoch", "train_loss", "lr", "val_top1", "val_loss")
            rows.append([[row[column] for column in columns] for row in csv.DictReader(lines)])
    assert rows[0] == rows[1]
