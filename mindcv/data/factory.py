"""Data sets by name; any name that is not built in means one's own images."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mindcv.arguments import FOLD, IMAGE_RESIZE, SEED
from mindcv.data.cifar import Cifar10, Cifar100
from mindcv.data.dataset import ArrayDataset, Dataset, check_split
from mindcv.data.division import divide
from mindcv.data.mnist import Mnist
from mindcv.data.own import OwnDataset
from mindcv.folders import EVAL_SPLITS, data_set_in, is_collection, splits_in
from mindcv.keywords import also_called
from mindcv.nearest import did_you_mean
from mindcv.registry import Registry

DATASETS: Registry[Callable[..., Dataset]] = Registry("data set")
DATASETS.register("cifar10")(Cifar10)
DATASETS.register("cifar100")(Cifar100)
DATASETS.register("mnist")(Mnist)

DIGITS_SPLIT_SEED = 20260101  # fixed: the test examples must not depend on the run's seed


@DATASETS.register("digits")
class Digits(ArrayDataset):
    """scikit-learn's 1,797 grey 8x8 digits, 80 % for training and 20 % for test, stratified by class."""

    def __init__(self, root: Path, split: str, download: bool) -> None:
        from sklearn.datasets import load_digits  # here: takes a second to import
        from sklearn.model_selection import train_test_split

        check_split("digits", split, ("train", "test"))
        digits = load_digits()
        train, test = train_test_split(
            np.arange(len(digits.target)), test_size=0.2, random_state=DIGITS_SPLIT_SEED, stratify=digits.target
        )
        chosen = np.sort(train if split == "train" else test)
        # Grey levels are integers 0..16.
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
            raise ValueError("data set 'synthetic' is generated, not downloaded: leave dataset_download off.")
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
    """Return the names of the built-in data sets, sorted; any other name means one's own images."""
    return DATASETS.names()


def default_splits(name: str, root: str | os.PathLike | None = None) -> tuple[str, str]:
    """Return the default training and evaluation splits of data set `name`.

    Args:
        root: of one's own images; without a split `val`, the evaluation split is `valid`, `validation` or `test`.
    """
    if name in DATASETS.names():
        entry = DATASETS.get(name)
        kind = entry if isinstance(entry, type) and issubclass(entry, Dataset) else Dataset
        return kind.train_split, kind.eval_split
    folders = [] if root is None else [Path(root).expanduser(), Path(root).expanduser() / name]
    found = [split for folder in folders for split in splits_in(folder) if split in EVAL_SPLITS]
    return OwnDataset.train_split, next(iter(found), OwnDataset.eval_split)


_LOADER_DIVIDES = "Loader(..., world=World(rank, size)) divides an epoch"


@also_called(
    {},
    {
        "num_shards": (1, _LOADER_DIVIDES),
        "shard_id": (0, _LOADER_DIVIDES),
        "num_aug_repeats": (0, "the option aug_repeats of train.py repeats augmentation"),
    },
)
def create_dataset(
    name: str | None = None,
    root: str | os.PathLike | None = None,
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
    folds: int | None = None,
    fold: int = FOLD.default,
    held_out: dict[str, Any] | None = None,
    shuffle: bool | None = None,
    num_parallel_workers: int | None = None,
    is_multi_label: bool | None = None,
) -> Dataset:
    """Open one split of a data set.

    Args:
        name: one of `list_datasets()`; None or "": the data set in `root`, as for the scripts, or the digits without
            `root`. Any other name means one's own images: `root/split/class/image`, an archive `root/split.tar` of
            `class/image`, a list `root/split.csv` with the columns `image,label` (several labels per image: see
            `read_list`), or `root/split.mindrecord` (`read_records`); or, to be divided into the splits "train" and
            "val", `root/class/image`, or such a file `root` itself.
        root: the data set's folder, or the folder that contains it or its archive; None: ./data. `digits` and
            `synthetic` need none.
        split: the split; None means the data set's training split (see `default_splits`).
        download: fetch missing files (cifar10, cifar100, mnist).
        num_samples: keep at most this many examples, chosen by a shuffle; None keeps all.
            For `synthetic` the number of examples, 256 by default.
        seed: of that shuffle, and of the choice by `val_fraction`. Other splits do not depend on it.
        image_size: side in pixels of the images of `synthetic`.
        num_classes: number of classes of the model; a data set with more is an error, `synthetic` has as many. None
            accepts any.
        class_names: number the classes by these names, those of a training split or of a checkpoint. Names without
            examples become a remark. None numbers the split's own classes.
        owner: whose classes `class_names` are, for messages.
        val_fraction: share of each class held out for the split "val", where there are no splits; None means 0.2. If
            given, the split train is divided too if it is the only one.
        folds: divide the training split of any data set into this many parts. Then `split` is the training split, all
            but one of them, or "val", that one.
        fold: its number, from 0.
        held_out: attribute of the training split, or of the run whose weights are evaluated: repeats that division
            of the images, even if some were added.
        shuffle, num_parallel_workers: what `create_loader` does unless it is told otherwise. A `Loader` has its own
            arguments for them.
        is_multi_label: whether the training split, or the run whose weights are evaluated, has several labels per
            image. None takes the split as it is.

    Returns:
        The split; `remarks` lists what was passed over and which classes have no example.
    Raises:
        ValueError: if the split does not exist, data is missing, broken or in the wrong layout, a label is outside
            the classes, or a class is not in `class_names`.
    """
    if not name:
        name = "digits" if root is None else data_set_in(os.fspath(root))[0]
    root = Path(os.path.expanduser("./data" if root is None else root))
    split = default_splits(name)[0] if split is None else split
    choice = held_out if held_out and "folds" in held_out else None
    if folds is not None:
        choice = choice or {"folds": folds, "fold": fold, "seed": seed}
    part, place = split, root
    if choice:
        split = default_splits(name)[0]
        check_split(name, part, (split, "val"))
    if name == "synthetic":
        size = 256 if num_samples is None else num_samples
        classes = 10 if num_classes is None else num_classes
        dataset: Dataset = Synthetic(root, split, download, image_size, classes, size)
    elif name != "digits" and root.exists() and not root.is_dir() and (name in DATASETS or not is_collection(root)):
        raise ValueError(f"data_dir must be a folder; {root} is a file. Give the folder that holds it: {root.parent}")
    elif name in DATASETS.names():
        dataset = DATASETS.get(name)(root, split, download)
    else:
        dataset = OwnDataset(
            name,
            root,
            split,
            download,
            may_lack_images=class_names is not None,
            val_fraction=None if choice else val_fraction,
            seed=seed,
            held_out=None if choice else held_out,
            whole=choice is not None,
            hint=_folder_hint(name),
        )
    if choice:
        dataset.split = part
        divide(dataset, "the digits" if name == "digits" else place, choice)
    if is_multi_label is not None:
        dataset.allow_several_labels(owner, wanted=is_multi_label)
    if class_names is not None:
        dataset.label_by(class_names, owner)
    if num_classes is not None and num_classes < len(dataset.class_names):
        raise ValueError(
            f"num_classes={num_classes} is too few: data set {name!r} has {len(dataset.class_names)} classes."
        )
    if num_samples is not None:
        dataset.keep(num_samples, seed)
    dataset.shuffle, dataset.num_parallel_workers = shuffle, num_parallel_workers
    dataset.remark_on_missing_classes()
    return dataset


def _folder_hint(name: str) -> str:
    if name == "imagenet":  # well known to be image folders
        return ""
    names = list_datasets()
    return f" (Any name but {', '.join(names)} means image folders.{did_you_mean(name, names)})"
