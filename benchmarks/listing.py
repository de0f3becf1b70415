"""Seconds and memory to open image folders of a thousand to a million files.

    python benchmarks/listing.py

A class folder has 1000 files. Opening lists the folders and checks the names; no file is opened. All sizes take turns;
the exponent is fitted to them by least squares in the logarithms. Takes about a minute, mostly for creating a million
files.
"""

import argparse
import gc
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from harness import ROOT, Table, Worker, parse_arguments, resident_mb, serve, spread

PER_CLASS = 1000
SIZES = (10**3, 10**4, 10**5, 10**6)


def write_tree(root: Path, count: int) -> None:
    """Make `count` names for images; those of a class are links to one file, which is much cheaper than files."""
    for label in range(count // PER_CLASS):
        folder = root / "train" / f"n{label:08d}"
        folder.mkdir(parents=True)
        first = folder / f"n{label:08d}_00000.JPEG"
        first.touch()
        for number in range(1, PER_CLASS):
            os.link(first, folder / f"n{label:08d}_{number:05d}.JPEG")


def make_step(root: Path) -> Callable[[], object]:
    sys.path.insert(0, str(ROOT))
    from mindcv.data import create_dataset

    def step() -> dict[str, float]:
        gc.collect()  # takes longer than a small folder
        before, start = resident_mb(), time.perf_counter()
        dataset = create_dataset("folder", root, "train")
        seconds = time.perf_counter() - start
        return {"files": len(dataset), "memory_mb": resident_mb() - before, "seconds": seconds}

    return step


def exponent(sizes: Sequence[int], values: Sequence[float]) -> float:
    """The k of values ~ sizes ** k."""
    slope, _ = statistics.linear_regression([math.log(size) for size in sizes], [math.log(value) for value in values])
    return slope


def main() -> None:
    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)

    arguments = parse_arguments(__doc__, rounds=7, add=add)
    if arguments.work:
        return serve(lambda: make_step(arguments.data))
    sizes = SIZES[:1] if arguments.smoke else SIZES
    table = Table(
        arguments.out, "listing", "Opening image folders, 1000 files a class, median (lowest - highest).",
        ["files", "s", "µs per file", "memory, MB"], smoke=arguments.smoke,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        workers = {}
        for size in sizes:
            write_tree(Path(folder) / str(size), size)
            workers[size] = Worker(sys.executable, __file__, "ours", "--data", str(Path(folder) / str(size)))
        first = {size: worker.ask() for size, worker in workers.items()}  # memory: nothing can be reused yet
        rounds = 2 if arguments.smoke else arguments.rounds
        answers = [{size: worker.ask() for size, worker in workers.items()} for _ in range(rounds)]
        for worker in workers.values():
            worker.close()
        medians = []
        for size in sizes:
            assert first[size]["files"] == size
            seconds = [answer[size]["seconds"] for answer in answers]
            medians.append(statistics.median(seconds))
            memory = first[size]["memory_mb"]
            per_file = f"{medians[-1] / size * 1e6:.2f}"
            table.add(
                f"{size:,}", spread(seconds), per_file, f"{memory:.1f}", size=size, seconds=seconds, memory=memory
            )
        if len(sizes) > 1:
            k = exponent(sizes, medians)
            memory_k = exponent(sizes[1:], [first[size]["memory_mb"] for size in sizes[1:]])  # a thousand: a few pages
            table.add("exponent", f"{k:.2f}", "", f"{memory_k:.2f}", exponent=k, memory_exponent=memory_k)
    return None


if __name__ == "__main__":
    main()
