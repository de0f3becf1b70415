"""Image folders: one folder per class, below one folder per split or divided here."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np

from mindcv.data.dataset import Dataset, check_split, counted
from mindcv.data.holdout import VAL_FRACTION, Holdout
from mindcv.data.image_file import read_unless_checked
from mindcv.files import listed
from mindcv.folders import (
    IMAGE_SUFFIXES,
    describe_content,
    describe_known,
    describe_passed_over,
    entries_of,
    find_undivided,
    folders_left_out,
    has_folders,
    images_below,
    is_image,
    suffix_of,
)


class FolderDataset(Dataset):
    """Images `root/split/class/**/image`, or `root/class/**/image`, divided here; or the same below `root/name`.

    Classes are the sorted folder names. Other files are passed over and counted in `remarks`; folders that are hidden
    or left by a system or a tool are named there. Symbolic links are followed.

    Args:
        may_lack_images: whether a class folder may be empty.
        val_fraction: share of each class held out for the split "val": of `root/class`, by default `VAL_FRACTION`; if
            given, also of `root/train` if that is the only split.
        seed: of that choice.
        held_out: an earlier choice to repeat, the attribute `held_out` of a data set.
        hint: added to the message if there is no such folder.
    """

    eval_split = "val"

    def __init__(
        self,
        name: str,
        root: Path,
        split: str,
        download: bool,
        *,
        may_lack_images: bool = False,
        val_fraction: float | None = None,
        seed: int = 42,
        held_out: dict | None = None,
        hint: str = "",
    ) -> None:
        if download:
            raise ValueError(
                f"data set {name!r} cannot be downloaded; only cifar10, cifar100 and mnist can. Put it into {root} "
                f"and leave dataset_download off.{hint}"
            )
        folder, is_divided = _find_folder(name, root, split, val_fraction is not None or held_out is not None, hint)
        passed_over = _beside(folder)
        class_names = [entry.name for entry in entries_of(folder) if entry.is_dir()]
        images = {name: images_below(folder / name, passed_over) for name in class_names}
        empty = [name for name, paths in images.items() if not paths]
        if empty and (not may_lack_images or len(empty) == len(images)):
            raise ValueError(
                f"the class folder {folder / empty[0]} has no images ({', '.join(IMAGE_SUFFIXES)}). "
                f"Fill it or remove it. {describe_content(folder / empty[0])}"
            )
        remarks = describe_passed_over(folder, passed_over)
        if left_out := folders_left_out(folder):
            remarks.append(f"{folder}: not classes, because hidden or left by a tool: {', '.join(left_out)}")
        if not is_divided:
            check_split(name, split, ("train", "val"))
            images, held_out = _divide(folder, images, split, val_fraction, seed, held_out, remarks)
        self._paths = [path for paths in images.values() for path in paths]
        labels = np.repeat(np.arange(len(images)), [len(paths) for paths in images.values()])
        self._stamps = np.zeros(len(labels), np.int64)
        super().__init__(name, split, class_names, labels, encoded=True, channels=3)
        self.remarks += remarks
        self.held_out = None if is_divided else held_out
        if is_divided and (val_fraction is not None or held_out):
            self.remarks.append(
                f"{folder.parent} has folders for its splits: "
                + ("the run's held-out images are not looked up" if held_out else "val_fraction has no effect")
            )

    def _image(self, position: int) -> np.ndarray:
        content, self._stamps[position] = read_unless_checked(self._paths[position], self._stamps[position])
        return content

    def _describe(self, position: int) -> str:
        return self._paths[position]


def _find_folder(name: str, root: Path, split: str, may_divide: bool, hint: str) -> tuple[Path, bool]:
    """Return the folder of the class folders, and whether it is a split (else it is still to be divided)."""
    if not root.is_dir():
        raise ValueError(f"the folder {root} does not exist. {_expected(root, split)}{hint.strip()}")
    if not split or Path(split).name != split:
        raise ValueError(f"a split is the name of one folder below {root}; got {split!r}.")
    folders = [folder for folder in (root / split, root / name / split) if folder.is_dir()]
    undivided = find_undivided(root, name, only_train=may_divide)
    split_folder = next((folder for folder in folders if has_folders(folder) and folder != undivided), None)
    if split_folder:
        return split_folder, True
    if undivided:
        return undivided, False
    if folders:
        raise ValueError(f"{folders[0]} has no class folders. {_expected(root, split)}{describe_content(folders[0])}")
    images = "images, but " if any(is_image(entry.name) for entry in entries_of(root)) else ""
    share = (
        " The images in train can be divided: --val_fraction=0.2 holds out that share for validation."
        if split == "val" and find_undivided(root, name, only_train=True)
        else ""
    )
    raise ValueError(
        f"{root} has {images}no folder {split!r} for that split. {_expected(root, split)}{describe_content(root)}"
        f"{share}{describe_known(root)}{hint}"
    )


def _divide(
    folder: Path,
    images: dict[str, list[str]],
    split: str,
    val_fraction: float | None,
    seed: int,
    held_out: dict | None,
    remarks: list[str],
) -> tuple[dict[str, list[str]], dict]:
    """Return the images of a split by class, and the choice as plain values."""
    names = {name: [path[len(str(folder / name)) + 1 :] for path in paths] for name, paths in images.items()}
    if not held_out:
        holdout = Holdout.choose(names, VAL_FRACTION if val_fraction is None else val_fraction, seed)
    elif split == "train":  # a class may have been added
        holdout = Holdout.choose(names, **held_out)
    else:
        holdout = Holdout(**held_out)
    held = {name: [holdout.holds(name, member) for member in members] for name, members in names.items()}
    chosen = {
        name: [path for path, is_held in zip(paths, held[name], strict=True) if is_held == (split == "val")]
        for name, paths in images.items()
    }
    number, total = sum(map(sum, held.values())), sum(map(len, held.values()))
    if not any(chosen.values()):
        raise ValueError(f"val_fraction={holdout.fraction:g} leaves no image of {folder} for the split {split!r}.")
    division = (
        f"{total - number:,} images to train, {number:,} held out to validate (val_fraction={holdout.fraction:g}, "
        f"seed={holdout.seed})"
        if number < total
        else f"all {total:,} images are used to validate"
    )
    classes = f"{counted(list(images))}, {listed(map(repr, images))}"
    remarks.append(f"{folder} ({classes}) is not divided into train and val: {division}")
    return chosen, asdict(holdout)


def _expected(root: Path, split: str) -> str:
    return (
        f"Expected one folder per class:\n  {root}/{split}/<class>/<image>.jpg\n"
        f"or, to be divided into train and val:\n  {root}/<class>/<image>.jpg\n"
    )


def _beside(folder: Path) -> Counter[str]:
    """Count the files beside the class folders by suffix."""
    files = [entry.name for entry in entries_of(folder) if not entry.is_dir()]
    return Counter(suffix_of(name) + " outside the class folders" * is_image(name) for name in files)
