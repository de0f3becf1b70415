"""Labelled images of one's own in one place, before they are divided into splits."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from mindcv.data.image_file import UNCHECKED, read_unless_checked


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


def number_classes(
    names: Sequence[str], in_order: Callable[[set[str]], list[str]] = sorted
) -> tuple[list[str], np.ndarray]:
    """Return the different names in order, and the (N,) int32 number of each of `names`."""
    different = in_order(set(names))
    numbers = {name: number for number, name in enumerate(different)}
    return different, np.array([numbers[name] for name in names], np.int32)
