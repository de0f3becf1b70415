"""Kill small trainings many times, and damage a checkpoint everywhere: the tests of tests/faults, for longer.

python benchmarks/kills.py --kills 1000 --seed 7
python benchmarks/kills.py --kills 0 --flips 1
"""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "support")]

from faults.damage import flips
from faults.kill_campaign import SCENARIOS, Count, run_campaign
from faults.kill_runs import MODEL, Runner, command
from mindcv.checkpoint import read_checkpoint


def kill(runner: Runner, kills: int, seed: int) -> None:
    """Run the scenarios with new seeds until there were `kills` kills."""
    count, number = Count(), 0
    while count.total < kills:
        options = list(SCENARIOS.values())[number % len(SCENARIOS)]
        with tempfile.TemporaryDirectory() as folder:
            left = kills - count.total
            count += run_campaign(runner, Path(folder), options, seed + number, kills=left, times=30, writes=5)
        number += 1
        print(f"{count.total} kills survived, {count.seconds:.0f} s", flush=True)
    print(*count.lines(), sep="\n")


def flip(runner: Runner, every: int, seed: int) -> None:
    """Change bytes of a checkpoint, one at a time."""
    begin, number = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        runner.train(command(folder, **SCENARIOS["pynative"], epoch_size=1), folder)
        content = (folder / f"{MODEL}-last.ckpt").read_bytes()
        path = folder / "flipped.ckpt"
        for damaged in flips(content, every=every, rng=random.Random(seed)):
            path.write_bytes(damaged)
            try:
                read_checkpoint(path)
            except ValueError:
                number += 1
                continue
            raise AssertionError(f"a changed byte was not noticed, number {number}")
    print(f"{number} changed bytes of {len(content):,} noticed, {time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--flips", type=int, default=0, help="change every Nth byte; 0: none")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    with Runner() as the_runner:
        if arguments.kills:
            kill(the_runner, arguments.kills, arguments.seed)
        if arguments.flips:
            flip(the_runner, arguments.flips, arguments.seed)
