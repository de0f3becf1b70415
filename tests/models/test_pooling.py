"""Max pooling for training: the form for a CPU, held to MindSpore's own."""

import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from mindcv.models.inference import EdgePaddedMaxPool, inference_pool
from mindcv.models.layers import max_pool
from mindcv.models.layers.pooling import ArgmaxPool

SHAPES = [(2, 3, 8, 8), (1, 3, 7, 10), (2, 1, 9, 7), (1, 2, 2, 3), (1, 2, 1, 1)]
KINDS = [(3, 2, "pad", 1), (2, 2, "pad", 1), (3, 1, "pad", 1), (5, 3, "pad", 2), (3, 2, "same", 0)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_it_computes_what_mindspores_does_forward_and_backward(mode, kind, shape):
    kernel_size, stride, pad_mode, padding = kind
    rng = np.random.default_rng(sum(shape))
    x = Tensor(rng.standard_normal(shape).astype(np.float32) - 2)  # padding with zeros would show
    results = []
    for form in (ArgmaxPool, nn.MaxPool2d):
        pool = form(kernel_size, stride, pad_mode=pad_mode, padding=padding)
        out = pool(x)
        weight = Tensor(np.random.default_rng(1).standard_normal(out.shape).astype(np.float32))
        results.append((out.asnumpy(), ops.GradOperation(sens_param=True)(pool)(x, weight).asnumpy()))
    for ours, expected in zip(*results, strict=True):
        assert ours.shape == expected.shape
        np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_stay_so_and_do_no_harm(mode, value):
    x = Tensor(np.full((1, 2, 6, 6), value, np.float32))
    pool = ArgmaxPool(3, 2, "pad", 1)
    assert not np.isfinite(pool(x).asnumpy()).any()
    gradient = ops.GradOperation(sens_param=True)(pool)(x, Tensor(np.ones((1, 2, 3, 3), np.float32))).asnumpy()
    assert gradient.shape == x.shape and np.isfinite(gradient).all()


def test_the_device_decides(monkeypatch):
    assert type(max_pool(3, 2, "pad", 1)) is ArgmaxPool
    monkeypatch.setattr("mindcv.models.layers.pooling.on_cpu", lambda: False)
    assert type(max_pool(3, 2, "pad", 1)) is nn.MaxPool2d and type(max_pool(3, 2, "same")) is nn.MaxPool2d


def test_in_evaluation_it_needs_no_argmax():
    assert type(inference_pool(ArgmaxPool(3, 2, "pad", 1))) is EdgePaddedMaxPool
    same = inference_pool(ArgmaxPool(3, 2, "same"))
    assert type(same) is nn.MaxPool2d and (same.kernel_size, same.stride, same.pad_mode) == (3, 2, "SAME")
    assert inference_pool(ArgmaxPool(5, 2, "pad", 2)) is None
