"""Image folders: one folder per class below one folder per split."""

import os
from pathlib import Path

import numpy as np

from mindcv.data.dataset import Dataset
from mindcv.data.image_file import read_again

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm")


class FolderDataset(Dataset):
    """Images `root/split/class/**/image`, or the same below `root/name`.

    Classes are the sorted folder names. Hidden files and folders, and files that are no images, are passed over;
    symbolic links are followed.

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
        class_names = [entry.name for entry in _visible(folder) if entry.is_dir()]
        if not class_names:
            raise ValueError(f"{folder} has no class folders. {_expected(root, split)} {_found(folder)}")
        self._paths: list[str] = []
        labels: list[int] = []
        for label, class_name in enumerate(class_names):
            images = images_below(folder / class_name, set())
            if not images:
                raise ValueError(
                    f"the class folder {folder / class_name} has no images ({', '.join(IMAGE_SUFFIXES)}). "
                    f"Fill it or remove it. {_found(folder / class_name)}"
                )
            self._paths += images
            labels += [label] * len(images)
        self._stamps = np.zeros(len(labels), np.int64)
        super().__init__(name, split, class_names, np.asarray(labels), encoded=True, channels=3)

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
    if any(_is_image(entry.name) for entry in _visible(root)):
        raise ValueError(f"{root} has images, but no folder {split!r}. {_expected(root, split)} {_found(root)}{hint}")
    raise ValueError(f"{root} has no folder {split!r} for that split. {_expected(root, split)} {_found(root)}{hint}")


def _expected(root: Path, split: str) -> str:
    return f"Expected one folder per class:\n  {root}/{split}/<class>/<image>.jpg\n"


def _found(folder: Path) -> str:
    names = [entry.name + ("/" if entry.is_dir() else "") for entry in _visible(folder)]
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return f"Found in {folder}: {', '.join(names[:8]) or 'nothing'}{more}."


def _visible(folder: str | Path) -> list[os.DirEntry]:
    """Entries of `folder` that are not hidden, sorted by name."""
    with os.scandir(folder) as entries:
        return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES)


def images_below(folder: str | Path, visited: set[str]) -> list[str]:
    """Paths of the images in `folder` and below it, sorted; a symbolic link back to a folder above ends there."""
    real = os.path.realpath(folder)
    if real in visited:
        return []
    visited.add(real)
    images: list[str] = []
    for entry in _visible(folder):
        if entry.is_dir():
            images += images_below(entry.path, visited)
        elif _is_image(entry.name):
            images.append(entry.path)
    return images
