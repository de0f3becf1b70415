"""Image folders: one folder per class below one folder per split."""

from collections import Counter
from pathlib import Path

import numpy as np

from mindcv.data.dataset import Dataset
from mindcv.data.image_file import read_again
from mindcv.folders import (
    IMAGE_SUFFIXES,
    describe_content,
    describe_passed_over,
    entries_of,
    folders_left_out,
    images_below,
    is_image,
    suffix_of,
)


class FolderDataset(Dataset):
    """Images `root/split/class/**/image`, or the same below `root/name`.

    Classes are the sorted folder names. Files that are no images are passed over and counted in `remarks`, and so are
    the names of class folders that are hidden or left by a system or a tool. Symbolic links are followed.

    Args:
        hint: a remark for the message if there is no such folder.
    """

    eval_split = "val"

    def __init__(self, name: str, root: Path, split: str, download: bool, hint: str = "") -> None:
        if download:
            raise ValueError(
                f"data set {name!r} cannot be downloaded; only cifar10, cifar100 and mnist can. Put it into {root} "
                f"and leave dataset_download off.{hint}"
            )
        folder = _split_folder(name, root, split, hint)
        class_names = [entry.name for entry in entries_of(folder) if entry.is_dir()]
        if not class_names:
            raise ValueError(f"{folder} has no class folders. {_expected(root, split)} {describe_content(folder)}")
        self._paths: list[str] = []
        labels: list[int] = []
        passed_over = _beside(folder)
        for label, class_name in enumerate(class_names):
            images = images_below(folder / class_name, passed_over)
            if not images:
                raise ValueError(
                    f"the class folder {folder / class_name} has no images ({', '.join(IMAGE_SUFFIXES)}). "
                    f"Fill it or remove it. {describe_content(folder / class_name)}"
                )
            self._paths += images
            labels += [label] * len(images)
        self._stamps = np.zeros(len(labels), np.int64)
        super().__init__(name, split, class_names, np.asarray(labels), encoded=True, channels=3)
        self.remarks += describe_passed_over(folder, passed_over)
        if left_out := folders_left_out(folder):
            self.remarks.append(f"{folder}: no classes, since hidden or left by a tool: {', '.join(left_out)}")

    def _image(self, position: int) -> np.ndarray:
        content, self._stamps[position] = read_again(self._paths[position], self._stamps[position])
        return content

    def _describe(self, position: int) -> str:
        return self._paths[position]


def _split_folder(name: str, root: Path, split: str, hint: str) -> Path:
    if not root.is_dir():
        raise ValueError(f"the folder {root} does not exist. {_expected(root, split)}{hint}")
    if not split or Path(split).name != split:
        raise ValueError(f"a split is the name of one folder below {root}; got {split!r}.")
    for folder in (root / split, root / name / split):
        if folder.is_dir():
            return folder
    images = "images, but " if any(is_image(entry.name) for entry in entries_of(root)) else ""
    found = describe_content(root)
    raise ValueError(f"{root} has {images}no folder {split!r} for that split. {_expected(root, split)} {found}{hint}")


def _expected(root: Path, split: str) -> str:
    return f"Expected one folder per class:\n  {root}/{split}/<class>/<image>.jpg\n"


def _beside(folder: Path) -> Counter[str]:
    """The files beside the class folders, counted by suffix."""
    files = [entry.name for entry in entries_of(folder) if not entry.is_dir()]
    return Counter(suffix_of(name) + " outside the class folders" * is_image(name) for name in files)
