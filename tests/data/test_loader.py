"""The loader: order, determinism, shards, short batches, broken images, and clean-up."""

import os
import random
import threading
import time

import fixtures_data
import mindspore.dataset as ds
import numpy as np
import pytest

from mindcv.data import Loader, create_dataset, create_transforms
from mindcv.data.dataset import ArrayDataset
from mindcv.data.examples import READER
from mindcv.distributed import World

CORES = os.cpu_count()


def numbered(count):
    """Return a data set whose image i is filled with i and has label i (PLAIN gives i / 255)."""
    images = np.zeros((count, 4, 4, 1), np.uint8) + np.arange(count, dtype=np.uint8).reshape(-1, 1, 1, 1)
    return ArrayDataset("numbered", "train", [str(i) for i in range(count)], images, np.arange(count), [("x", count)])


PLAIN = create_transforms(
    is_training=False, image_resize=4, crop_pct=1.0, in_channels=1, mean=(0,), std=(1,), encoded=False, channels=1
)


def shows(images, labels):
    return np.allclose(images * 255, labels.reshape(-1, 1, 1, 1), atol=0.01)


def numbered_loader(count, batch_size, **options):
    options = {"is_training": True, "drop_remainder": False, **options}
    return Loader(numbered(count), PLAIN, batch_size=batch_size, **options)


def labels_of(loader, epoch=0):
    return [label for _, labels in loader.epoch(epoch) for label in labels.tolist()]


def test_every_image_is_given_once_with_its_label():
    loader = numbered_loader(50, 8)
    seen = []
    for images, labels in loader.epoch(0):
        assert (images.dtype, labels.dtype, images.shape[1:]) == (np.float32, np.int32, (1, 4, 4))
        assert shows(images, labels)
        seen += labels.tolist()
    assert sorted(seen) == list(range(50))
    assert (len(loader), loader.num_examples, loader.batch_size) == (7, 50, 8)


def test_short_last_batch_is_given_or_dropped():
    assert [len(labels) for _, labels in numbered_loader(50, 8).epoch(0)] == [8] * 6 + [2]
    dropping = numbered_loader(50, 8, drop_remainder=True)
    assert [len(labels) for _, labels in dropping.epoch(0)] == [8] * 6
    assert (len(dropping), dropping.num_examples) == (6, 48)


def test_order_comes_from_seed_and_epoch_alone():
    reference = labels_of(numbered_loader(50, 8, seed=7), 3)
    expected = np.random.default_rng((7, 3)).permutation(50).tolist()
    assert reference == expected
    np.random.seed(1)
    assert labels_of(numbered_loader(50, 16, seed=7, num_parallel_workers=1), 3) == reference
    assert labels_of(numbered_loader(50, 8, seed=7), 4) != reference
    assert labels_of(numbered_loader(50, 8, seed=8), 3) != reference
    assert labels_of(numbered_loader(50, 8, shuffle=False)) == list(range(50))


def test_repeated_augmentation_keeps_the_length_and_spreads_repeats_over_shards():
    options = {"seed": 7, "aug_repeats": 3}
    expected = np.random.default_rng((7, 2)).permutation(50)[:17].repeat(3)[:50].tolist()
    loader = numbered_loader(50, 8, **options)
    assert (len(loader), loader.num_examples) == (7, 50)
    assert labels_of(loader, 2) == expected
    assert [label for _, labels in loader.epoch(2, start=3) for label in labels.tolist()] == expected[24:]
    shards = [labels_of(numbered_loader(51, 8, world=World(rank, 3), **options)) for rank in range(3)]
    assert shards[0] == shards[1] == shards[2] and len({*shards[0]}) == 17
    assert labels_of(numbered_loader(50, 8, seed=7, aug_repeats=1)) == labels_of(numbered_loader(50, 8, seed=7))
    with pytest.raises(ValueError, match="aug_repeats=3 without shuffle would leave out"):
        numbered_loader(50, 8, shuffle=False, aug_repeats=3)


