"""Batches in a reproducible order, read and augmented by MindData's C++ threads."""

import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import mindspore.dataset as ds
import mindspore.dataset.vision as vision
import numpy as np

from mindcv.data.dataset import Dataset
from mindcv.data.transforms import IMAGENET_MEAN, IMAGENET_STD, create_batch_transforms, create_transforms

MAX_DEFAULT_WORKERS = 8
# Batches that MindData keeps ready per stage. Its default of 16 can hold more than a gigabyte at 224x224.
PREFETCH = 4


class Loader:
    """Gives the batches of any epoch of a data set.

    Order: epoch e of seed s is a permutation drawn from (s, e) alone, so it does not depend on the number of workers,
    on earlier epochs or on other random numbers; without `shuffle` it is the data set's order. Augmentation is seeded
    by (seed, epoch, shard) and repeats exactly for the same number of workers.

    Args:
        dataset: the examples.
        transforms: operations on one image, from `create_transforms`.
        batch_size: examples per batch.
        shuffle: whether each epoch has an order of its own.
        drop_remainder: leave out the last examples that do not fill a batch; every shard then has the same number
            of batches. Otherwise the last batch is short.
        num_parallel_workers: threads; None means one per core, at most 8.
        seed: of the order and the augmentation.
        num_shards, shard_id: this loader gives every `num_shards`-th example of the order, from `shard_id` on.
        batch_transforms: operations on finished batches with a random generator, from `create_batch_transforms`.

    Raises:
        ValueError: if a number is out of range, or `drop_remainder` leaves no batch.
    """

    def __init__(
        self,
        dataset: Dataset,
        transforms: Sequence[Callable[[np.ndarray], np.ndarray]],
        batch_size: int,
        *,
        shuffle: bool,
        drop_remainder: bool,
        num_parallel_workers: int | None = None,
        seed: int = 42,
        num_shards: int = 1,
        shard_id: int = 0,
        batch_transforms: Sequence[Callable[[np.ndarray, np.random.Generator], np.ndarray]] = (),
    ) -> None:
        cores = os.cpu_count() or 1
        if num_parallel_workers is None:
            num_parallel_workers = min(cores, MAX_DEFAULT_WORKERS)
        if not 1 <= num_parallel_workers <= cores:
            raise ValueError(
                f"num_parallel_workers must be from 1 to the {cores} cores of this machine; got {num_parallel_workers}."
            )
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1; got {batch_size}.")
        if not 0 <= shard_id < num_shards:
            raise ValueError(f"shard_id must be from 0 to num_shards - 1 = {num_shards - 1}; got {shard_id}.")
        if seed < 0:
            raise ValueError(f"seed must be at least 0; got {seed}.")
        self.dataset, self.batch_size, self.num_parallel_workers = dataset, batch_size, num_parallel_workers
        self._transforms, self._batch_transforms = list(transforms), list(batch_transforms)
        self._shuffle, self._seed, self._num_shards, self._shard_id = shuffle, seed, num_shards, shard_id

        if drop_remainder:  # the smallest shard decides, else ranks would wait for each other's missing batches
            self.num_examples = len(dataset) // num_shards // batch_size * batch_size
            if self.num_examples == 0:
                shards = f" in {num_shards} shards" if num_shards > 1 else ""
                raise ValueError(
                    f"batch_size={batch_size} is more than the {len(dataset)} examples of {dataset.name!r} "
                    f"({dataset.split}){shards}: no full batch. Lower batch_size or turn drop_remainder off."
                )
        else:
            self.num_examples = len(range(shard_id, len(dataset), num_shards))

    def __len__(self) -> int:
        """Batches per epoch."""
        return -(-self.num_examples // self.batch_size)

    def order(self, epoch: int) -> np.ndarray:
        """Return the (num_examples,) positions in the data set that epoch `epoch` of this shard goes through."""
        count = len(self.dataset)
        order = np.random.default_rng((self._seed, epoch)).permutation(count) if self._shuffle else np.arange(count)
        return order[self._shard_id :: self._num_shards][: self.num_examples]

    def epoch(self, epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Give the batches of one epoch: images (B, C, H, W) float32, labels (B,) int32.

        Raises:
            ValueError: with its path, for an image that cannot be read.
        """
        order = self.order(epoch)
        if len(order) == 0:
            return
        rows = _Rows(self.dataset, order)
        augmentation_seed = np.random.SeedSequence((self._seed, epoch, self._shard_id))
        with _minddata_settings(int(augmentation_seed.generate_state(1)[0])):
            iterator = self._pipeline(rows).create_tuple_iterator(num_epochs=1, output_numpy=True, do_copy=False)
        batch_index = 0
        try:
            while True:
                try:
                    images, labels = next(iterator)
                except StopIteration:
                    return
                except RuntimeError as error:
                    raise self._explain(error, rows, order[batch_index * self.batch_size :]) from None
                rng = np.random.default_rng((self._seed, epoch, self._shard_id, batch_index))
                for transform in self._batch_transforms:
                    images = transform(images, rng)
                yield images, labels
                batch_index += 1
        finally:  # also when the caller leaves the loop: ends MindData's threads
            iterator.stop()

    def _pipeline(self, rows: "_Rows") -> ds.Dataset:
        workers = self.num_parallel_workers
        # Reading and checking files leaves Python's lock free for other threads; taking pixels from memory does not.
        readers = workers if self.dataset.encoded else 1
        pipeline = ds.GeneratorDataset(
            rows, ["image", "label"], shuffle=False, num_parallel_workers=readers, python_multiprocessing=False
        )
        if self._transforms:
            pipeline = pipeline.map(self._transforms, "image", num_parallel_workers=workers)
        return pipeline.batch(self.batch_size, num_parallel_workers=1)

    def _explain(self, error: RuntimeError, rows: "_Rows", remaining: np.ndarray) -> Exception:
        """Return the exception to raise for MindData's `error`, which does not say which image it was."""
        if rows.error is not None:
            return rows.error
        if self.dataset.encoded:
            # The culprit is in one of the batches under way. A cut JPEG passes the check of its header.
            in_flight = remaining[: self.batch_size * (PREFETCH + 2) + PREFETCH * (self.num_parallel_workers + 2)]
            decode = vision.Decode()
            for index in in_flight:
                try:
                    decode(self.dataset[int(index)][0])
                except RuntimeError:
                    return ValueError(f"cannot decode the image {self.dataset.where(int(index))}: it is cut or broken.")
        return error


class _Rows:
    """The examples in the order of one epoch, as MindData's GeneratorDataset reads them."""

    def __init__(self, dataset: Dataset, order: np.ndarray) -> None:
        self._dataset, self._order = dataset, order
        self.error: Exception | None = None  # MindData's threads turn exceptions into a RuntimeError: keep the first

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.int32]:
        try:
            return self._dataset[int(self._order[index])]
        except Exception as error:
            self.error = self.error or error
            raise


@contextmanager
def _minddata_settings(seed: int) -> Iterator[None]:
    """Set MindData's seed and prefetch for pipelines started within; nobody else's random state is disturbed."""
    before = ds.config.get_seed(), ds.config.get_prefetch_size()
    python_state, numpy_state = random.getstate(), np.random.get_state()
    ds.config.set_seed(seed)
    ds.config.set_prefetch_size(PREFETCH)
    try:
        yield
    finally:
        ds.config.set_seed(before[0])
        ds.config.set_prefetch_size(before[1])
        random.setstate(python_state)  # MindData's set_seed seeds these two as well
        np.random.set_state(numpy_state)


def create_loader(
    dataset: Dataset,
    *,
    is_training: bool,
    batch_size: int = 64,
    seed: int = 42,
    shuffle: bool | None = None,
    drop_remainder: bool | None = None,
    num_parallel_workers: int | None = None,
    num_shards: int = 1,
    shard_id: int = 0,
    image_resize: int = 224,
    in_channels: int = 3,
    interpolation: str = "bilinear",
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    crop_pct: float = 0.875,
    scale: Sequence[float] = (0.08, 1.0),
    ratio: Sequence[float] = (3 / 4, 4 / 3),
    hflip: float = 0.5,
    vflip: float = 0.0,
    color_jitter: float | Sequence[float] | None = 0.4,
    random_crop_padding: int | None = None,
    re_prob: float = 0.0,
    re_scale: Sequence[float] = (0.02, 0.33),
    re_ratio: Sequence[float] = (0.3, 3.3),
    re_value: int | str = 0,
) -> Loader:
    """Return the loader of `dataset` with its transforms.

    Args:
        is_training: whether to augment.
        batch_size, seed, num_parallel_workers, num_shards, shard_id: see `Loader`.
        shuffle, drop_remainder: see `Loader`; None means as `is_training`.
        image_resize to random_crop_padding: see `create_transforms`.
        re_prob to re_value: see `create_batch_transforms`; for training only.

    Raises:
        ValueError: as `Loader`, `create_transforms` and `create_batch_transforms` do.
    """
    transforms = create_transforms(
        is_training=is_training,
        image_resize=image_resize,
        in_channels=in_channels,
        interpolation=interpolation,
        mean=mean,
        std=std,
        crop_pct=crop_pct,
        scale=scale,
        ratio=ratio,
        hflip=hflip,
        vflip=vflip,
        color_jitter=color_jitter,
        random_crop_padding=random_crop_padding,
        encoded=dataset.encoded,
        channels=dataset.channels,
    )
    erasing = create_batch_transforms(re_prob=re_prob, re_scale=re_scale, re_ratio=re_ratio, re_value=re_value)
    return Loader(
        dataset,
        transforms,
        batch_size,
        shuffle=is_training if shuffle is None else shuffle,
        drop_remainder=is_training if drop_remainder is None else drop_remainder,
        num_parallel_workers=num_parallel_workers,
        seed=seed,
        num_shards=num_shards,
        shard_id=shard_id,
        batch_transforms=erasing if is_training else (),
    )
