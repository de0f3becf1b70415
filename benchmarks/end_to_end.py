"""`python train.py` from start to end next to MindCV's train.py and timm's, in turn.

    python benchmarks/end_to_end.py [--mindcv-source FOLDER] [--timm-source FOLDER]
    python benchmarks/end_to_end.py --images 50000 --rounds 1

All of CIFAR-10's 50,000 images take MindCV's script more than eight minutes on two cores; the default is 10,000. Any
other number is written to its own table, end_to_end_NUMBER.

The data: scikit-learn's digits enlarged to 32x32 in colour, shifted and with noise until there are enough, in
CIFAR-10's files. All three train `skresnet18` for one epoch in batches of 128, with momentum 0.9, weight decay 1e-4,
learning rate 0.05 on a cosine, random crops and flips, two data workers; they validate on 10,000 images and write their
checkpoint. The whole command is timed.

Differences: timm's script reads only the published files, so it gets the same pixels as PNG files without compression,
and crops a part of 80 to 100 % where the other two pad by four pixels. MindCV's network is its own skresnet18 (one ReLU
fewer, max pooling padded on one side). Its script needs a number of images that 10,000 divides, gets
ONEDNN_MAX_CPU_ISA=AVX2 like ours, and keeps a process that writes summaries, which keeps half of one core busy or more.
Every run starts with an empty compile cache.

FOLDERs are checkouts; without one, and without BENCH_MINDCV_SOURCE and BENCH_TIMM_SOURCE, they are cloned into .bench/.
"""

import argparse
import csv
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from harness import ROOT, Table, parse_arguments, peer_python, ratio, spread, spread_of_ratio
from PIL import Image
from steps import ENVIRONMENTS

SOURCES = {
    "mindcv": "https://github.com/mindspore-lab/mindcv",
    "torch": "https://github.com/huggingface/pytorch-image-models",
}
PER_FILE = 10_000  # records in each of CIFAR-10's files
TARGETS = {"mindcv": 0.6, "torch": 1.1}
TITLES = {"ours": "mindcv-sk", "torch": "timm's train.py, PyTorch", "mindcv": "MindCV's train.py, MindSpore"}


