"""The part of MindSpore's data sets that `mindspore.Model` and code written for MindCV call, for the loader."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np
from mindspore import Tensor


class AsDataset(ABC):
    """Successive epochs, counted from 1 as in train.py: each iteration over the object is the next one.

    `mindspore.Model.train`, `.fit` and `.eval` accept it in place of a data set, unless `dataset_sink_mode` feeds a
    device from MindSpore's own pipeline.
    """

    _begun = 0  # epochs

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def epoch(self, epoch: int, start: int = 0) -> Generator[tuple[np.ndarray, np.ndarray], None, None]: ...

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The next epoch: (images, labels) as tensors."""
        return self.create_tuple_iterator()

    def get_dataset_size(self) -> int:
        """Batches per epoch."""
        return len(self)

    def create_tuple_iterator(
        self, num_epochs: int = -1, output_numpy: bool = False, do_copy: bool = True
    ) -> Iterator[Any]:
        """An iterator over (images, labels), as a data set of MindSpore has it: it ends after each epoch, and goes on
        with the next one if it is asked again.

        Args:
            num_epochs: epochs after which it gives nothing more; -1: no limit.
            output_numpy: give NumPy arrays, not tensors.
            do_copy: without effect: no two batches share memory.
        """
        return _Epochs(self, num_epochs, output_numpy)

    def create_dict_iterator(
        self, num_epochs: int = -1, output_numpy: bool = False, do_copy: bool = True
    ) -> Iterator[dict[str, Any]]:
        """The same with {"image": images, "label": labels}."""
        return _Named(self, num_epochs, output_numpy)

    def reset(self) -> None:  # noqa: B027  (no subclass needs another one)
        """What `mindspore.Model` calls after an epoch. Nothing is left to do: an iteration is the next epoch anyway."""

    def begin_epoch(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The batches of the epoch after the one that was begun last."""
        self._begun += 1
        return self.epoch(self._begun)


class _Epochs:
    def __init__(self, loader: AsDataset, num_epochs: int, output_numpy: bool) -> None:
        self._loader, self._left, self._output_numpy = loader, num_epochs, output_numpy
        self._batches: Iterator[tuple[np.ndarray, np.ndarray]] | None = None

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._batches is None:
            if self._left == 0:
                raise StopIteration
            self._left -= 1
            self._batches = self._loader.begin_epoch()
        try:
            images, labels = next(self._batches)
        except StopIteration:
            self._batches = None
            raise
        return self._given(*((images, labels) if self._output_numpy else (Tensor(images), Tensor(labels))))

    def _given(self, images: Any, labels: Any) -> Any:
        return images, labels


class _Named(_Epochs):
    def _given(self, images: Any, labels: Any) -> Any:
        return {"image": images, "label": labels}
