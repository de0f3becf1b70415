"""What every data set offers: its examples by number, their labels, and where each one comes from."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np


class Dataset(ABC):
    """One split of a labelled image collection.

    Attributes:
        name: the name it was asked for by.
        split: the name of the split.
        class_names: one name per class; label k means `class_names[k]`.
        encoded: whether examples are image files' bytes rather than pixels.
        channels: channels of the pixels (1 or 3); encoded images decode to 3.
        labels: (N,) int32, the label of every example.
        remarks: sentences that the user should read, on what was found and what was passed over.
    """

    train_split = "train"
    eval_split = "test"

    def __init__(
        self, name: str, split: str, class_names: Sequence[str], labels: np.ndarray, *, encoded: bool, channels: int
    ) -> None:
        self.name = name
        self.split = split
        self.class_names = tuple(class_names)
        self.encoded = encoded
        self.channels = channels
        self.remarks: list[str] = []
        self._all_labels = np.asarray(labels, np.int32)
        self._kept = np.arange(len(labels))  # positions in the whole split; fewer after keep()
        wrong = np.flatnonzero((self._all_labels < 0) | (self._all_labels >= len(self.class_names)))
        if len(wrong):
            raise ValueError(
                f"label {self._all_labels[wrong[0]]} in {self._describe(int(wrong[0]))}: data set {name!r} has "
                f"{len(self.class_names)} classes, so labels go from 0 to {len(self.class_names) - 1}."
            )

    def keep(self, num_samples: int, seed: int) -> None:
        """Keep at most `num_samples` examples: the first ones of a shuffle by `seed`, in the split's own order.

        Raises:
            ValueError: if `num_samples` is below 1.
        """
        if num_samples < 1:
            raise ValueError(f"num_samples must be at least 1; got {num_samples}.")
        shuffled = np.random.default_rng(seed).permutation(len(self._all_labels))
        self._kept = np.sort(shuffled[:num_samples])

    @property
    def labels(self) -> np.ndarray:
        return self._all_labels[self._kept]

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.int32]:
        """Return example `index`: (image, label).

        The image is (H, W, channels) uint8, or 1-D uint8 with a file's bytes when `encoded`; the label is an int32.

        Raises:
            IndexError: past the last example.
            ValueError: if the image cannot be read; the message holds its path.
        """
        position = int(self._kept[index])
        return self._image(position), self._all_labels[position]

    def where(self, index: int) -> str:
        """Say where example `index` is stored: its path, or its file and record number."""
        return self._describe(int(self._kept[index]))

    @abstractmethod
    def _image(self, position: int) -> np.ndarray: ...

    @abstractmethod
    def _describe(self, position: int) -> str: ...


class ArrayDataset(Dataset):
    """A data set whose pixels are in memory.

    Args:
        images: (N, H, W, C) uint8 with C 1 or 3.
        labels: (N,) integers.
        files: (description, number of records) of what the examples were read from, in order.
    """

    def __init__(
        self,
        name: str,
        split: str,
        class_names: Sequence[str],
        images: np.ndarray,
        labels: np.ndarray,
        files: Sequence[tuple[str, int]],
    ) -> None:
        assert images.dtype == np.uint8 and images.ndim == 4 and len(images) == len(labels)
        self._images = images
        self._files = files
        super().__init__(name, split, class_names, labels, encoded=False, channels=images.shape[3])

    def _image(self, position: int) -> np.ndarray:
        return self._images[position]

    def _describe(self, position: int) -> str:
        for file, records in self._files:
            if position < records:
                return f"{file}, record {position}"
            position -= records
        raise IndexError(position)


def check_split(name: str, split: str, legal: Sequence[str]) -> None:
    """Raise a ValueError that lists the legal splits unless `split` is one of them."""
    if split not in legal:
        raise ValueError(f"data set {name!r} has no split {split!r}; it has {' and '.join(map(repr, legal))}.")
