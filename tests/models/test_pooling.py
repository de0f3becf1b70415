"""The CPU form of max pooling for training, compared with MindSpore's own."""

import numpy as np
import pytest
from mindspore import Tensor, nn, ops
from tiers import full

from mindcv.models.cpu.pooling import ArgmaxPool, pool_form
from mindcv.models.inference import EdgePaddedMaxPool, inference_pool

SHAPES = [(2, 3, 8, 8), (1, 3, 7, 10), (2, 1, 9, 7), (1, 2, 2, 3), (1, 2, 1, 1)]
KINDS = [(3, 2, "pad", 1), (2, 2, "pad", 1), (3, 1, "pad", 1), (5, 3, "pad", 2), (3, 2, "same", 0)]


@pytest.mark.parametrize("shape", full(SHAPES, by_default=SHAPES[1:4]), ids=str)
@pytest.mark.parametrize("kind", full(KINDS, by_default=[KINDS[0], KINDS[3], KINDS[4]]), ids=str)
def test_forward_and_backward_equal_mindspores_pooling(mode, kind, shape):
    kernel_size, stride, pad_mode, padding = kind
    rng = np.random.default_rng(sum(shape))
    x = Tensor(rng.standard_normal(shape).astype(np.float32) - 2)  # padding with zeros would show
    results = []
    plain = nn.MaxPool2d(kernel_size, stride, pad_mode=pad_mode, padding=padding)
    for pool in (pool_form(plain), plain):
        out = pool(x)
        weight = Tensor(np.random.default_rng(1).standard_normal(out.shape).astype(np.float32))
        results.append((out.asnumpy(), ops.GradOperation(sens_param=True)(pool)(x, weight).asnumpy()))
    for ours, expected in zip(*results, strict=True):
        assert ours.shape == expected.shape
        np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_kept_and_the_gradient_stays_finite(mode, value):
    x = Tensor(np.full((1, 2, 6, 6), value, np.float32))
    pool = pool_form(nn.MaxPool2d(3, 2, "pad", 1))
    assert not np.isfinite(pool(x).asnumpy()).any()
    gradient = ops.GradOperation(sens_param=True)(pool)(x, Tensor(np.ones((1, 2, 3, 3), np.float32))).asnumpy()
    assert gradient.shape == x.shape and np.isfinite(gradient).all()


@pytest.mark.parametrize(
    "options", [{"padding": (1, 0)}, {"padding": 1, "ceil_mode": True}, {"padding": 1, "dilation": 2}]
)
def test_other_poolings_are_not_replaced(options):
    assert pool_form(nn.MaxPool2d(5, 2, pad_mode="pad", **options)) is None
    assert pool_form(nn.MaxPool2d(2, 2)) is None


def test_evaluation_uses_no_argmax():
    padded, same, wide = (
        pool_form(nn.MaxPool2d(*kind)) for kind in ((3, 2, "pad", 1), (3, 2, "same"), (5, 2, "pad", 2))
    )
    assert {type(padded), type(same), type(wide)} == {ArgmaxPool}
    assert type(inference_pool(padded)) is EdgePaddedMaxPool
    same = inference_pool(same)
    assert type(same) is nn.MaxPool2d and (same.kernel_size, same.stride, same.pad_mode) == (3, 2, "SAME")
    assert inference_pool(wide) is None
