"""An epoch started at any batch is bit-identical to the whole one, and reads only what it needs."""

import os
import time

import fixtures_data
import mindspore.dataset as ds
import numpy as np
import pytest

from mindcv.data import create_dataset, create_transforms
from mindcv.data.dataset import ArrayDataset
from mindcv.data.loader import Loader

SEGMENT = 4


@pytest.fixture(autouse=True)
def short_segments(monkeypatch):
    monkeypatch.setattr("mindcv.data.loader.SEGMENT", SEGMENT)


def augmenting(dataset, workers, seed=3):
    return fixtures_data.open_loader(
        dataset, is_training=True, image_resize=16, batch_size=4, seed=seed, num_parallel_workers=workers,
        re_prob=0.5, re_value="random", color_jitter=(0.4, 0.4, 0.4, 0.1), drop_remainder=False,
    )  # fmt: skip


def assert_equal(batches, expected):
    assert len(batches) == len(expected)
    for (images, labels), (expected_images, expected_labels) in zip(batches, expected, strict=True):
        np.testing.assert_array_equal(images, expected_images)
        np.testing.assert_array_equal(labels, expected_labels)


@pytest.mark.parametrize("workers", sorted({1, min(2, os.cpu_count())}))
@pytest.mark.parametrize("kind", ["array", "jpg", "png"])
def test_an_epoch_started_anywhere_is_bit_identical_to_the_whole_one(kind, workers, tmp_path):
    if kind == "array":
        dataset = create_dataset("digits", num_samples=46)
    else:
        fixtures_data.write_image_folder(tmp_path, "train", 2, 23, kind)
        dataset = create_dataset("folder", tmp_path)
    whole = list(augmenting(dataset, workers).epoch(2))
    assert [len(labels) for _, labels in whole] == [4] * 11 + [2]
    loader = augmenting(dataset, workers)
    for start in range(13):
        assert_equal(list(loader.epoch(2, start)), whole[start:])
    assert (whole[0][0] != next(loader.epoch(3))[0]).any()


def test_short_epochs_depend_on_seed_epoch_and_shard_alone():
    """The first segment's seed does not contain the segment's number."""
    dataset = create_dataset("digits", num_samples=16)
    loader = fixtures_data.open_loader(
        dataset, is_training=True, image_resize=16, batch_size=4, num_parallel_workers=1, seed=5
    )
    order = np.random.default_rng((5, 7)).permutation(16)
    operations = create_transforms(is_training=True, image_resize=16, encoded=False, channels=1)
    before = ds.config.get_seed()
    ds.config.set_seed(int(np.random.SeedSequence((5, 7, 0)).generate_state(1)[0]))
    pipeline = ds.GeneratorDataset([dataset[int(i)] for i in order], ["image", "label"], shuffle=False)
    pipeline = pipeline.map(operations, "image", num_parallel_workers=1).batch(4)
    expected = list(pipeline.create_tuple_iterator(num_epochs=1, output_numpy=True))
    ds.config.set_seed(before)
    assert_equal(list(loader.epoch(7)), expected)


def test_segments_augment_the_same_image_differently():
    image = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3), np.uint8)
    same = ArrayDataset("same", "train", ["a"], image.repeat(32, 0), np.zeros(32), [("x", 32)])
    loader = fixtures_data.open_loader(same, is_training=True, image_resize=16, batch_size=4)
    first, second = (next(loader.epoch(0, start))[0] for start in (0, SEGMENT))
    assert (first != second).any()


class Counted(ArrayDataset):
    """Records which examples are read."""

    def __init__(self, count):
        images = np.zeros((count, 4, 4, 1), np.uint8)
        super().__init__("counted", "train", ["a"], images, np.zeros(count), [("x", count)])
        self.asked = []

    def __getitem__(self, index):
        self.asked.append(index)
        return super().__getitem__(index)


@pytest.mark.parametrize(("start", "first_read"), [(0, 0), (3, 0), (4, 8), (7, 8), (11, 16), (12, None)])
def test_whole_segments_are_skipped_without_reading(start, first_read):
    dataset = Counted(24)
    operations = create_transforms(is_training=False, image_resize=4, in_channels=1, encoded=False, channels=1)
    loader = Loader(dataset, operations, is_training=False, batch_size=2, num_parallel_workers=1)
    assert len(list(loader.epoch(0, start))) == 12 - start
    assert dataset.asked == ([] if first_read is None else list(range(first_read, 24)))


def test_a_start_outside_the_epoch_is_an_error_at_once():
    loader = augmenting(create_dataset("digits", num_samples=16), 1)
    for start in (-1, 5):
        with pytest.raises(ValueError, match=f"start must be from 0 to 4, the number of batches; got {start}"):
            loader.epoch(0, start)
    assert list(loader.epoch(0, 4)) == []


def test_finished_segments_leave_no_threads():
    loader = augmenting(create_dataset("digits", num_samples=200), 1)

    def native_threads():
        return len(os.listdir("/proc/self/task"))

    list(loader.epoch(0))
    before = native_threads()
    batches = loader.epoch(1)
    next(batches)
    of_one_segment = native_threads() - before
    for _ in range(11 * SEGMENT):
        next(batches)
    deadline = time.monotonic() + 5  # threads need a moment to end
    while native_threads() - before >= 2 * of_one_segment and time.monotonic() < deadline:
        time.sleep(0.05)
    assert native_threads() - before < 2 * of_one_segment
    batches.close()
