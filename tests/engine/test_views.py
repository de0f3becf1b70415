"""Test-time augmentation: which views, and the mean of their probabilities."""

import mindspore as ms
import numpy as np
import pytest
from array_loader import ArrayLoader
from lookup import logits_network
from mindspore import Tensor, nn
from scipy.special import softmax

from mindcv.engine import AveragedViews, evaluate, size_to_load, with_views

CROPS = [(0, 0), (0, 2), (2, 0), (2, 2), (1, 1)]  # top and left, of 4 x 4 in 6 x 6


class Linear(nn.Cell):
    """Logits that depend on where in the image a value is."""

    def __init__(self, weight):
        super().__init__()
        self.weight = Tensor(weight)

    def construct(self, x):
        return ms.ops.matmul(x.reshape(x.shape[0], -1), self.weight)


@pytest.mark.parametrize("tta", ["hflip", "five_crop", "ten_crop"])
def test_the_result_is_the_mean_of_the_views_probabilities(mode, tta):
    rng = np.random.default_rng(0)
    side = 6 if tta == "hflip" else 4
    weight = rng.standard_normal((3 * side * side, 5)).astype(np.float32)
    images = rng.standard_normal((2, 3, 6, 6)).astype(np.float32)
    crops = [images] if tta == "hflip" else [images[:, :, y : y + 4, x : x + 4] for y, x in CROPS]
    views = crops if tta == "five_crop" else [view for crop in crops for view in (crop, crop[..., ::-1])]
    logits = [view.reshape(2, -1).astype(np.float64) @ weight.astype(np.float64) for view in views]
    expected = np.mean([softmax(each, axis=1) for each in logits], axis=0)
    result = AveragedViews(Linear(weight), tta, side)(Tensor(images)).asnumpy()
    assert result.dtype == np.float64
    np.testing.assert_allclose(np.exp(result), expected, rtol=1e-4)
    np.testing.assert_allclose(softmax(result, axis=1), expected, rtol=1e-4)


def test_tiny_probabilities_do_not_become_infinite_and_bad_ones_stay_bad():
    logits = np.array([[0.0, -5000.0], [0.0, np.nan], [0.0, np.inf]])
    images = np.arange(3, dtype=np.float32).reshape(3, 1, 1, 1)
    result = AveragedViews(logits_network(logits), "hflip", 1)(Tensor(images)).asnumpy()
    np.testing.assert_allclose(result[0], [0.0, -5000.0])
    assert not np.isfinite(result[1:]).all(axis=1).any()


def test_the_views_of_one_network_are_evaluated_like_it():
    logits = np.random.default_rng(1).standard_normal((9, 4))
    images, labels = np.arange(9, dtype=np.float32).reshape(9, 1, 1, 1), np.arange(9, dtype=np.int32) % 4
    network = logits_network(logits)
    network.set_train(True)
    alone, averaged = (
        evaluate(with_views(network, tta, 1), ArrayLoader(images, labels, 4)) for tta in ("none", "hflip")
    )
    assert network.training
    assert (averaged.top1, averaged.top5, averaged.num_examples) == (alone.top1, alone.top5, 9)  # one pixel: no change
    assert averaged.loss == pytest.approx(alone.loss)
    assert with_views(network, "none", 1) is network


def test_crops_are_of_the_whole_resized_image():
    assert size_to_load("none", 224, 0.875) == size_to_load("hflip", 224, 0.875)
    assert size_to_load("none", 224, 0.875) == {"image_resize": 224, "crop_pct": 0.875}
    assert size_to_load("ten_crop", 224, 0.875) == {"image_resize": 256, "crop_pct": 1.0}
    with pytest.raises(ValueError, match=r"tta=five_crop crops 32 pixels from images of that size, crop_pct being 1: "):
        size_to_load("five_crop", 32, 1.0)
