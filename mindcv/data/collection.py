"""Labelled images of one's own in one place, before they are divided into splits."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from mindcv.data.image_file import UNCHECKED, file_stamp, image_named, read_unless_checked, to_decodable


class Collection(ABC):
    """Images by position, with their classes: below a folder, in a list, or in an archive.

    Attributes:
        path: of the folder or file.
        class_names: one name per class, in the order of their numbers.
        labels: (N,) class numbers.
        remarks: sentences for the user about what was found and what was passed over.
    """

    def __init__(self, path: Path, class_names: Sequence[str], labels: np.ndarray, remarks: Sequence[str] = ()) -> None:
        self.path, self.class_names, self.labels, self.remarks = path, class_names, labels, list(remarks)

    @abstractmethod
    def read(self, position: int) -> np.ndarray:
        """Return the bytes of an image file as `read_image_file` does.

        Raises:
            BadImageError: if it cannot be read.
        """

    @abstractmethod
    def where(self, position: int) -> str:
        """Return where an image is stored."""

    @abstractmethod
    def member(self, position: int) -> str:
        """Return an image's name within its class, which does not depend on the place of the collection."""


class FileCollection(Collection):
    """Images that are files of their own.

    Args:
        paths: of the files.
        members: what `member` returns for each.
    """

    def __init__(
        self,
        path: Path,
        class_names: Sequence[str],
        labels: np.ndarray,
        paths: Sequence[str],
        members: Sequence[str],
        remarks: Sequence[str] = (),
    ) -> None:
        super().__init__(path, class_names, labels, remarks)
        self._paths, self._members = paths, members
        self._stamps = np.full(len(paths), UNCHECKED)

    def read(self, position: int) -> np.ndarray:
        content, self._stamps[position] = read_unless_checked(self._paths[position], self._stamps[position])
        return content

    def where(self, position: int) -> str:
        return self._paths[position]

    def member(self, position: int) -> str:
        return self._members[position]


class PackedCollection(Collection):
    """Images in one file, each read by its offset, from any number of threads.

    Args:
        spans: (N, 2) int64, offset and size of each image in the file.
        stamp: of the file when `spans` was made, from `stamp_of`.
    """

    def __init__(
        self,
        path: Path,
        class_names: Sequence[str],
        labels: np.ndarray,
        spans: np.ndarray,
        stamp: int,
        remarks: Sequence[str] = (),
    ) -> None:
        super().__init__(path, class_names, labels, remarks)
        self._spans, self._stamp = spans, stamp
        self._is_checked = np.zeros(len(spans), bool)

    def read(self, position: int) -> np.ndarray:
        with image_named(self.where(position)):
            content = self._content(position)
            if self._is_checked[position]:
                return content
            content, self._is_checked[position] = to_decodable(content)
            return content

    def _content(self, position: int) -> np.ndarray:
        offset, size = map(int, self._spans[position])
        if file_stamp(self.path) != self._stamp:
            raise ValueError(f"{self.path.name} has changed since it was opened")
        with self.path.open("rb", buffering=0) as file:
            content = os.pread(file.fileno(), size, offset)
        if not content or len(content) < size:
            raise ValueError("it is cut off" if size else "the file is empty")
        return np.frombuffer(content, np.uint8)


def stamp_of(path: Path) -> int:
    """Return the stamp of a file that holds images.

    Raises:
        ValueError: if it is empty.
    """
    try:
        return file_stamp(path)
    except ValueError as error:
        raise ValueError(f"{path} holds no images: {error}.") from None


def number_classes(
    names: Sequence[str], in_order: Callable[[set[str]], list[str]] = sorted
) -> tuple[list[str], np.ndarray]:
    """Return the different names in order, and the (N,) int32 number of each of `names`."""
    different = in_order(set(names))
    numbers = {name: number for number, name in enumerate(different)}
    return different, np.array([numbers[name] for name in names], np.int32)


def by_value(names: set[str]) -> list[str]:
    """Sort class names as text, or by value if all are decimal numbers."""
    are_numbers = all(name.isascii() and name.isdigit() for name in names)
    return sorted(names, key=lambda name: (int(name) if are_numbers else 0, name))
