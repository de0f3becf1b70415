"""Predictions: the right classes for every image, and failures with their reasons."""

from pathlib import Path

import numpy as np
import pytest
from lookup import logits_network
from mindspore import Tensor
from PIL import Image
from scipy.special import expit
from scipy.special import softmax as scipy_softmax

from mindcv.data import create_transforms
from mindcv.data.image_list import ImageFiles
from mindcv.engine.predictor import predict, softmax

NAMES = [f"class {letter}" for letter in "abcdefgh"]


class ArrayBatches:
    """Batches of images that contain their number; some files are unreadable."""

    def __init__(self, count, batch_size, unreadable=()):
        self.paths = [Path(f"{k}.png") for k in range(count)]
        self.batch_size, self._broken, self.unreadable = batch_size, set(unreadable), {}

    def __len__(self):
        return -(-len(self.paths) // self.batch_size)

    def __iter__(self):
        self.unreadable = dict.fromkeys(sorted(self._broken), "cut")
        good = np.array([k for k in range(len(self.paths)) if k not in self._broken], np.int64)
        for start in range(0, len(good), self.batch_size):
            positions = good[start : start + self.batch_size]
            yield positions, positions.astype(np.float32).reshape(-1, 1, 1, 1)


@pytest.mark.parametrize("batch_size", [1, 4, 13, 64])
def test_candidates_are_the_most_probable_classes_for_any_batch_size(mode, batch_size):
    logits = np.random.default_rng(3).standard_normal((13, 8)).astype(np.float32) * 4
    result = predict(logits_network(logits), ArrayBatches(13, batch_size), NAMES, topk=3)
    expected = scipy_softmax(logits.astype(np.float64), axis=1)
    assert [p.path.name for p in result.predictions] == [f"{k}.png" for k in range(13)]
    for prediction, row in zip(result.predictions, expected, strict=True):
        best = sorted(range(8), key=lambda k: -row[k])[:3]
        assert [c.class_index for c in prediction.candidates] == best
        assert [c.class_name for c in prediction.candidates] == [NAMES[k] for k in best]
        np.testing.assert_allclose([c.probability for c in prediction.candidates], row[best], rtol=1e-12)
    assert result.failures == []


def test_every_file_is_predicted_or_a_failure_with_its_reason():
    logits = np.zeros((6, 8))
    logits[2, 5], logits[4, 0] = np.nan, np.inf
    result = predict(logits_network(logits), ArrayBatches(6, 2, unreadable=[1, 3]), NAMES)
    assert [p.path.name for p in result.predictions] == ["0.png", "5.png"]
    assert [path.name for path, _ in result.failures] == ["1.png", "2.png", "3.png", "4.png"]
    assert [reason for _, reason in result.failures][::2] == ["cut", "cut"]
    assert all("NaN or infinite" in reason for _, reason in result.failures[1::2])


def test_files_that_are_all_unreadable_give_no_prediction():
    result = predict(logits_network(np.zeros((3, 8))), ArrayBatches(3, 2, unreadable=[0, 1, 2]), NAMES)
    assert result.predictions == []
    assert len(result.failures) == 3


def test_equal_logits_rank_by_class_index():
    logits = np.array([[0, 1, 0, 1, 0, 0, 1, 0]])
    result = predict(logits_network(logits), ArrayBatches(1, 1), NAMES, topk=5)
    assert [c.class_index for c in result.predictions[0].candidates] == [1, 3, 6, 0, 2]


def test_logits_far_below_the_best_keep_their_order():
    logits = np.array([[-2000, 0, -900, -1000, 0, -1500, -800, -3000]])
    result = predict(logits_network(logits), ArrayBatches(1, 1), NAMES, topk=8)
    assert [c.class_index for c in result.predictions[0].candidates] == [1, 4, 6, 2, 3, 5, 0, 7]
    assert [c.probability for c in result.predictions[0].candidates] == [0.5, 0.5, 0, 0, 0, 0, 0, 0]


def test_with_several_labels_all_likely_classes_are_candidates_and_at_least_topk():
    logits = np.array([[3, -1, 0.5, 2, -4, 0, -5, -6], [-1, -2, -3, -4, -5, -6, -7, -2000]])
    found = predict(logits_network(logits), ArrayBatches(2, 2), NAMES, topk=2, multi_label=True).predictions
    assert [[c.class_index for c in p.candidates] for p in found] == [[0, 3, 2], [0, 1]]
    for prediction, row in zip(found, logits, strict=True):
        chosen = [c.class_index for c in prediction.candidates]
        np.testing.assert_allclose([c.probability for c in prediction.candidates], expit(row[chosen]))
    every = predict(logits_network(logits), ArrayBatches(2, 2), NAMES, topk=8, multi_label=True).predictions
    assert every[1].candidates[7].probability == 0.0  # no overflow


def test_topk_is_limited_to_all_classes_and_at_least_one():
    network = logits_network(np.zeros((1, 8)))
    assert len(predict(network, ArrayBatches(1, 1), NAMES, topk=99).predictions[0].candidates) == 8
    with pytest.raises(ValueError, match="topk must be at least 1; got 0"):
        predict(network, ArrayBatches(1, 1), NAMES, topk=0)


def test_class_names_must_be_those_of_the_network():
    network = logits_network(np.zeros((1, 8)))
    network.set_train(True)
    with pytest.raises(ValueError, match="the network has 8 classes, but 2 are named"):
        predict(network, ArrayBatches(1, 1), ["cat", "dog"])
    assert network.training


def test_softmax_is_exact_for_huge_logits():
    logits = np.array([[1e4, 0.0, -1e4], [1e300, -1e300, 1e300]])
    np.testing.assert_array_equal(softmax(logits), [[1, 0, 0], [0.5, 0, 0.5]])


def test_image_files_are_predicted_in_evaluation_mode(mode, tiny_network, tmp_path):
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{k}.png" for k in range(5)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (20, 16, 3), np.uint8)).save(path)
    paths[2].write_bytes(b"no image")
    transforms = create_transforms(is_training=False, image_resize=8)
    network = tiny_network(num_classes=8, drop_rate=0.5)
    network.set_train(True)
    before = {p.name: p.asnumpy().copy() for p in network.get_parameters()}
    result = predict(network, ImageFiles(paths, transforms, 3), NAMES, topk=8)
    assert network.training
    for parameter in network.get_parameters():
        np.testing.assert_array_equal(parameter.asnumpy(), before[parameter.name])
    assert [path for path, _ in result.failures] == [paths[2]]

    network.set_train(False)
    ((_, images),) = ImageFiles(paths, transforms, 5)
    expected = scipy_softmax(network(Tensor(images)).asnumpy().astype(np.float64), axis=1)
    got = np.array([[c.probability for c in sorted(p.candidates)] for p in result.predictions])
    assert got.shape == (4, 8)
    np.testing.assert_allclose(got, expected, rtol=1e-4)
