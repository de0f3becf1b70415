"""Contract of every registered loss: a deterministic float32 scalar with the right gradient."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from mindcv.loss import LOSSES, create_loss
from mindcv.loss.cross_entropy import CrossEntropy


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("name", LOSSES.names())
def test_gradient_equals_the_central_difference(mode, name, label_smoothing):
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(3, 4)).astype(np.float32)
    labels = Tensor(np.array([0, 3, 2], np.int32))
    loss = create_loss(name, label_smoothing=label_smoothing)
    value, grad = ms.value_and_grad(loss)(Tensor(logits), labels)
    assert value.shape == ()
    assert value.dtype == ms.float32

    step = 1e-2  # best for float32: rounding 1e-7 / 1e-2 and truncation 1e-2 ** 2 / 6 both stay below 1e-4
    numerical = np.zeros_like(logits)
    for at in np.ndindex(*logits.shape):
        change = np.zeros_like(logits)
        change[at] = step
        up, down = loss(Tensor(logits + change), labels), loss(Tensor(logits - change), labels)
        numerical[at] = (float(up) - float(down)) / (2 * step)
    np.testing.assert_allclose(grad.asnumpy(), numerical, atol=1e-4)


@pytest.mark.parametrize("name", LOSSES.names())
def test_same_inputs_give_the_same_bits(mode, name):
    rng = np.random.default_rng(2)
    logits, labels = Tensor(rng.normal(size=(16, 10)).astype(np.float32)), Tensor(np.arange(16, dtype=np.int32) % 10)
    assert len({float(create_loss(name)(logits, labels)) for _ in range(5)}) == 1


def test_label_smoothing_reaches_the_loss():
    assert create_loss("CE", label_smoothing=0.25).label_smoothing == 0.25
    assert isinstance(create_loss(), CrossEntropy)


def test_an_unknown_loss_is_an_error_that_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown loss 'CEE'.*Known: CE"):
        create_loss("CEE")
