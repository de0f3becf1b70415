"""Trains the default job with several seeds and prints the accuracy of each.

python benchmarks/digits_seeds.py [--seeds 5] [-- further flags of train.py]
"""

import argparse
import csv
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent


class Run(NamedTuple):
    """Result of a training: top-1 in per cent, seconds of the whole command and of the fastest epoch."""

    best: float
    last: float
    command_seconds: float
    epoch_seconds: float


def train(model: str, seed: int, flags: Sequence[str]) -> Run:
    """Train on the digits with `train.py`."""
    with tempfile.TemporaryDirectory() as folder:
        line = [sys.executable, "train.py", f"--model={model}", f"--seed={seed}", f"--ckpt_save_dir={folder}", *flags]
        start = time.perf_counter()
        subprocess.run(line, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        with (Path(folder) / "metrics.csv").open(newline="") as lines:
            rows = list(csv.DictReader(lines))
    top1 = [float(row["val_top1"]) for row in rows if row["val_top1"]]
    return Run(max(top1), top1[-1], seconds, min(float(row["train_seconds"]) for row in rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="seeds 1 to this")
    parser.add_argument("flags", nargs="*", help="passed on to train.py")
    arguments = parser.parse_args()
    print("| seed | best top-1 | last top-1 | whole command |")
    print("|---|---|---|---|")
    rows = []
    for seed in range(1, arguments.seeds + 1):
        rows.append(train("sknet50", seed, arguments.flags))
        best, last, seconds, _ = rows[-1]
        print(f"| {seed} | {best:.2f} % | {last:.2f} % | {seconds:.0f} s |", flush=True)
    best, last, seconds, _ = (list(column) for column in zip(*rows, strict=True))
    print(
        f"| median (lowest) | {statistics.median(best):.2f} % ({min(best):.2f} %) | {statistics.median(last):.2f} % "
        f"({min(last):.2f} %) | {statistics.median(seconds):.0f} s |"
    )


if __name__ == "__main__":
    main()
