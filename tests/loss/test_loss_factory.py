"""Contract of every registered loss, and what `create_loss` makes of its arguments."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn
from reference_loss import gradient, losses
from tiers import full

from mindcv.loss import LOSSES, create_loss
from mindcv.loss.cross_entropy import CrossEntropy
from mindcv.runtime import setup_runtime

SMOOTHING = 0.1


def build(name, **options) -> nn.Cell:
    return create_loss(name, label_smoothing=SMOOTHING, aug_splits=3, **options)


def examples(kind, batch=6, num_classes=4):
    """Logits of usual size and of ten thousand, zeros among them; labels as indices or as probabilities."""
    rng = np.random.default_rng(1)
    logits = 2.0 * rng.normal(size=(batch, num_classes)).astype(np.float32)
    logits[0] = 0.0
    if kind == "indices":
        return logits, rng.integers(0, num_classes, batch).astype(np.int32)
    return logits, rng.dirichlet(np.ones(num_classes), batch).astype(np.float32)


@pytest.mark.parametrize("kind", full(["indices", "probabilities"], by_default=["indices"]))
@pytest.mark.parametrize("name", LOSSES.names())
def test_loss_and_gradient_are_those_of_the_definition(mode, name, kind):
    logits, labels = examples(kind)
    value, found = ms.value_and_grad(build(name))(Tensor(logits), Tensor(labels))
    assert (value.shape, value.dtype) == ((), ms.float32)
    exact = logits.astype(np.float64)
    assert float(value) == pytest.approx(losses(name, exact, labels, SMOOTHING).mean(), rel=5e-6)
    expected = gradient(lambda x: losses(name, x, labels, SMOOTHING).mean(), exact)
    np.testing.assert_allclose(found.asnumpy(), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", LOSSES.names())
def test_logits_of_ten_thousand_and_of_half_precision(name):
    setup_runtime(mode=1, device_target="CPU")
    logits = np.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0], [100.0, 20.0, -100.0]], np.float16)
    labels = np.array([1, 1, 0], np.int32)  # wrong, right, right
    loss = build(name)
    value, found = ms.value_and_grad(loss)(Tensor(logits), Tensor(labels))
    assert (value.dtype, found.dtype) == (ms.float32, ms.float16)
    assert float(value) == pytest.approx(losses(name, logits.astype(np.float64), labels, SMOOTHING).mean(), rel=5e-6)
    assert np.isfinite(found.asnumpy()).all()
    assert float(loss(Tensor(logits), Tensor(labels))) == float(value)  # the same bits again


@pytest.mark.parametrize("name", LOSSES.names())
def test_one_hot_probabilities_are_indices(name):
    setup_runtime(mode=1, device_target="CPU")
    logits, labels = examples("indices")
    loss = build(name)
    one_hot = np.eye(4, dtype=np.float32)[labels]
    found = [ms.value_and_grad(loss)(Tensor(logits), Tensor(given)) for given in (labels, one_hot)]
    assert float(found[0][0]) == pytest.approx(float(found[1][0]), rel=1e-6)
    np.testing.assert_allclose(found[0][1].asnumpy(), found[1][1].asnumpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", LOSSES.names())
def test_the_sum_adds_the_examples(name):
    setup_runtime(mode=1, device_target="CPU")
    logits, labels = examples("indices")
    added = float(build(name, reduction="sum")(Tensor(logits), Tensor(labels)))
    expected = losses(name, logits.astype(np.float64), labels, SMOOTHING).sum()
    answers = logits.shape[1] if name in ("BCE", "focal") else 1  # whose mean is over the classes, too
    assert added == pytest.approx(answers * expected, rel=5e-6)


def test_a_binary_loss_with_added_classes_is_their_number_times_the_mean():
    setup_runtime(mode=1, device_target="CPU")
    logits, labels = map(Tensor, examples("indices"))
    assert float(build("BCE", bce_sum=True)(logits, labels)) == pytest.approx(4 * float(build("BCE")(logits, labels)))


def test_equal_copies_do_not_diverge(mode):
    logits, labels = examples("indices", batch=2)
    copies, repeated = Tensor(np.tile(logits, (3, 1))), Tensor(np.tile(labels, 3))
    expected = float(create_loss("CE")(Tensor(logits), Tensor(labels)))
    assert float(create_loss("JSD", aug_splits=3)(copies, repeated)) == pytest.approx(expected, rel=5e-6)


def test_auxiliary_logits_count_by_their_factor(mode):
    logits, labels = examples("indices")
    other = logits[::-1].copy()
    loss = create_loss("CE", aux_factor=0.3)

    def of_both(main, auxiliary):
        return loss((main, auxiliary), Tensor(labels))

    value, gradients = ms.value_and_grad(of_both, (0, 1))(Tensor(logits), Tensor(other))
    alone = [ms.value_and_grad(create_loss("CE"))(Tensor(x), Tensor(labels)) for x in (logits, other)]
    assert float(value) == pytest.approx(float(alone[0][0]) + 0.3 * float(alone[1][0]))
    for found, (_, expected), factor in zip(gradients, alone, (1.0, 0.3), strict=True):
        np.testing.assert_allclose(found.asnumpy(), factor * expected.asnumpy(), rtol=1e-5, atol=1e-8)


def test_an_auxiliary_factor_without_auxiliary_logits_is_an_error(mode):
    logits, labels = map(Tensor, examples("indices"))
    with pytest.raises(ValueError, match="aux_factor above 0 needs a network with auxiliary logits"):
        create_loss("CE", aux_factor=0.3)(logits, labels)


def test_label_smoothing_reaches_the_loss():
    assert create_loss("CE", label_smoothing=0.25).label_smoothing == 0.25
    assert isinstance(create_loss(), CrossEntropy)


def test_an_unknown_loss_is_an_error_that_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown loss 'CEE'.*Known: BCE, CE, JSD"):
        create_loss("CEE")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reduction": "none"}, "reduction must be 'mean' or 'sum'; got 'none'"),
        ({"loss": "JSD"}, "loss JSD .* aug_splits must be at least 2, usually 3; got 0"),
        ({"aux_factor": -1.0}, "aux_factor must be a number >= 0; got -1.0"),
        ({"class_weights": (1.0, 0.0)}, r"class_weights must be a number > 0 for each class; got \(1.0, 0.0\)"),
        ({"class_weights": ()}, "class_weights must be a number > 0 for each class"),
        ({"loss": "BCE", "bce_target_thresh": 1.0}, r"bce_target_thresh must be a number in \[0, 1\); got 1.0"),
        ({"loss": "focal", "focal_gamma": -2.0}, "focal_gamma must be a number >= 0; got -2.0"),
        ({"loss": "focal", "focal_alpha": 1.0}, r"focal_alpha must be a number in \(0, 1\); got 1.0"),
        ({"loss": "asl_single_label", "asl_gamma_neg": float("nan")}, "asl_gamma_neg must be a number >= 0; got nan"),
        ({"loss": "asl_multi_label", "asl_clip": 1.0}, r"asl_clip must be a number in \[0, 1\); got 1.0"),
    ],
)
def test_a_value_out_of_range_is_an_error(options, message):
    with pytest.raises(ValueError, match=message):
        create_loss(**options)
