"""Consecutive batches of an epoch from MindData's C++ threads."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import mindspore.dataset as ds
import numpy as np

from mindcv.data.examples import ExampleReader, Rows
from mindcv.data.random_stage import RandomStage
from mindcv.data.transforms import ImageTransform
from mindcv.faults import is_machine_error

# Batches that MindData prefetches per stage. Its default of 16 can take more than a gigabyte at 224x224.
PREFETCH = 4


class Segment:
    """Consecutive batches of an epoch, in order: images (views * B, C, H, W) and labels (views * B,).

    Random numbers of MindData's transforms depend on the seed, on all earlier examples of the segment and on the number
    of workers. So if the decoder fails at an image to be skipped, the segment restarts with its replacement. Those of a
    `RandomStage` depend on `stream` and the example's place in the epoch alone.

    Args:
        order: positions in the data set, of the whole epoch.
        batches: numbers of the batches in the epoch.
        transforms: operations on one image.
        batch_size: examples per batch; the epoch's last batch may be short.
        examples: reads the examples.
        readers: threads that read examples.
        workers: threads that apply the transforms.
        seed: of MindData's transforms.
        stream: what the random numbers of each `RandomStage` depend on, besides the example's place.
        views: of each example; a batch is first all of view 0, then all of view 1, and so on. View 0 is without the
            stages for views (`RandomStage.of_views`), each other one draws its own. With 1 the only view is
            augmented.
    """

    def __init__(
        self,
        order: np.ndarray,
        batches: range,
        transforms: Sequence[ImageTransform | RandomStage],
        batch_size: int,
        examples: ExampleReader,
        *,
        readers: int,
        workers: int,
        seed: int,
        stream: tuple[int, ...],
        views: int = 1,
    ) -> None:
        self.batches = batches
        self._order = order
        self._places = range(batches.start * batch_size, min(batches.stop * batch_size, len(order)))
        self._batch_size, self._examples = batch_size, examples
        self._readers, self._workers, self._seed = readers, workers, seed
        self._key, self._views = np.random.SeedSequence(stream).generate_state(2, np.uint64), views
        self._runs = _runs(transforms)
        self._is_placed = any(isinstance(run, RandomStage) for run in self._runs)
        split = any(isinstance(run, RandomStage) and run.of_views for run in self._runs)
        assert views == 1 or split, "without a random stage all views would be the same"
        self._start()

    def batch(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return batch `number` of the epoch; batches between the last one and it are prepared and discarded.

        Raises:
            ValueError: for a bad image that is not skipped, or if there are too many.
            RuntimeError: from MindData, for anything else.
        """
        while True:
            try:
                while self._next < number:
                    self._take()
                return self._take()
            except RuntimeError as error:
                failure = error
            self._handle_failure(failure)
            self.close()
            self._start()

    def close(self) -> None:
        """End MindData's threads."""
        self._iterator.stop()
        self._rows.close()

    def _start(self) -> None:
        self._rows = Rows(self._examples, self._order, self._places, self._readers, numbered=self._is_placed)
        self._next = self.batches.start
        pipeline = ds.GeneratorDataset(
            self._rows,
            ["image", "label", "place"] if self._is_placed else ["image", "label"],
            shuffle=False,
            num_parallel_workers=1,
            python_multiprocessing=False,
        )
        views = ["image"]
        for number, run in enumerate(self._runs):
            if isinstance(run, RandomStage):
                augment, before = self._at_places(run, number), [*views, "place"]
                if run.of_views:
                    views += [f"view {view}" for view in range(1, self._views)]
                pipeline = pipeline.map(
                    [augment],
                    before,
                    [*views, "place"],
                    num_parallel_workers=self._workers,
                    python_multiprocessing=False,
                )
            else:
                for view in views:
                    pipeline = pipeline.map(run, view, num_parallel_workers=self._workers)
        if self._is_placed:
            pipeline = pipeline.project([*views, "label"])
        pipeline = pipeline.batch(self._batch_size, num_parallel_workers=1)
        with _minddata_settings(self._seed):
            self._iterator = pipeline.create_tuple_iterator(num_epochs=1, output_numpy=True, do_copy=False)

    def _at_places(self, stage: RandomStage, number: int) -> Callable[..., tuple[np.ndarray, ...]]:
        """Return (image, place) -> its views and its place; `number` tells the stages of an example apart."""

        def rng(place: np.ndarray, view: int) -> np.random.Generator:
            # Its counter may start anywhere, which takes a third of the time of seeding another generator.
            return np.random.Generator(np.random.Philox(key=self._key, counter=(0, int(place), view, number)))

        def views(image: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, ...]:
            if not stage.of_views or self._views == 1:
                return stage(image, rng(place, 0)), place
            return image, *(stage(image, rng(place, view)) for view in range(1, self._views)), place

        return views

    def _take(self) -> tuple[np.ndarray, np.ndarray]:
        *views, labels = next(self._iterator)
        self._next += 1
        return (views[0], labels) if len(views) == 1 else (np.concatenate(views), np.concatenate([labels] * len(views)))

    def _handle_failure(self, error: RuntimeError) -> None:
        """Record the image at which MindData failed; raise the error if there is none, or if it ends the run."""
        if self._rows.error is not None:
            raise self._rows.error from None
        if is_machine_error(error):
            raise error
        # The error does not name the image: search the batches in progress.
        start = (self._next - self.batches.start) * self._batch_size
        count = self._batch_size * (PREFETCH + 2) + PREFETCH * (self._workers + 2)
        found = False
        for position in self._rows.positions(start, start + count):
            reason = self._examples.why_not_decoded(position)
            if reason is not None:
                self._examples.add(position, reason)
                found = True
        if not found:
            raise error


def _runs(transforms: Sequence[ImageTransform | RandomStage]) -> list[RandomStage | list[ImageTransform]]:
    """Return the transforms with those between random stages together, each a step of the pipeline."""
    runs: list[RandomStage | list[ImageTransform]] = []
    for transform in transforms:
        if isinstance(transform, RandomStage):
            runs.append(transform)
        elif runs and isinstance(runs[-1], list):
            runs[-1].append(transform)
        else:
            runs.append([transform])
    return runs


@contextmanager
def _minddata_settings(seed: int) -> Iterator[None]:
    """Set MindData's seed and prefetch for pipelines started within; other random states are restored."""
    before = ds.config.get_seed(), ds.config.get_prefetch_size()
    python_state, numpy_state = random.getstate(), np.random.get_state()
    ds.config.set_seed(seed)
    ds.config.set_prefetch_size(PREFETCH)
    try:
        yield
    finally:
        ds.config.set_seed(before[0])
        ds.config.set_prefetch_size(before[1])
        random.setstate(python_state)  # MindData's set_seed seeds these two as well (MindSpore 2.10)
        np.random.set_state(numpy_state)
