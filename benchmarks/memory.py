"""Resident memory of a training, over many steps: does it grow?

    python benchmarks/memory.py [--steps 2000]

Trains a small network on the digits with the real loader (a new pipeline every epoch of 44 batches), in both modes,
with and without an evaluation every 100 steps, each in its own process. Prints resident memory after the warm-up
of 200 steps and at the end, the slope between them (least squares over samples every 20 steps) with its standard error,
and the process's peak. The error assumes independent samples, but memory changes in jumps: a slope of several
errors can still be noise if it falls with the number of steps. Linux only.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
MODES = ("graph", "pynative")
SAMPLE_EVERY, EVALUATE_EVERY = 20, 100


def measure(mode: int, *, validate: bool, steps: int, leak_kb: int = 0) -> tuple[np.ndarray, float]:
    """Train in another process.

    Args:
        mode: 0 for Graph, 1 for Pynative.
        validate: whether to evaluate as well.
        leak_kb: size of an array to leak every step, to check that the leak shows.
    Returns:
        (samples, 2) step and resident KB, and the peak in KB.
    """
    task = {"mode": mode, "validate": validate, "steps": steps, "leak_kb": leak_kb}
    line = [sys.executable, __file__, "--task", json.dumps(task)]
    answer = json.loads(subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])
    return np.array(answer["samples"]), answer["peak"]


def slope(samples: np.ndarray, warmup: int) -> tuple[float, float]:
    """Least squares of the samples after the warm-up: KB per step, and its standard error."""
    step, memory = samples[samples[:, 0] >= warmup].T
    step = step - step.mean()
    value = step @ memory / (step @ step)
    residual = memory - memory.mean() - value * step
    return value, float(np.sqrt(residual @ residual / (len(step) - 2) / (step @ step)))


def train(task: dict) -> None:
    """Train and print the samples as one line of JSON."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]
    import mindcv  # noqa: F401  (first: it sets what MindSpore reads)
    import tiny
    from mindspore import Tensor

    from mindcv.data import Dataset, Loader, create_dataset, create_transforms
    from mindcv.engine import TrainStep, evaluate
    from mindcv.loss import create_loss
    from mindcv.models import create_model
    from mindcv.optim import create_optimizer
    from mindcv.runtime import setup_runtime

    tiny.register()
    setup_runtime(mode=task["mode"], device_target="CPU")
    digits = create_dataset("digits")

    def open_loader(dataset: Dataset, is_training: bool) -> Loader:
        transforms = create_transforms(is_training=is_training, image_resize=16, encoded=False, channels=1)
        return Loader(dataset, transforms, is_training=is_training, batch_size=32)

    loader, val_loader = open_loader(digits, True), open_loader(create_dataset("digits", num_samples=100), False)
    network = create_model(tiny.NAME, num_classes=10)
    step = TrainStep(network, create_loss(), create_optimizer(network, lr=0.001))

    def batches() -> Iterator:
        for epoch in count(1):
            yield from loader.epoch(epoch)

    samples, leaked = [], []
    step.set_train(True)
    for index, (images, labels) in zip(range(1, task["steps"] + 1), batches(), strict=False):
        loss, *_ = step(Tensor(images), Tensor(labels))
        loss.asnumpy()
        if task["leak_kb"]:
            leaked.append(np.ones(task["leak_kb"] * 1024, np.uint8))
        if task["validate"] and index % EVALUATE_EVERY == 0:
            evaluate(network, val_loader, progress=False)
            step.set_train(True)
        if index % SAMPLE_EVERY == 0:
            samples.append((index, _resident_kb()))
    print(json.dumps({"samples": samples, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))


def _resident_kb() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--warmup", type=int, default=200, help="steps before the first sample that counts")
    parser.add_argument("--task", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task:
        train(arguments.task)
        return
    print("| mode | validation | after warm-up, MB | at the end, MB | slope, KB per step | peak, MB |")
    print("|---|---|---|---|---|---|")
    for mode, name in enumerate(MODES):
        for validate in (False, True):
            samples, peak = measure(mode, validate=validate, steps=arguments.steps)
            value, error = slope(samples, arguments.warmup)
            first, last = samples[samples[:, 0] >= arguments.warmup][[0, -1], 1] / 1024
            print(
                f"| {name} | {'yes' if validate else 'no'} | {first:.1f} | {last:.1f} | {value:+.2f} ± {error:.2f} | "
                f"{peak / 1024:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
