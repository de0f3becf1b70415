"""The data sets by name; every name that is not built in means image folders."""

import os
from pathlib import Path

import numpy as np

from mindcv.data.cifar import Cifar10, Cifar100
from mindcv.data.dataset import ArrayDataset, Dataset, check_split
from mindcv.data.folder import FolderDataset
from mindcv.data.mnist import Mnist
from mindcv.nearest import did_you_mean
from mindcv.registry import Registry

DATASETS = Registry("data set")
DATASETS.register("cifar10")(Cifar10)
DATASETS.register("cifar100")(Cifar100)
DATASETS.register("mnist")(Mnist)

DIGITS_SPLIT_SEED = 20260101  # fixed: the test examples must be the same in every run, whatever the run's seed


@DATASETS.register("digits")
class Digits(ArrayDataset):
    """scikit-learn's 1,797 grey 8x8 digits, 80 % for training and 20 % for test, stratified by class."""

    def __init__(self, root: Path, split: str, download: bool) -> None:
        from sklearn.datasets import load_digits  # here: it takes a second that other data sets need not pay
        from sklearn.model_selection import train_test_split

        check_split("digits", split, ("train", "test"))
        digits = load_digits()
        train, test = train_test_split(
            np.arange(len(digits.target)), test_size=0.2, random_state=DIGITS_SPLIT_SEED, stratify=digits.target
        )
        chosen = np.sort(train if split == "train" else test)
        # Grey levels are the whole numbers 0..16.
        images = np.rint(digits.images[chosen] * (255 / 16)).astype(np.uint8)[..., np.newaxis]
        files = [(f"scikit-learn's digits, {split} split", len(chosen))]
        super().__init__("digits", split, [str(digit) for digit in range(10)], images, digits.target[chosen], files)


@DATASETS.register("synthetic")
class Synthetic(Dataset):
    """Random RGB images for benchmarks; image i of a split is always the same."""

    def __init__(
        self, root: Path, split: str, download: bool, image_size: int = 224, num_classes: int = 10, size: int = 256
    ) -> None:
        check_split("synthetic", split, ("train", "test"))
        if download:
            raise ValueError("data set 'synthetic' is made, not downloaded: leave dataset_download off.")
        for argument, value in (("image_size", image_size), ("num_classes", num_classes), ("num_samples", size)):
            if value < 1:
                raise ValueError(f"{argument} must be at least 1 for data set 'synthetic'; got {value}.")
        self._image_size = image_size
        self._stream = ("train", "test").index(split)
        names = [f"class{label}" for label in range(num_classes)]
        super().__init__("synthetic", split, names, np.arange(size) % num_classes, encoded=False, channels=3)

    def _image(self, position: int) -> np.ndarray:
        rng = np.random.default_rng((self._stream, position))
        return rng.integers(0, 256, (self._image_size, self._image_size, 3), np.uint8)

    def _describe(self, position: int) -> str:
        return f"synthetic {self.split} image {position}"


def list_datasets() -> list[str]:
    """Names of the built-in data sets, sorted; any other name stands for image folders."""
    return DATASETS.names()


def default_splits(name: str) -> tuple[str, str]:
    """Return the names of the splits that data set `name` trains and evaluates on by default."""
    kind = DATASETS.get(name) if name in DATASETS.names() else FolderDataset
    return kind.train_split, kind.eval_split


def create_dataset(
    name: str = "digits",
    root: str | os.PathLike = "./data",
    split: str | None = "train",
    download: bool = False,
    num_samples: int | None = None,
    seed: int = 42,
    *,
    image_size: int = 224,
    num_classes: int | None = None,
) -> Dataset:
    """Open one split of a data set.

    Args:
        name: one of `list_datasets()`, or any other name for image folders `root/split/class/image`.
        root: the data set's folder, or the folder that contains it or its archive; `digits` and `synthetic` need none.
        split: the split; None means the data set's own training split (see `default_splits`).
        download: fetch what is missing (cifar10, cifar100, mnist).
        num_samples: keep at most this many examples, chosen by a shuffle; None keeps all.
            For `synthetic` the number of examples, 256 by default.
        seed: seed of that shuffle. Splits do not depend on it.
        image_size: side in pixels of the images that `synthetic` makes; other data sets have sizes of their own.
        num_classes: the number of classes the model tells apart; a data set with more is refused, and `synthetic`
            has as many. None accepts any.

    Raises:
        ValueError: for a split that does not exist, data that is missing, broken or in the wrong layout, or labels
            outside the classes.
    """
    root = Path(os.path.expanduser(root))
    split = default_splits(name)[0] if split is None else split
    if name == "synthetic":
        size = 256 if num_samples is None else num_samples
        return Synthetic(root, split, download, image_size, 10 if num_classes is None else num_classes, size)
    if name in DATASETS.names():
        dataset = DATASETS.get(name)(root, split, download)
    else:
        hint = f" ({name!r} is not one of {', '.join(list_datasets())}, so it is read as image folders."
        dataset = FolderDataset(name, root, split, download, hint + did_you_mean(name, list_datasets()) + ")")
    if num_classes is not None and num_classes < len(dataset.class_names):
        raise ValueError(
            f"num_classes={num_classes} is too few: data set {name!r} has {len(dataset.class_names)} classes."
        )
    if num_samples is not None:
        dataset.keep(num_samples, seed)
    return dataset
