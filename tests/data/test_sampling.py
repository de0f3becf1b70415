"""Balanced epochs: classes equally frequent, every image in turn, a function of seed and epoch alone."""

import fixtures_data
import numpy as np
import pytest

from mindcv.data import create_dataset
from mindcv.data.sampling import balanced_order

COUNTS = (2000, 500, 40, 3)


@pytest.fixture
def labels():
    """Classes 0, 2, 5 and 9 of very different sizes, mixed."""
    return np.random.default_rng(0).permutation(np.repeat([0, 2, 5, 9], COUNTS)).astype(np.int32)


def test_every_class_is_equally_frequent_at_every_place(labels):
    epochs = np.stack([labels[balanced_order(labels, np.random.default_rng(epoch))] for epoch in range(200)])
    deviation = np.sqrt(3 / 16 / epochs.size)
    for label in (0, 2, 5, 9):
        assert abs((epochs == label).mean() - 1 / 4) < 4 * deviation
        at = (epochs == label).mean(0)  # of each place, over the epochs
        assert np.abs(at - 1 / 4).max() < 5.5 * np.sqrt(3 / 16 / 200)


def test_an_epoch_keeps_its_length_and_shows_the_images_of_a_class_in_turn(labels):
    order = balanced_order(labels, np.random.default_rng(1))
    assert order.shape == labels.shape
    for label, count in zip((0, 2, 5, 9), COUNTS, strict=True):
        shown = order[labels[order] == label]
        times = np.bincount(shown, minlength=len(labels))[labels == label]
        assert len(times) == count and times.max() - times.min() <= 1
        first = shown[:count]
        assert len(set(first)) == len(first)


def test_the_loaders_order_depends_on_seed_and_epoch_alone(tmp_path):
    for name, count in (("a", 12), ("b", 3)):
        fixtures_data.write_image_folder(tmp_path, "train", [name], count)
    dataset = create_dataset("x", tmp_path)

    def order(epoch, **options):
        usual = {"image_resize": 8, "batch_size": 5, "sampler": "balanced", "num_parallel_workers": 1}
        return fixtures_data.open_loader(dataset, is_training=True, **{**usual, **options}).order(epoch).tolist()

    assert order(3) == order(3) and len(order(3)) == 15
    assert order(3) != order(4) and order(3) != order(3, seed=1)
    assert sorted(order(3)) != list(range(15)) == sorted(order(3, sampler="uniform"))
    assert order(3, shuffle=False) == list(range(15))
    assert order(3, sampler="uniform") == np.random.default_rng((42, 3)).permutation(15).tolist()


def test_an_epoch_continues_anywhere_with_the_same_batches(tmp_path):
    for name, count in (("a", 12), ("b", 3)):
        fixtures_data.write_image_folder(tmp_path, "train", [name], count)
    options = {"image_resize": 8, "batch_size": 4, "sampler": "balanced", "num_parallel_workers": 1}
    loader = fixtures_data.open_loader(create_dataset("x", tmp_path), is_training=True, **options)
    whole, rest = list(loader.epoch(2)), list(loader.epoch(2, start=1))
    for (images, labels), (again, same) in zip(whole[1:], rest, strict=True):
        assert (images == again).all() and (labels == same).all()


def test_several_labels_per_image_cannot_be_balanced(tmp_path):
    fixtures_data.write_image_folder(tmp_path, "shots", ["a"], 2)
    (tmp_path / "train.csv").write_text("image,label\nshots/a/000.png,a;b\nshots/a/001.png,a\n")
    with pytest.raises(ValueError, match="sampler='balanced' needs one label per image; data set 'x' has several"):
        fixtures_data.open_loader(create_dataset("x", tmp_path), is_training=True, sampler="balanced")
