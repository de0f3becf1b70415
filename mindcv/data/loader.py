"""Batches in a reproducible order, read and augmented by MindData's C++ threads."""

import os
from collections.abc import Generator, Sequence

import numpy as np

from mindcv.arguments import AUG_REPEATS, AUG_SPLITS, BAD_IMAGE_LIMIT, BATCH_SIZE, ON_BAD_IMAGE, SAMPLER, SEED
from mindcv.data.as_dataset import AsDataset
from mindcv.data.dataset import Dataset
from mindcv.data.examples import ExampleReader
from mindcv.data.pipeline import Segment
from mindcv.data.random_stage import RandomStage
from mindcv.data.sampling import balanced_order
from mindcv.data.threads import count_workers
from mindcv.data.transforms import BatchTransforms, ImageTransform
from mindcv.distributed import ALONE, World

# Batches per pipeline; each pipeline has its own seed. An epoch that starts inside a segment prepares the segment's
# earlier batches and discards them.
SEGMENT = 256


class Loader(AsDataset):
    """The batches of any epoch of a data set.

    `epoch(n)` gives any epoch, as NumPy arrays; an iteration over the loader gives the next one, as tensors.

    Order: epoch e of seed s is a permutation drawn from (s, e) alone, independent of the number of workers, of earlier
    epochs and of other random numbers; without `shuffle` it is the data set's order. MindData's augmentation is seeded
    by (seed, epoch, rank, batch // SEGMENT) and repeats exactly for the same number of workers; a `RandomStage` by
    (seed, epoch, rank, place in the order), for any number.

    A bad image, one that cannot be read or decoded, ends the run or is skipped. Skipping is reproducible and does not
    change the number of batches: see `ExampleReader`.

    Args:
        dataset: the examples.
        transforms: operations on one image, from `create_transforms`.
        is_training: "skip" replaces a bad image by the next good example of the epoch, with its label; in evaluation
            by a grey image with the label -1, which `mindcv.engine.evaluate` leaves out.
        batch_size: examples per batch.
        shuffle: whether to shuffle each epoch; None: as `is_training`.
        sampler: of shuffled epochs. "uniform": each example once. "balanced": as many examples, of which each class
            gives equally many on average (`balanced_order`).
        aug_repeats: repeated augmentation: how often an epoch has each of its examples, one after another, so that
            shards have different augmentations of it. The epoch keeps its length and has the first examples of the
            permutation only. 0 or 1: off. Source: Hoffer et al. 2020, "Augment Your Batch"; as in timm and MindCV.
        aug_splits: augmentation splits: how many views of each example a batch has: the batch_size first views, which
            the random stages of `transforms` for views leave alone, then as many second ones, and so on. Views share
            crop and flip; labels are repeated. 0 or 1: one view, with those stages. Source: Hendrycks et al. 2020,
            "AugMix", section 3; as in timm and MindCV.
        drop_remainder: leave out the last examples that do not fill a batch. Otherwise the last batch is short. None:
            as `is_training`.
        num_parallel_workers: threads; None means one per core, at most 8.
        seed: of the order and the augmentation.
        world: the processes; this loader gives every `size`-th example of the order, from `rank` on. In training all
            have equally many, and fewer than `size` of the last ones are left out.
        batch_transforms: number of an epoch -> operations (images, labels, random generator) -> (images, labels) on
            its finished batches, from `create_batch_transforms`.
        on_bad_image: "stop" or "skip".
        bad_image_limit: with "skip", more bad images than this end the run.

    Raises:
        ValueError: if a number is out of range, `drop_remainder` leaves no batch, examples that have several labels
            are to be balanced, examples are to be repeated without shuffling, or views would not differ.
    """

    def __init__(
        self,
        dataset: Dataset,
        transforms: Sequence[ImageTransform | RandomStage],
        *,
        is_training: bool,
        batch_size: int = BATCH_SIZE.default,
        shuffle: bool | None = None,
        sampler: str = SAMPLER.default,
        aug_repeats: int = AUG_REPEATS.default,
        aug_splits: int = AUG_SPLITS.default,
        drop_remainder: bool | None = None,
        num_parallel_workers: int | None = None,
        seed: int = SEED.default,
        world: World = ALONE,
        batch_transforms: BatchTransforms = lambda epoch: (),
        on_bad_image: str = ON_BAD_IMAGE.default,
        bad_image_limit: int = BAD_IMAGE_LIMIT.default,
    ) -> None:
        cores = os.cpu_count() or 1
        num_parallel_workers = count_workers(num_parallel_workers, world.size)
        if num_parallel_workers > cores:
            raise ValueError(
                f"num_parallel_workers must be from 1 to the {cores} cores of this machine; got {num_parallel_workers}."
            )
        BATCH_SIZE.check(batch_size)
        SEED.check(seed)
        SAMPLER.check(sampler)
        if sampler == "balanced" and dataset.is_multi_label:
            raise ValueError(f"sampler='balanced' needs one label per image; data set {dataset.name!r} has several.")
        self.dataset, self.batch_size, self.num_parallel_workers = dataset, batch_size, num_parallel_workers
        self._transforms, self._batch_transforms = list(transforms), batch_transforms
        self._shuffle = is_training if shuffle is None else shuffle
        self._is_balanced = sampler == "balanced"
        AUG_REPEATS.check(aug_repeats)
        self._repeats = max(aug_repeats, 1)
        if self._repeats > 1 and not self._shuffle:
            raise ValueError(
                f"aug_repeats={aug_repeats} without shuffle would leave out the same examples in every epoch: an epoch "
                f"has one in {aug_repeats} of them. Turn shuffle on, or set aug_repeats to 0."
            )
        AUG_SPLITS.check(aug_splits)
        self._views = max(aug_splits, 1)
        if self._views > 1 and not any(isinstance(step, RandomStage) and step.of_views for step in transforms):
            raise ValueError(
                f"aug_splits={aug_splits} gives several views of an image, but nothing would make them differ: set "
                "auto_augment, color_jitter_prob, grayscale_prob or gaussian_blur_prob, or aug_splits to 0."
            )
        self._seed, self._world = seed, world
        self._examples = ExampleReader(dataset, on_bad_image, bad_image_limit, replace=is_training)

        drops = is_training if drop_remainder is None else drop_remainder
        if drops or is_training:  # then every process needs as many batches of the same sizes
            self.num_examples = len(dataset) // world.size
            self.num_examples -= self.num_examples % batch_size if drops else 0
        else:
            self.num_examples = len(range(world.rank, len(dataset), world.size))
        if is_training and len(dataset) < world.size > 1:
            raise ValueError(
                f"{world.size} processes need an example each to train on; {dataset.name!r} ({dataset.split}) has "
                f"{len(dataset)}: use fewer processes."
            )
        if self.num_examples == 0 and drops:
            shards = f" in {world.size} shards" if world.size > 1 else ""
            raise ValueError(
                f"batch_size={batch_size} is more than the {len(dataset)} examples of {dataset.name!r} "
                f"({dataset.split}){shards}: no full batch. Lower batch_size or turn drop_remainder off."
            )

    def __len__(self) -> int:
        """Batches per epoch."""
        return -(-self.num_examples // self.batch_size)

    def order(self, epoch: int) -> np.ndarray:
        """Return the (num_examples,) positions in the data set of epoch `epoch` of this shard."""
        count = len(self.dataset)
        rng = np.random.default_rng((self._seed, epoch))
        if self._shuffle and self._is_balanced:
            order = balanced_order(self.dataset.labels, rng)
        else:
            order = rng.permutation(count) if self._shuffle else np.arange(count)
        order = order.repeat(self._repeats)[:count]
        return order[self._world.rank :: self._world.size][: self.num_examples]

    @property
    def smallest_batch(self) -> int:
        """Examples in the last batch of an epoch."""
        return self.num_examples % self.batch_size or self.batch_size

    @property
    def bad_images(self) -> dict[str, str]:
        """Location -> reason of the images skipped so far, in the order found.

        MindData's threads read ahead, so a few may belong to later batches.
        """
        return self._examples.found()

    def epoch(self, epoch: int, start: int = 0) -> Generator[tuple[np.ndarray, np.ndarray], None, None]:
        """Yield the batches of one epoch: images (B, C, H, W) float32 and labels (B,) int32, with several labels
        per image (B, K) float32; or the result of the batch transforms. With `aug_splits`, B is that times as large.

        Args:
            epoch: its number.
            start: the first batch to give, from 0. The batches are bit-identical to those of the whole epoch. Of the
                earlier ones the last `start % SEGMENT` are prepared and discarded, the others not read.

        Raises:
            ValueError: for an image that cannot be read (with "skip": for more than `bad_image_limit`), or if `start`
                is not from 0 to the number of batches.
        """
        if not 0 <= start <= len(self):
            raise ValueError(f"start must be from 0 to {len(self)}, the number of batches; got {start}.")
        return self._epoch(epoch, start)

    def _epoch(self, epoch: int, start: int) -> Generator[tuple[np.ndarray, np.ndarray], None, None]:
        order, batch_transforms = self.order(epoch), self._batch_transforms(epoch)
        while start < len(self):
            segment = self._segment(epoch, order, start // SEGMENT)
            try:
                for index in range(start, segment.batches.stop):
                    images, labels = segment.batch(index)
                    rng = np.random.default_rng((self._seed, epoch, self._world.rank, index))
                    for transform in batch_transforms:
                        images, labels = transform(images, labels, rng)
                    yield images, labels
            finally:  # ends MindData's threads, also when the caller leaves the loop
                segment.close()
            start = segment.batches.stop

    def _segment(self, epoch: int, order: np.ndarray, number: int) -> Segment:
        # Reading and checking files releases the GIL; taking pixels from memory does not.
        readers = self.num_parallel_workers if self.dataset.encoded else 1
        entropy = (self._seed, epoch, self._world.rank, number) if number else (self._seed, epoch, self._world.rank)
        return Segment(
            order,
            range(number * SEGMENT, min((number + 1) * SEGMENT, len(self))),
            self._transforms,
            self.batch_size,
            self._examples,
            readers=readers,
            workers=self.num_parallel_workers,
            seed=int(np.random.SeedSequence(entropy).generate_state(1)[0]),
            stream=(self._seed, epoch, self._world.rank),
            views=self._views,
        )