def digit_images(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(count, 32, 32, 3) uint8 images and their (count,) labels; training and test seeds use different digits."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, len(digits.target) // 2, count) * 2 + seed  # even or odd positions: no digit in both
    grey = digits.images[chosen].repeat(3, axis=1).repeat(3, axis=2) * (255 / 16)
    images = np.zeros((count, 32, 32, 3), np.float32)
    for index, (top, left) in enumerate(rng.integers(0, 9, (count, 2))):
        images[index, top : top + 24, left : left + 24] = grey[index, :, :, np.newaxis]
    images *= rng.uniform(0.5, 1.0, (count, 1, 1, 3))
    images += rng.normal(0.0, 10.0, images.shape)
    return images.clip(0, 255).astype(np.uint8), digits.target[chosen].astype(np.uint8)


def write_cifar10(folder: Path, images: int, test: int) -> None:
    """The data in CIFAR-10's binary files."""
    folder.mkdir(parents=True)
    for seed, count, name in ((0, images, "data_batch_{}.bin"), (1, test, "test_batch.bin")):
        pixels, labels = digit_images(count, seed)
        records = np.concatenate([labels[:, np.newaxis], pixels.transpose(0, 3, 1, 2).reshape(count, -1)], axis=1)
        for index, start in enumerate(range(0, count, PER_FILE), 1):
            (folder / name.format(index)).write_bytes(records[start : start + PER_FILE].tobytes())
    (folder / "batches.meta.txt").write_text("\n".join(map(str, range(10))) + "\n")


def write_folders(root: Path, images: int, test: int) -> None:
    """The same pixels as a folder per class."""
    for seed, count, split in ((0, images, "train"), (1, test, "validation")):
        for label in range(10):
            (root / split / str(label)).mkdir(parents=True)
        for index, (pixels, label) in enumerate(zip(*digit_images(count, seed), strict=True)):
            Image.fromarray(pixels).save(root / split / str(label) / f"{index:05d}.png", compress_level=0)


@dataclass
class Run:
    """A command, and how to read the top-1 accuracy in percent from its output and the folder it wrote."""

    line: list[str]
    top1: Callable[[str, Path], float]
    folder: Path | None = None  # to run it in


def our_run(data: Path, out: Path) -> Run:
    options = {
        **{"model": "skresnet18", "dataset": "cifar10", "data_dir": data / "cifar", "image_resize": 32},
        **{"crop_pct": 1.0, "random_crop_padding": 4, "hflip": 0.5, "color_jitter": "none"},
        **{"batch_size": 128, "epoch_size": 1, "num_parallel_workers": 2, "opt": "momentum", "lr": 0.05},
        **{"weight_decay": 1e-4, "ckpt_save_dir": out},
    }
    return Run([sys.executable, str(ROOT / "train.py"), *_flags(options)], _last_of_csv("metrics.csv", "val_top1"), out)


def mindcv_run(data: Path, out: Path, source: Path) -> Run:
    options = {
        **{"model": "skresnet18", "dataset": "cifar10", "data_dir": data / "cifar" / "cifar-10-batches-bin"},
        **{"val_split": "test", "image_resize": 32, "batch_size": 128, "epoch_size": 1, "num_classes": 10},
        **{"num_parallel_workers": 2, "opt": "momentum", "lr": 0.05, "min_lr": 0.0, "warmup_epochs": 0},
        **{"decay_epochs": 1, "weight_decay": 1e-4, "ckpt_save_dir": out, "val_while_train": True},
        **{"dataset_sink_mode": False, "device_target": "CPU"},
    }

    def top1(text: str, _: Path) -> float:
        return float(re.findall(r"Top_1_Accuracy: ([\d.]+)", text)[-1])

    return Run([peer_python("mindcv"), str(source / "train.py"), *_flags(options)], top1, out)


def timm_run(data: Path, out: Path, source: Path) -> Run:
    options = {
        **{"model": "skresnet18", "data-dir": data / "folders", "num-classes": 10, "batch-size": 128, "epochs": 1},
        **{"device": "cpu", "workers": 2, "opt": "momentum", "lr": 0.05, "weight-decay": 1e-4, "warmup-epochs": 0},
        **{"crop-pct": 1.0, "hflip": 0.5, "color-jitter": 0.0, "smoothing": 0.0, "interpolation": "bilinear"},
        **{"train-interpolation": "bilinear", "output": out, "experiment": "run"},
    }
    words = ["--sched-on-updates", "--input-size", "3", "32", "32", "--scale", "0.8", "1.0", "--ratio", "1.0", "1.0"]
    line = [peer_python("torch"), str(source / "train.py"), *_flags(options), *words]
    return Run(line, _last_of_csv("run/summary.csv", "eval_top1"), out)


def _flags(options: dict[str, object]) -> list[str]:
    return [f"--{key}={value}" for key, value in options.items()]


def _last_of_csv(name: str, column: str) -> Callable[[str, Path], float]:
    def top1(_: str, out: Path) -> float:
        with (out / name).open() as file:
            return float(list(csv.DictReader(file))[-1][column])

    return top1


def source_of(peer: str, given: Path | None) -> Path:
    """The checkout with a peer's train.py."""
    variable = {"mindcv": "BENCH_MINDCV_SOURCE", "torch": "BENCH_TIMM_SOURCE"}[peer]
    if found := given or os.environ.get(variable):
        folder = Path(found).resolve()
        if not (folder / "train.py").is_file():
            raise SystemExit(f"error: {folder} has no train.py; it should be a checkout of {SOURCES[peer]}")
        return folder
    folder = ROOT / ".bench" / "sources" / peer
    if not (folder / "train.py").is_file():
        subprocess.run(["git", "clone", "--quiet", "--depth=1", SOURCES[peer], folder], check=True)
    return folder


def timed(name: str, run: Run, out: Path, cache: Path) -> tuple[float, float]:
    """Seconds of the whole command, and the accuracy it reached."""
    out.mkdir(parents=True)
    environment = {**os.environ, **ENVIRONMENTS[name], "XDG_CACHE_HOME": str(cache)}
    start = time.perf_counter()
    done = subprocess.run(
        run.line, cwd=run.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"{' '.join(run.line)} ended with exit code {done.returncode}:\n{done.stdout[-3000:]}")
    return seconds, run.top1(done.stdout, out)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", type=int, default=PER_FILE, help=f"to train on, in units of {PER_FILE:,}")
    parser.add_argument("--mindcv-source", type=Path, help="checkout of MindCV")
    parser.add_argument("--timm-source", type=Path, help="checkout of timm")
    parser.add_argument("--only", choices=TITLES, action="append", help="default: all")


def main() -> None:
    arguments = parse_arguments(__doc__, rounds=3, add=add_options)
    images, test, rounds = arguments.images, PER_FILE, arguments.rounds
    names = [name for name in TITLES if name in (arguments.only or TITLES)]
    if arguments.smoke:
        images, test, rounds, names = 256, 128, 1, ["ours"]
    elif images % PER_FILE or not images:
        raise SystemExit(f"error: --images must be a multiple of {PER_FILE:,}, got {images:,}")
    given = {"mindcv": arguments.mindcv_source, "torch": arguments.timm_source}
    sources = {name: source_of(name, given[name]) for name in names if name != "ours"}
    table = Table(
        arguments.out,
        "end_to_end" if images == PER_FILE or arguments.smoke else f"end_to_end_{images}",
        f"The whole command: one epoch of skresnet18, {images:,} training images of 32x32 in batches of 128, then "
        f"{test:,} to validate; median of {rounds} and spread, in turn.",
        ["script", "seconds", "our time / its time", "target", "top-1 after the epoch, %"],
        smoke=arguments.smoke,
    )
    makers = {"ours": our_run, "mindcv": mindcv_run, "torch": timm_run}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    top1: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        write_cifar10(data / "cifar" / "cifar-10-batches-bin", images, test)
        if "torch" in names:
            write_folders(data / "folders", images, test)
        for index in range(rounds):
            for name in names:
                out = Path(folder) / f"{name}{index}"
                run = makers[name](data, out, *([sources[name]] if name in sources else []))
                took, reached = timed(name, run, out, Path(folder) / "cache" / f"{name}{index}")
                print(f"round {index + 1}: {TITLES[name]} {took:.1f} s, top-1 {reached:.2f} %", flush=True)
                seconds[name].append(took)
                top1[name].append(reached)
    for name in names:
        shown, target = "", ""
        if name in TARGETS and "ours" in seconds:
            met = ratio(seconds["ours"], seconds[name])[0] <= TARGETS[name]
            shown = spread_of_ratio(seconds["ours"], seconds[name])
            target = f"{TARGETS[name]}, {'met' if met else 'missed'}"
        cells = (TITLES[name], spread(seconds[name], 1), shown, target, spread(top1[name], 2))
        table.add(*cells, name=name, images=images, seconds=seconds[name], top1=top1[name])


if __name__ == "__main__":
    main()
