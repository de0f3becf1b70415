"""Base classes of data sets: examples by index, their labels, and the location of each."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any
from unicodedata import normalize

import numpy as np

from mindcv.arguments import NUM_SAMPLES
from mindcv.files import listed
from mindcv.nearest import did_you_mean

# Of one example: a class number, or (K,) float32 with several labels per image
Label = np.int32 | np.ndarray


class UnknownClassError(ValueError):
    """A split has a class that is not among the given class names."""


class Dataset(ABC):
    """One split of a labelled image collection.

    Attributes:
        name: the name it was requested by.
        split: the name of the split.
        class_names: one name per class; label k means `class_names[k]`.
        encoded: whether examples are the bytes of image files rather than pixels.
        channels: channels of the pixels (1 or 3); encoded images decode to 3.
        labels: (N,) int32, the label of every example; with several labels per image (N, K) float32, 1 for each class
            that the image has and 0 for the others.
        is_multi_label: whether images have several labels.
        held_out: how a folder was divided, needed to open the matching split (see `create_dataset`); else None.
        shuffle, num_parallel_workers: what `create_loader` does unless it is told otherwise; None: its defaults.
        remarks: sentences for the user about what was found and what was passed over.
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
        self.held_out: dict[str, Any] | None = None
        self.shuffle: bool | None = None
        self.num_parallel_workers: int | None = None
        self.remarks: list[str] = []
        self.is_multi_label = labels.ndim == 2
        self._all_labels = labels.astype(bool if self.is_multi_label else np.int32)
        self._kept = np.arange(len(labels))  # positions in the whole split; fewer after restrict() and keep()
        wrong = np.flatnonzero((self._all_labels < 0) | (self._all_labels >= len(self.class_names)))
        if len(wrong) and not self.is_multi_label:
            raise ValueError(
                f"label {self._all_labels[wrong[0]]} in {self._describe(int(wrong[0]))}: data set {name!r} has "
                f"{len(self.class_names)} classes, so labels go from 0 to {len(self.class_names) - 1}."
            )

    def keep(self, num_samples: int, seed: int) -> None:
        """Keep at most `num_samples` examples, the first ones of a shuffle by `seed`, in the split's order.

        Raises:
            ValueError: if `num_samples` is below 1.
        """
        NUM_SAMPLES.check(num_samples)
        shuffled = np.random.default_rng(seed).permutation(len(self._kept))
        self._kept = self._kept[np.sort(shuffled[:num_samples])]

    def restrict(self, chosen: np.ndarray) -> None:
        """Keep the examples for which `chosen`, (N,) bool, is true."""
        self._kept = self._kept[chosen]

    def stratum(self, index: int) -> tuple[str, str]:
        """Return the class of example `index`, and its name within the class: what a division depends on.

        With several labels per image there is one class, "".
        """
        position = int(self._kept[index])
        name = "" if self.is_multi_label else self.class_names[self._all_labels[position]]
        return name, self._member(position)

    def has_exactly(self, class_names: Sequence[str]) -> bool:
        """Whether the classes have exactly these names, in any order."""
        numbers = self._numbers_in(class_names)
        return None not in numbers and len(set(numbers)) == len(class_names)

    def label_by(self, class_names: Sequence[str], owner: str) -> None:
        """Number the classes by their position in `class_names`, which may contain more than the split has.

        Args:
            owner: whose classes these are, for the message.
        Raises:
            UnknownClassError: if the split has a class that is not among them.
        """
        numbers = self._numbers_in(class_names)
        unknown = [name for name, number in zip(self.class_names, numbers, strict=True) if number is None]
        if unknown:
            hint = did_you_mean(unknown[0], list(class_names))
            raise UnknownClassError(
                f"split {self.split!r} of data set {self.name!r} has {counted(unknown)} that {owner} does not know: "
                f"{listed(map(repr, unknown))}.{hint}\nThe {counted(class_names)} of {owner}: "
                f"{listed(map(repr, class_names))}. Each class of the data set must be one of them."
            )
        if self.is_multi_label:
            rows = np.zeros((len(self._all_labels), len(class_names)), bool)
            rows[:, np.array(numbers, int)] = self._all_labels
            self._all_labels = rows
        else:
            self._all_labels = np.asarray(numbers, np.int32)[self._all_labels]
        self.class_names = tuple(class_names)

    def allow_several_labels(self, owner: str, *, wanted: bool) -> None:
        """Give every image a row of labels, as the training split has, even if each has only one here.

        Args:
            owner: whose kind of labels is `wanted`, for the message.
        Raises:
            ValueError: if images have several labels, though one is wanted.
        """
        if self.is_multi_label and not wanted:
            raise ValueError(
                f"split {self.split!r} of data set {self.name!r} has several labels per image; an image of {owner} has "
                "one."
            )
        if wanted and not self.is_multi_label:
            self._all_labels = np.eye(len(self.class_names), dtype=bool)[self._all_labels]
            self.is_multi_label = True

    def remark_on_missing_classes(self) -> None:
        """Add to `remarks` the classes without examples."""
        labels = self.labels
        counts = labels.sum(0) if self.is_multi_label else np.bincount(labels, minlength=len(self.class_names))
        missing = [name for name, count in zip(self.class_names, counts, strict=True) if not count]
        if missing:
            self.remarks.append(
                f"{len(missing):,} of {counted(self.class_names)} have no image in split {self.split!r} of "
                f"{self.name!r}: {listed(map(repr, missing))}"
            )

    def _numbers_in(self, class_names: Sequence[str]) -> list[int | None]:
        """Return the position in `class_names` of each class of this split."""
        numbers = {normalize("NFC", name): number for number, name in enumerate(class_names)}
        numbers |= {name: number for number, name in enumerate(class_names)}
        # Systems differ in how they encode an accent (NFC or NFD); the name is the same.
        return [numbers.get(name, numbers.get(normalize("NFC", name))) for name in self.class_names]

    @property
    def labels(self) -> np.ndarray:
        labels = self._all_labels[self._kept]
        return labels.astype(np.float32) if self.is_multi_label else labels

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, index: int) -> tuple[np.ndarray, Label]:
        """Return example `index`: (image, label).

        The image is (H, W, channels) uint8, or the 1-D uint8 bytes of a file if `encoded`; the label is an int32, with
        several labels per image (K,) float32.

        Raises:
            IndexError: past the last example.
            ValueError: if the image cannot be read; the message contains its path.
        """
        position = int(self._kept[index])
        label = self._all_labels[position]
        return self._image(position), label.astype(np.float32) if self.is_multi_label else label

    def where(self, index: int) -> str:
        """Return where example `index` is stored: its path, or its file and record number."""
        return self._describe(int(self._kept[index]))

    @abstractmethod
    def _image(self, position: int) -> np.ndarray: ...

    @abstractmethod
    def _describe(self, position: int) -> str: ...

    def _member(self, position: int) -> str:
        """Return a name that does not depend on where the data set is stored."""
        return str(position)


class ArrayDataset(Dataset):
    """A data set whose pixels are in memory.

    Args:
        images: (N, H, W, C) uint8 with C 1 or 3.
        labels: (N,) integers.
        files: (description, number of records) of each file that the examples come from, in order.
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


def counted(class_names: Sequence[str]) -> str:
    """Return for example "1 class" or "1,000 classes"."""
    return f"{len(class_names):,} class{'es' * (len(class_names) != 1)}"


def check_split(name: str, split: str, legal: Sequence[str]) -> None:
    """Raise a ValueError that lists the legal splits unless `split` is one of them."""
    if split not in legal:
        raise ValueError(f"data set {name!r} has no split {split!r}; it has {' and '.join(map(repr, legal))}.")
