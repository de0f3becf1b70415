"""Reading the examples of an epoch, with substitutes for images that cannot be read."""

import io
import threading
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain

import mindspore.dataset.vision as vision
import numpy as np
from PIL import Image

from mindcv.arguments import BAD_IMAGE_LIMIT, ON_BAD_IMAGE
from mindcv.data.dataset import Dataset, Label
from mindcv.data.image_file import BadImageError, why_not_decoded

NO_LABEL = -1  # of the grey image that replaces a bad one in evaluation
SHOWN = 5  # bad images listed in a message
READER = "mindcv-reader"  # name of the threads that read ahead
AHEAD = 8  # rows that each thread may read ahead, to hide a slow disk


class ExampleReader:
    """Reads a loader's examples and applies the policy for bad images, which are read only once.

    Args:
        dataset: the examples.
        policy: "stop": the first bad image ends the run. "skip": it is replaced.
        limit: with "skip", more bad images than this end the run.
        replace: the replacement with "skip". True, for training: the next good example of the epoch's order, which
            wraps around. False: a grey image with the label `NO_LABEL` (with several labels per image a row of it),
            which evaluation leaves out. Both depend only on the order and on which images are bad.

    Raises:
        ValueError: for an unknown policy or a limit below 1.
    """

    def __init__(self, dataset: Dataset, policy: str, limit: int, *, replace: bool) -> None:
        ON_BAD_IMAGE.check(policy)
        BAD_IMAGE_LIMIT.check(limit)
        self._found: dict[str, str] = {}
        self._dataset, self._policy, self._limit, self._replace = dataset, policy, limit, replace
        self._lock = threading.Lock()  # several threads of MindData read examples

    def read(self, order: np.ndarray, place: int) -> tuple[np.ndarray, Label]:
        """Return the example (image, label) at `place` of an epoch's order, or its replacement.

        Raises:
            ValueError: if a bad image ends the run.
        """
        for position in self._candidates(order, place):
            try:
                return self._dataset[position]
            except ValueError as error:
                reason = _reason(error)
            self.add(position, reason)
        if self._replace:
            raise ValueError(f"not one of the images can be read. {self._listed()}")
        classes = len(self._dataset.class_names)
        label = np.full(classes, NO_LABEL, np.float32) if self._dataset.is_multi_label else np.int32(NO_LABEL)
        return _grey_image(self._dataset), label

    def found(self) -> dict[str, str]:
        """Return location -> reason of the bad images, in the order found."""
        with self._lock:
            return dict(self._found)

    def position(self, order: np.ndarray, place: int) -> int | None:
        """Return the position that `read` gives, by what is known so far; None for the grey image."""
        return next(iter(self._candidates(order, place)), None)

    def why_not_decoded(self, position: int) -> str | None:
        """Return why MindData's decoder rejects an image; None if it does not."""
        if not self._dataset.encoded:
            return None
        try:
            content, _ = self._dataset[position]
        except ValueError as error:
            return _reason(error)
        try:
            vision.Decode()(content)
        except RuntimeError as error:  # gives no reason
            return why_not_decoded(content, error)
        return None

    def add(self, position: int, reason: str) -> None:
        """Record a bad example.

        Raises:
            ValueError: if it ends the run.
        """
        where = self._dataset.where(position)
        if self._policy == "stop":
            raise ValueError(
                f"cannot read the image {where}: {reason}. on_bad_image=skip leaves such images out; "
                "`python validate.py --check_data` lists them."
            )
        with self._lock:
            if len(self._found) <= self._limit:  # threads that read ahead find more; all give the same message
                self._found.setdefault(where, reason)
            if len(self._found) > self._limit:
                raise ValueError(
                    f"{len(self._found)} images cannot be read, more than bad_image_limit={self._limit}. "
                    f"{self._listed()}"
                )

    def _candidates(self, order: np.ndarray, place: int) -> Iterable[int]:
        """Yield the positions in the data set that may be used at `place`, without those known to be bad."""
        places = chain(range(place, len(order)), range(place)) if self._replace else (place,)
        for candidate in places:
            position = int(order[candidate])
            if not self._found or self._dataset.where(position) not in self._found:
                yield position

    def _listed(self) -> str:
        listed = [f"  {where}: {reason}" for where, reason in list(self._found.items())[:SHOWN]]
        if len(self._found) > SHOWN:
            listed.append(f"  and {len(self._found) - SHOWN} more")
        return "\n".join(
            [
                f"In data set {self._dataset.name!r}, split {self._dataset.split!r}:",
                *listed,
                "Repair or remove them; `python validate.py --check_data` with the same data set lists all of them.",
            ]
        )


class Rows:
    """Part of an epoch's order, as a source for MindData's GeneratorDataset, which asks for one row after another.

    Our own threads read ahead: those of GeneratorDataset take 0.1 s to deliver the first row.

    Args:
        examples: reads the examples.
        order: positions in the data set, of the whole epoch.
        places: which of them.
        readers: threads that read ahead; with 1 a row is read when it is requested.
        numbered: whether a row is (image, label, place) instead of (image, label).
    """

    def __init__(
        self, examples: ExampleReader, order: np.ndarray, places: range, readers: int, *, numbered: bool = False
    ) -> None:
        self._examples, self._order, self._places, self._numbered = examples, order, places, numbered
        self.error: Exception | None = None  # the first one: MindData turns exceptions into a RuntimeError
        self._pool = ThreadPoolExecutor(readers, READER) if readers > 1 else None
        self._ahead = AHEAD * readers
        self._coming: deque[Future] = deque()  # the next rows, in order
        self._submitted = 0

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> tuple[np.ndarray, Label] | tuple[np.ndarray, Label, np.int64]:
        try:
            image, label = self._read(index) if self._pool is None else self._read_ahead(self._pool, index)
            return (image, label, np.int64(self._places[index])) if self._numbered else (image, label)
        except Exception as error:
            self.error = self.error or error
            raise

    def close(self) -> None:
        """End the threads; no row may be requested after this."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _read(self, index: int) -> tuple[np.ndarray, Label]:
        return self._examples.read(self._order, self._places[index])

    def _read_ahead(self, pool: ThreadPoolExecutor, index: int) -> tuple[np.ndarray, Label]:
        assert index == self._submitted - len(self._coming), "rows are requested in order"
        stop = min(index + self._ahead, len(self))
        self._coming.extend(pool.submit(self._read, each) for each in range(self._submitted, stop))
        self._submitted = stop
        return self._coming.popleft().result()

    def positions(self, start: int, stop: int) -> list[int]:
        """Return the positions that rows `start` to `stop` give, by what is known so far, without the grey images."""
        positions = [self._examples.position(self._order, place) for place in self._places[start:stop]]
        return [position for position in positions if position is not None]


def _reason(error: ValueError) -> str:
    return error.reason if isinstance(error, BadImageError) else str(error)


def _grey_image(dataset: Dataset) -> np.ndarray:
    """Return a grey image in the data set's format."""
    if not dataset.encoded:
        return np.full((8, 8, dataset.channels), 128, np.uint8)
    bitmap = io.BytesIO()
    Image.new("RGB", (8, 8), (128, 128, 128)).save(bitmap, "BMP")
    return np.frombuffer(bitmap.getvalue(), np.uint8)
