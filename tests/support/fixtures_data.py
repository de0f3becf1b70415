"""Small data sets on disk in the layouts that mindcv reads, made of scikit-learn's digits."""

import gzip
import inspect
import io
import tarfile
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

CIFAR10_FOLDER, CIFAR100_FOLDER = "cifar-10-batches-bin", "cifar-100-binary"
CIFAR10_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@cache
def digit_images(size: int) -> tuple[np.ndarray, np.ndarray]:
    """All digits enlarged to (1797, size, size) uint8, and their (1797,) uint8 labels."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    grey = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    images = np.stack(
        [np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.NEAREST)) for image in grey]
    )
    return images, digits.target.astype(np.uint8)


def _part(size: int, start: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    images, labels = digit_images(size)
    chosen = np.arange(start, start + count) % len(labels)
    return images[chosen], labels[chosen]


def _cifar_records(start: int, count: int, label_bytes: int) -> bytes:
    images, labels = _part(32, start, count)
    planes = np.repeat(images.reshape(count, 1, -1), 3, axis=1)  # red, green and blue differ
    planes = planes // np.array([1, 2, 4], np.uint8).reshape(1, 3, 1)
    head = np.repeat(labels[:, np.newaxis], label_bytes, axis=1)
    return np.concatenate([head, planes.reshape(count, -1)], axis=1).astype(np.uint8).tobytes()


def write_cifar10(root: str | Path, train_n: int, test_n: int) -> Path:
    """Write CIFAR-10's binary layout below `root`, training records in two files; return the inner folder."""
    folder = Path(root) / CIFAR10_FOLDER
    folder.mkdir(parents=True)
    first = train_n // 2
    (folder / "data_batch_1.bin").write_bytes(_cifar_records(0, first, 1))
    (folder / "data_batch_2.bin").write_bytes(_cifar_records(first, train_n - first, 1))
    (folder / "test_batch.bin").write_bytes(_cifar_records(train_n, test_n, 1))
    (folder / "batches.meta.txt").write_text("\n".join(CIFAR10_NAMES) + "\n\n")
    return folder


def write_cifar100(root: str | Path, train_n: int, test_n: int) -> Path:
    """Write CIFAR-100's binary layout below `root`; the fine label is the digit. Return the inner folder."""
    folder = Path(root) / CIFAR100_FOLDER
    folder.mkdir(parents=True)
    (folder / "train.bin").write_bytes(_cifar_records(0, train_n, 2))
    (folder / "test.bin").write_bytes(_cifar_records(train_n, test_n, 2))
    (folder / "fine_label_names.txt").write_text("\n".join(f"fine{label}" for label in range(100)) + "\n")
    return folder


def write_mnist(root: str | Path, train_n: int = 64, test_n: int = 32, compress: bool = False) -> Path:
    """Write MNIST's four idx files into `root/MNIST`; return that folder."""
    folder = Path(root) / "MNIST"
    folder.mkdir(parents=True)
    for stem, start, count in (("train", 0, train_n), ("t10k", train_n, test_n)):
        images, labels = _part(28, start, count)
        parts = {
            f"{stem}-images-idx3-ubyte": np.array([2051, count, 28, 28], ">i4").tobytes() + images.tobytes(),
            f"{stem}-labels-idx1-ubyte": np.array([2049, count], ">i4").tobytes() + labels.tobytes(),
        }
        for name, content in parts.items():
            path = folder / (name + ".gz" if compress else name)
            path.write_bytes(gzip.compress(content) if compress else content)
    return folder


def write_image_folder(
    root: str | Path, split: str, classes: int | list[str], per_class: int, fmt: str = "png", size: int = 40
) -> Path:
    """Write `root/split/<class>/<number>.<fmt>`; class k shows the digit k % 10 in colour. Return `root/split`."""
    names = [f"class{k}" for k in range(classes)] if isinstance(classes, int) else classes
    images, labels = digit_images(size)
    for k, name in enumerate(names):
        folder = Path(root) / split / name
        folder.mkdir(parents=True)
        shown = images[np.flatnonzero(labels == k % 10)]
        for number in range(per_class):
            grey = shown[(number + (split != "train") * 50) % len(shown)]
            Image.fromarray(np.stack([grey, grey // 2, 255 - grey], axis=2)).save(folder / f"{number:03d}.{fmt}")
    return Path(root) / split


def cifar_archive(folder: str | Path) -> bytes:
    """Return a .tar.gz that holds `folder` (as `write_cifar10` gives it) under its own name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.add(folder, arcname=Path(folder).name)
    return buffer.getvalue()


def open_loader(dataset, *, is_training: bool, **options):
    """A `Loader` with the transforms of a data set; each option goes to the function that takes it."""
    from mindcv.data import Loader, create_batch_transforms, create_transforms

    def of(function):
        return {key: options.pop(key) for key in inspect.signature(function).parameters if key in options}

    pixels = {"encoded": dataset.encoded, "channels": dataset.channels}
    transforms = create_transforms(is_training=is_training, **pixels, **of(create_transforms))
    splits = {key: options[key] for key in ("aug_splits",) if key in options}
    of_batches = create_batch_transforms(**of(create_batch_transforms))
    return Loader(dataset, transforms, is_training=is_training, batch_transforms=of_batches, **splits, **options)
