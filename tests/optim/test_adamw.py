"""AdamW beyond its use by the factory: groups with their own rate, no groups, late updates."""

import mindspore as ms
import numpy as np
import reference_optim
from mindspore import Parameter, Tensor

from mindcv.optim.adamw import AdamW


def two_parameters():
    rng = np.random.default_rng(0)
    return [Parameter(Tensor(rng.normal(size=(4, 3)).astype(np.float32)), name) for name in ("first", "second")]


def gradients(num_updates):
    rng = np.random.default_rng(1)
    return [[rng.normal(size=(4, 3)).astype(np.float32) for _ in range(2)] for _ in range(num_updates)]


def run(optimizer, grads):
    for pair in grads:
        optimizer(tuple(map(Tensor, pair)))
    return [param.asnumpy().copy() for param in optimizer.parameters]


def test_groups_with_their_own_rates_and_decays_equal_two_optimizers(mode):
    first, second = two_parameters()
    start = [first.asnumpy().copy(), second.asnumpy().copy()]
    grads = gradients(4)
    slow, fast = [0.01, 0.02, 0.03, 0.02], [0.1, 0.05, 0.02, 0.01]
    optimizer = AdamW(
        [
            {"params": [first], "lr": slow, "weight_decay": 0.1},
            {"params": [second], "weight_decay": 0.0},
            {"order_params": [first, second]},
        ],
        fast,
    )
    actual = run(optimizer, grads)
    for i, (rates, decay) in enumerate([(slow, 0.1), (fast, 0.0)]):
        (expected,) = reference_optim.adamw([start[i]], [[pair[i]] for pair in grads], rates, [decay])
        np.testing.assert_allclose(actual[i], expected, atol=2e-6)


def test_without_groups_the_common_decay_applies_to_all_parameters(mode):
    params = two_parameters()
    start = [param.asnumpy().copy() for param in params]
    actual = run(AdamW(params, 0.01, weight_decay=0.2), gradients(3))
    for a, b in zip(actual, reference_optim.adamw(start, gradients(3), [0.01] * 3, [0.2] * 2), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)


def test_the_first_update_has_the_size_of_the_rate():
    """The reason for bias correction: without it, the first update would be 3.16 times as large."""
    ms.set_context(mode=ms.PYNATIVE_MODE)
    params = two_parameters()
    start = [param.asnumpy().copy() for param in params]
    grads = gradients(1)
    for a, b, grad in zip(run(AdamW(params, 0.01), grads), start, grads[0], strict=True):
        np.testing.assert_allclose(a - b, -0.01 * np.sign(grad), atol=1e-6)
    ms.set_context(mode=ms.GRAPH_MODE)
