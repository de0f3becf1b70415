"""The data sets by name; every name that is not built in means image folders."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mindcv.arguments import IMAGE_RESIZE, SEED
from mindcv.data.cifar import Cifar10, Cifar100
from mindcv.data.dataset import ArrayDataset, Dataset, check_split
from mindcv.data.folder import FolderDataset
from mindcv.data.mnist import Mnist
from mindcv.folders import EVAL_SPLITS, splits_in
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


def default_splits(name: str, root: str | os.PathLike | None = None) -> tuple[str, str]:
    """Return the names of the splits that data set `name` trains and evaluates on by default.

    Args:
        root: of image folders; without a folder `val` there, `valid`, `validation` or `test` stands for it.
    """
    if name in DATASETS.names():
        kind = DATASETS.get(name)
        return kind.train_split, kind.eval_split
    folders = [] if root is None else [Path(root).expanduser(), Path(root).expanduser() / name]
    found = [split for folder in folders for split in splits_in(folder) if split in EVAL_SPLITS]
    return FolderDataset.train_split, next(iter(found), FolderDataset.eval_split)


def create_dataset(
    name: str = "digits",
    root: str | os.PathLike = "./data",
    split: str | None = "train",
    download: bool = False,
    num_samples: int | None = None,
    seed: int = SEED.default,
    *,
    image_size: int = IMAGE_RESIZE.default,
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
    owner: str = "the training split",
    val_fraction: float | None = None,
    held_out: dict[str, Any] | None = None,
) -> Dataset:
    """Open one split of a data set.

    Args:
        name: one of `list_datasets()`, or any other name for image folders, `root/split/class/image` or, divided here
            into the splits "train" and "val", `root/class/image`.
        root: the data set's folder, or the folder that contains it or its archive; `digits` and `synthetic` need none.
        split: the split; None means the data set's own training split (see `default_splits`).
        download: fetch what is missing (cifar10, cifar100, mnist).
        num_samples: keep at most this many examples, chosen by a shuffle; None keeps all.
            For `synthetic` the number of examples, 256 by default.
        seed: seed of that shuffle, and of the choice by `val_fraction`. Other splits do not depend on it.
        image_size: side in pixels of the images that `synthetic` makes; other data sets have sizes of their own.
        num_classes: the number of classes the model tells apart; a data set with more is refused, and `synthetic`
            has as many. None accepts any.
        class_names: label by these classes, those of a training split or of a checkpoint, instead of the split's own;
            it may lack some of them, which becomes a remark. None numbers the split's own classes.
        owner: whose classes those are, for messages.
        val_fraction: of each class of `root/class/image`, the share held out for the split "val"; None means 0.2. If
            given, `root/train` is divided as well where there is no other split.
        held_out: the attribute of that name of the training split, or of the run whose weights are measured: the
            images are divided in the same way again, whatever was added since.

    Returns:
        The split; `remarks` says what was passed over and which classes have no example.
    Raises:
        ValueError: for a split that does not exist, data that is missing, broken or in the wrong layout, labels
            outside the classes, or a class that is not in `class_names`.
    """
    root = Path(os.path.expanduser(root))
    split = default_splits(name)[0] if split is None else split
    if name == "synthetic":
        size = 256 if num_samples is None else num_samples
        dataset = Synthetic(root, split, download, image_size, 10 if num_classes is None else num_classes, size)
    elif name != "digits" and root.exists() and not root.is_dir():
        raise ValueError(f"data_dir must be a folder; {root} is a file. Give the folder that holds it: {root.parent}")
    elif name in DATASETS.names():
        dataset = DATASETS.get(name)(root, split, download)
    else:
        dataset = FolderDataset(
            name,
            root,
            split,
            download,
            may_lack_images=class_names is not None,
            val_fraction=val_fraction,
            seed=seed,
            held_out=held_out,
            hint=_folder_hint(name),
        )
    if class_names is not None:
        dataset.label_by(class_names, owner)
    if num_classes is not None and num_classes < len(dataset.class_names):
        raise ValueError(
            f"num_classes={num_classes} is too few: data set {name!r} has {len(dataset.class_names)} classes."
        )
    if num_samples is not None:
        dataset.keep(num_samples, seed)
    dataset.remark_on_missing_classes()
    return dataset


def _folder_hint(name: str) -> str:
    if name == "imagenet":  # a name of image folders that everybody knows
        return ""
    names = list_datasets()
    return f" (Any name but {', '.join(names)} stands for image folders.{did_you_mean(name, names)})"