def test_augmentation_splits_give_the_views_of_a_batch_one_after_another():
    dataset = create_dataset("digits", num_samples=21)
    options = {"is_training": True, "image_resize": 16, "batch_size": 8, "drop_remainder": False, "hflip": 0.5}
    policy = {"auto_augment": "randaug-m9-n2-mstd0.5", **options}

    def batches(start=0, **options):
        return list(fixtures_data.open_loader(dataset, **options).epoch(1, start))

    split = batches(aug_splits=3, **policy)
    plain = batches(color_jitter=None, **options)  # the same crops and flips
    for (images, labels), (clean, classes) in zip(split, plain, strict=True):
        assert (labels == np.tile(classes, 3)).all()
        first, second, third = np.split(images, 3)
        assert (first == clean).all()
        assert (second != clean).any() and (third != clean).any() and (second != third).any()
    assert [len(labels) for _, labels in split] == [24, 24, 15]
    for (images, labels), (same, classes) in zip(batches(1, aug_splits=3, **policy), split[1:], strict=True):
        assert (images == same).all() and (labels == classes).all()
    assert (batches(aug_splits=1, **policy)[0][0] == batches(**policy)[0][0]).all()
    with pytest.raises(ValueError, match=r"aug_splits=2 gives several views .* nothing would make them differ"):
        batches(aug_splits=2, **options)


@pytest.mark.parametrize("workers", [1, CORES])
def test_same_seed_epoch_and_workers_give_the_same_bits(workers):
    dataset = create_dataset("digits", num_samples=150)

    def epoch(number, seed=0):
        loader = fixtures_data.open_loader(
            dataset, is_training=True, image_resize=16, batch_size=32, seed=seed, num_parallel_workers=workers,
            re_prob=0.5, re_value="random", color_jitter=(0.4, 0.4, 0.4, 0.1), vflip=0.5, mixup=0.8, cutmix=1.0,
            mixup_mode="elem", num_classes=10,
        )  # fmt: skip
        return list(loader.epoch(number))

    first = epoch(2)
    again = epoch(2)
    assert len(first) == 4
    for (images, labels), (images_again, labels_again) in zip(first, again, strict=True):
        assert (images == images_again).all()
        assert (labels == labels_again).all()
    assert (epoch(3)[0][0] != first[0][0]).any()
    assert (epoch(2, seed=1)[0][0] != first[0][0]).any()


def test_augmentation_differs_between_epochs_and_shards_of_the_same_image():
    image = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3), np.uint8)
    same = ArrayDataset("same", "train", ["a"], image.repeat(8, 0), np.zeros(8), [("x", 8)])

    def images(epoch, rank=0):
        world = World(rank, size=2)
        loader = fixtures_data.open_loader(same, is_training=True, image_resize=16, batch_size=4, world=world)
        return next(loader.epoch(epoch))[0]

    assert (images(0) == images(0)).all()
    assert (images(0) != images(1)).any()
    assert (images(0, 0) != images(0, 1)).any()
    assert len(np.unique(images(0).reshape(4, -1), axis=0)) == 4


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [5, 50])
def test_shards_of_an_evaluation_cover_every_example_once(size, count):
    options = {"is_training": False, "shuffle": True}
    shards = [labels_of(numbered_loader(count, 8, world=World(rank, size), **options), 1) for rank in range(size)]
    assert sorted(label for shard in shards for label in shard) == list(range(count))
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


def test_dropping_shards_have_the_same_number_of_batches():
    loaders = [numbered_loader(31, 8, drop_remainder=True, world=World(rank, 2)) for rank in range(2)]
    assert [len(list(loader.epoch(0))) for loader in loaders] == [len(loader) for loader in loaders] == [1, 1]


def test_training_shards_have_batches_of_the_same_sizes_without_dropping():
    """Else a process would wait for the others' gradients."""
    loaders = [numbered_loader(31, 8, drop_remainder=False, world=World(rank, 2)) for rank in (0, 1)]
    assert [[len(labels) for _, labels in loader.epoch(0)] for loader in loaders] == [[8, 7], [8, 7]]
    with pytest.raises(ValueError, match=r"3 processes need an example each to train on; .* has 2: use fewer"):
        numbered_loader(2, 8, drop_remainder=False, world=World(0, 3))


def test_kept_batches_are_not_overwritten():
    loader = numbered_loader(200, 4)
    kept = list(loader.epoch(0))
    assert all(shows(images, labels) for images, labels in kept)


