"""One's own images: in class folders, listed in a file or in an archive; in one place per split, or divided here."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mindcv.data.collection import Collection
from mindcv.data.csv_list import read_list
from mindcv.data.dataset import Dataset, check_split
from mindcv.data.division import divide
from mindcv.data.folder import read_folders
from mindcv.data.holdout import VAL_FRACTION
from mindcv.data.mind_record import read_records
from mindcv.data.tar import read_tar
from mindcv.folders import (
    describe_content,
    describe_known,
    entries_of,
    find_undivided,
    is_collection,
    is_image,
    split_files,
    split_in,
)


class OwnDataset(Dataset):
    """Images of `root/split` or of one place to be divided, or the same below `root/name`.

    Place: a folder with class folders (`read_folders`), a list `root/split.csv` (`read_list`), an archive
    `root/split.tar` (`read_tar`), or a MindRecord file `root/split.mindrecord` (`read_records`); `root` may be such a
    file itself, which is divided.

    Args:
        may_lack_images: whether a class may be without images.
        val_fraction: share of each class held out for the split "val": of an undivided place, by default
            `VAL_FRACTION`; if given, also of the split train if it is the only one.
        seed: of that choice.
        held_out: an earlier choice to repeat, the attribute `held_out` of a data set.
        whole: do not divide an undivided place.
        hint: added to the message if there is no such place.
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
        held_out: Mapping[str, Any] | None = None,
        whole: bool = False,
        hint: str = "",
    ) -> None:
        if download:
            raise ValueError(
                f"data set {name!r} cannot be downloaded; only cifar10, cifar100 and mnist can. Put it into {root} "
                f"and leave dataset_download off.{hint}"
            )
        may_divide = val_fraction is not None or held_out is not None
        path, is_divided = _find(name, root, split, may_divide, hint)
        if not is_divided:
            check_split(name, split, ("train", "val"))
        self._images = _open(path, may_lack_images)
        super().__init__(name, split, self._images.class_names, self._images.labels, encoded=True, channels=3)
        self.remarks += self._images.remarks
        if not is_divided:
            if not whole:
                fraction = VAL_FRACTION if val_fraction is None else val_fraction
                divide(self, path, held_out or {"fraction": fraction, "seed": seed})
            return
        if path.is_dir() and (unused := split_files(path.parent, split)):
            self.remarks.append(f"{unused[0]} is not used: the folder {path} has class folders")
        if may_divide:
            self.remarks.append(
                f"{path.parent} has {'folders' if path.is_dir() else 'files'} for its splits: "
                + ("the run's held-out images are not looked up" if held_out else "val_fraction has no effect")
            )

    def _image(self, position: int) -> np.ndarray:
        return self._images.read(position)

    def _describe(self, position: int) -> str:
        return self._images.where(position)

    def _member(self, position: int) -> str:
        return self._images.member(position)


def _open(path: Path, may_lack_images: bool) -> Collection:
    if path.is_dir():
        return read_folders(path, may_lack_images=may_lack_images)
    return {".csv": read_list, ".tar": read_tar, ".mindrecord": read_records}[path.suffix.lower()](path)


def _find(name: str, root: Path, split: str, may_divide: bool, hint: str) -> tuple[Path, bool]:
    """Return the folder or file with the images, and whether it is a split (else it is still to be divided)."""
    if is_collection(root):
        return root, False
    if not root.is_dir():
        raise ValueError(f"the folder {root} does not exist. {_expected(root, split)}{hint.strip()}")
    if not split or Path(split).name != split:
        raise ValueError(f"a split is the name of one folder below {root}; got {split!r}.")
    undivided = find_undivided(root, name, only_train=may_divide)
    found = [path for folder in (root, root / name) if (path := split_in(folder, split)) and path != undivided]
    if found:
        return found[0], True
    if undivided:
        return undivided, False
    folders = [folder for folder in (root / split, root / name / split) if folder.is_dir()]
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


def _expected(root: Path, split: str) -> str:
    return (
        f"Expected one folder per class:\n  {root}/{split}/<class>/<image>.jpg\n"
        f"or, to be divided into train and val:\n  {root}/<class>/<image>.jpg\n"
        f"or a list with the columns image,label, an archive of class folders, or a MindRecord file:\n"
        f"  {root}/{split}.csv\n  {root}/{split}.tar\n  {root}/{split}.mindrecord\n"
    )
