"""Image folders: one folder per class."""

from collections import Counter
from pathlib import Path

import numpy as np

from mindcv.data.collection import FileCollection
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


def read_folders(folder: Path, *, may_lack_images: bool = False) -> FileCollection:
    """Find the images `folder/class/**/image`.

    Classes are the sorted folder names. Other files are passed over and counted in `remarks`; folders that are hidden
    or left by a system or a tool are named there. Symbolic links are followed.

    Args:
        may_lack_images: whether a class folder may be empty.
    Raises:
        ValueError: if a class folder is empty, though it may not, or all are.
    """
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
    labels = np.repeat(np.arange(len(images), dtype=np.int32), [len(paths) for paths in images.values()])
    paths = [path for paths in images.values() for path in paths]
    members = [path[len(str(folder / name)) + 1 :] for name, paths in images.items() for path in paths]
    return FileCollection(folder, class_names, labels, paths, members, remarks)


def _beside(folder: Path) -> Counter[str]:
    """Count the files beside the class folders by suffix."""
    files = [entry.name for entry in entries_of(folder) if not entry.is_dir()]
    return Counter(suffix_of(name) + " outside the class folders" * is_image(name) for name in files)
