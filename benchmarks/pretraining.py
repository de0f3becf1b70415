"""The gain from pretraining: digits 5 to 9 from a few examples, with and without pretraining on 0 to 4.

    python benchmarks/pretraining.py [--seeds 3] [--model sknet50] [--shots 5]

For every seed: pretrains on all 901 images of the digits 0 to 4 (scikit-learn's), then trains on `--shots` images of
each of the digits 5 to 9, once from those weights with a new classifier (`train.py --ckpt_path`) and once from random
weights. Both have the same images, order, epochs, augmentation and schedule, and both are tried with each of the
learning rates; the last line compares the best of each. Accuracy is that of the last epoch on all other images of
5 to 9. Seeds choose the images, the initial weights and the augmentation.
"""

import argparse
import csv
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
PRESET = "configs/sknet/sknet50_digits.yaml"


def write_folders(folder: Path, images: np.ndarray, labels: np.ndarray, chosen: Iterable[int]) -> None:
    """Write the chosen digits as image folders, folder/class/number.png."""
    from PIL import Image

    for i in chosen:
        path = folder / str(labels[i]) / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.rint(images[i] * (255 / 16)).astype(np.uint8)).save(path)


def make_data(root: Path, seeds: range, shots: int) -> None:
    """Write data sets "first" (digits 0 to 4) and, for each seed, "second<seed>" (few of 5 to 9; the rest to test)."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images, labels = digits.images, digits.target
    write_folders(root / "first" / "train", images, labels, np.flatnonzero(labels < 5))
    second = np.flatnonzero(labels >= 5)
    for seed in seeds:
        shuffled = np.random.default_rng(seed).permutation(second)
        few = np.concatenate([shuffled[labels[shuffled] == digit][:shots] for digit in range(5, 10)])
        write_folders(root / f"second{seed}" / "train", images, labels, few)
        write_folders(root / f"second{seed}" / "val", images, labels, np.setdiff1d(second, few))


def train(root: Path, dataset: str, run: str, seed: int, epochs: int, flags: list[str]) -> Path:
    """Run train.py on one of the data sets and return the folder of its checkpoints and metrics."""
    folder = root / run
    line = [sys.executable, "train.py", "-c", PRESET, f"--dataset={dataset}", f"--data_dir={root / dataset}"]
    line += [f"--seed={seed}", f"--epoch_size={epochs}", f"--ckpt_save_dir={folder}", f"--ckpt_save_interval={epochs}"]
    subprocess.run([*line, *flags], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return folder


def last_top1(folder: Path) -> float:
    """Top-1 in per cent after the last epoch."""
    with (folder / "metrics.csv").open(newline="") as lines:
        return float(list(csv.DictReader(lines))[-1]["val_top1"])


def spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.1f} % | {min(values):.1f} to {max(values):.1f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="seeds 1 to this")
    parser.add_argument("--model", default="sknet50")
    parser.add_argument("--shots", type=int, default=5, help="training images of each digit from 5 to 9")
    parser.add_argument("--learning_rates", type=float, nargs="+", default=[0.1, 0.05])
    parser.add_argument("--pretrain_epochs", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=40, help="epochs of either training on 5 to 9, one update each")
    arguments = parser.parse_args()
    seeds, epochs = range(1, arguments.seeds + 1), arguments.epochs
    model = f"--model={arguments.model}"
    top1: dict[tuple[str, float], list[float]] = {}
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_data(root, seeds, arguments.shots)
        for seed in seeds:
            before = train(
                root, "first", f"pretrain{seed}", seed, arguments.pretrain_epochs, [model, "--val_while_train=False"]
            )
            weights = f"--ckpt_path={before / f'{arguments.model}-last.ckpt'}"
            for name, more in (("random weights", []), ("weights pretrained on 0 to 4", [weights])):
                for lr in arguments.learning_rates:
                    run = f"{name.split()[0]}{seed}-{lr}"
                    flags = [model, f"--lr={lr}", f"--batch_size={5 * arguments.shots}", f"--val_interval={epochs}"]
                    result = last_top1(train(root, f"second{seed}", run, seed, epochs, [*flags, *more]))
                    top1.setdefault((name, lr), []).append(result)
                    print(f"seed {seed}, {name}, lr {lr}: {result:.1f} %", file=sys.stderr, flush=True)

    print(
        f"{arguments.model}, {arguments.shots} images of each digit, {epochs} epochs, seeds 1 to {arguments.seeds}:\n"
    )
    print("| Start | lr | Top-1, mean | lowest to highest |")
    print("|---|---|---|---|")
    for (name, lr), values in top1.items():
        print(f"| {name} | {lr} | {spread(values)} |")
    scratch, pretrained = (
        max((values for key, values in top1.items() if key[0] == name), key=statistics.mean)
        for name in dict.fromkeys(name for name, _ in top1)
    )
    gains = [b - a for a, b in zip(scratch, pretrained, strict=True)]
    print(
        f"\nGain at the better learning rate of each: {statistics.mean(gains):+.1f} points "
        f"({min(gains):+.1f} to {max(gains):+.1f}); {time.perf_counter() - start:.0f} s in all."
    )


if __name__ == "__main__":
    main()
