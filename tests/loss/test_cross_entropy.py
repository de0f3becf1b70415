"""CrossEntropy against NumPy in float64, in both modes."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor
from reference_loss import cross_entropy

from mindcv.loss.cross_entropy import CrossEntropy

# Relative to the loss and to gradients of order 1: MindSpore's CPU kernels approximate exp and log to about ten units
# in the last place of float32 (1e-6).
TOLERANCE = 3e-6


def examples(kind, batch=6, num_classes=5, scale=3.0):
    rng = np.random.default_rng(0)
    logits = (scale * rng.normal(size=(batch, num_classes))).astype(np.float32)
    if kind == "indices":
        return logits, rng.integers(0, num_classes, batch).astype(np.int32)
    return logits, rng.dirichlet(np.ones(num_classes), batch).astype(np.float32)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("kind", ["indices", "probabilities"])
def test_loss_and_gradient_equal_the_closed_form(mode, kind, label_smoothing):
    logits, labels = examples(kind)
    expected, expected_grad = cross_entropy(logits, labels, label_smoothing)
    loss, grad = ms.value_and_grad(CrossEntropy(label_smoothing))(Tensor(logits), Tensor(labels))
    assert loss.shape == ()
    assert loss.dtype == ms.float32
    assert float(loss) == pytest.approx(expected, rel=TOLERANCE)
    np.testing.assert_allclose(grad.asnumpy(), expected_grad, rtol=0, atol=TOLERANCE)


def test_logits_of_ten_thousand_give_exact_loss_and_finite_gradient(mode):
    logits = np.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0]], np.float32)
    labels = np.array([1, 1], np.int32)  # wrong: 2e4 nats, right: 0
    expected, expected_grad = cross_entropy(logits, labels)
    assert expected == 1e4
    loss, grad = ms.value_and_grad(CrossEntropy())(Tensor(logits), Tensor(labels))
    assert float(loss) == pytest.approx(expected, rel=TOLERANCE)
    np.testing.assert_allclose(grad.asnumpy(), expected_grad, atol=TOLERANCE)


def test_float16_logits_are_computed_in_float32(mode):
    logits, labels = examples("indices", num_classes=1000)
    half = logits.astype(np.float16)
    expected, _ = cross_entropy(half, labels)  # from the rounded logits, to see the error of the computation alone
    loss = CrossEntropy()(Tensor(half), Tensor(labels))
    assert loss.dtype == ms.float32
    assert float(loss) == pytest.approx(expected, rel=TOLERANCE)  # float16 has three digits


def test_uniform_logits_give_log_k_for_any_smoothing(mode):
    loss = CrossEntropy(0.3)(Tensor(np.full((2, 7), 5.0, np.float32)), Tensor(np.array([0, 6], np.int32)))
    assert float(loss) == pytest.approx(np.log(7), rel=TOLERANCE)


def test_indices_equal_one_hot_probabilities(mode):
    logits, labels = examples("indices")
    loss = CrossEntropy(0.1)
    by_index = loss(Tensor(logits), Tensor(labels))
    by_probability = loss(Tensor(logits), Tensor(np.eye(5, dtype=np.float32)[labels]))
    assert float(by_index) == pytest.approx(float(by_probability), rel=TOLERANCE)


def test_the_loss_works_for_every_batch_size():
    ms.set_context(mode=ms.GRAPH_MODE)
    loss = CrossEntropy(0.1)
    loss.set_inputs(Tensor(shape=[None, 5], dtype=ms.float32), Tensor(shape=[None], dtype=ms.int32))
    for batch in (1, 4, 7):
        logits, labels = examples("indices", batch)
        expected, _ = cross_entropy(logits, labels, 0.1)
        assert float(loss(Tensor(logits), Tensor(labels))) == pytest.approx(expected, rel=TOLERANCE)


@pytest.mark.parametrize("label_smoothing", [-0.1, 1.0, float("nan")])
def test_smoothing_out_of_range_is_an_error(label_smoothing):
    with pytest.raises(ValueError, match=rf"label_smoothing must be a number in \[0, 1\); got {label_smoothing}"):
        CrossEntropy(label_smoothing)


def test_weights_of_classes_treat_indices_and_probabilities_alike():
    ms.set_context(mode=ms.PYNATIVE_MODE)
    logits, labels = examples("indices")
    loss = CrossEntropy(0.1, class_weights=(0.5, 1.0, 2.0, 4.0, 1.0))
    by_index = loss(Tensor(logits), Tensor(labels))
    by_probability = loss(Tensor(logits), Tensor(np.eye(5, dtype=np.float32)[labels]))
    assert float(by_index) == pytest.approx(float(by_probability), rel=TOLERANCE)
    assert float(by_index) != pytest.approx(float(CrossEntropy(0.1)(Tensor(logits), Tensor(labels))), rel=1e-2)


def test_equal_weights_of_classes_change_nothing(mode):
    logits, labels = map(Tensor, examples("indices"))
    expected = float(CrossEntropy(0.1)(logits, labels))
    assert float(CrossEntropy(0.1, class_weights=(3.0,) * 5)(logits, labels)) == pytest.approx(expected, rel=TOLERANCE)