def test_batch_transforms_are_applied_in_order_and_seeded_per_batch():
    draws = []

    def add_one(images, labels, rng):
        draws.append(rng.random())
        return images + 1, labels

    def double(images, labels, rng):
        return images * 2, np.eye(16, dtype=np.float32)[labels]  # a transform may change the labels

    loader = numbered_loader(16, 8, batch_transforms=lambda epoch: [add_one, double])
    for images, labels in loader.epoch(0):
        assert labels.shape == (8, 16) and shows(images / 2 - 1, labels.argmax(1))
    assert len(set(draws)) == 2
    list(loader.epoch(0))
    assert draws[:2] == draws[2:]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_parallel_workers": CORES + 1}, f"from 1 to the {CORES} cores of this machine; got {CORES + 1}"),
        ({"num_parallel_workers": 0}, "num_parallel_workers must be a number >= 1"),
        ({"batch_size": 0}, "batch_size must be a number >= 1; got 0"),
        ({"batch_size": 51, "drop_remainder": True}, "batch_size=51 is more than the 50 examples of 'numbered'"),
        ({"batch_size": 26, "drop_remainder": True, "world": World(0, 2)}, "50 examples .* in 2 shards"),
        ({"seed": -1}, "seed must be a number in"),
    ],
)
def test_illegal_argument_is_named_with_its_legal_values(options, message):
    with pytest.raises(ValueError, match=message):
        numbered_loader(50, **{"batch_size": 8, **options})


def test_leaving_an_epoch_midway_ends_its_threads_and_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loader = numbered_loader(200, 4)
    list(loader.epoch(0))

    def native_threads():
        return len(os.listdir("/proc/self/task"))

    before, files = (native_threads(), threading.active_count()), len(os.listdir("/proc/self/fd"))
    for epoch in range(5):
        iterator = loader.epoch(epoch)
        next(iterator)
        iterator.close()
    deadline = time.monotonic() + 5
    while (native_threads(), threading.active_count()) > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (native_threads(), threading.active_count()) <= before
    assert len(os.listdir("/proc/self/fd")) <= files
    assert os.listdir(tmp_path) == []


def test_an_epoch_restores_random_states_and_settings():
    random.seed(5)
    np.random.seed(5)
    before = random.getstate(), np.random.get_state()[1].tolist(), ds.config.get_seed(), ds.config.get_prefetch_size()
    list(numbered_loader(50, 8).epoch(0))
    after = random.getstate(), np.random.get_state()[1].tolist(), ds.config.get_seed(), ds.config.get_prefetch_size()
    assert before == after


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize("fmt", ["jpg", "gif"])
def test_image_folders_give_batches(fmt, is_training, tmp_path):
    fixtures_data.write_image_folder(tmp_path, "train", 3, 4, fmt)
    dataset = create_dataset("folder", tmp_path)
    loader = fixtures_data.open_loader(
        dataset, is_training=is_training, image_resize=16, batch_size=5, drop_remainder=False
    )
    shapes = [(images.shape, labels.shape) for images, labels in loader.epoch(0)]
    assert shapes == [((5, 3, 16, 16), (5,))] * 2 + [((2, 3, 16, 16), (2,))]


def test_an_error_unrelated_to_an_image_is_raised():
    def fail(image):
        raise RuntimeError("a transform of our own failed")

    loader = Loader(numbered(8), [fail], is_training=False, batch_size=4)
    with pytest.raises(RuntimeError, match="a transform of our own failed"):
        list(loader.epoch(0))


def test_threads_that_read_ahead_end_with_the_epoch_and_when_it_is_left(tmp_path):
    fixtures_data.write_image_folder(tmp_path, "train", 2, 30, "jpg")
    options = {"image_resize": 8, "batch_size": 4, "num_parallel_workers": 2}
    loader = fixtures_data.open_loader(create_dataset("folder", tmp_path), is_training=True, **options)

    def readers():
        return sum(thread.name.startswith(READER) for thread in threading.enumerate())

    for epoch in range(3):
        batches = loader.epoch(epoch)
        next(batches)
        assert readers() == 2
        batches.close()
        assert readers() == 0
        list(loader.epoch(epoch))
        assert readers() == 0
