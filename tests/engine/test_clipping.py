"""Gradient clipping against its definition in NumPy, float64."""

import numpy as np
import pytest
from mindspore import Parameter, Tensor

from mindcv.engine import Clip

RNG = np.random.default_rng(4)
SHAPES = {"conv": (4, 3, 2, 2), "dense": (5, 4), "zero": (2, 3), "gamma": (4,), "head": (3, 5)}
WEIGHTS = {name: RNG.normal(size=shape).astype(np.float32) * (name != "zero") for name, shape in SHAPES.items()}
GRADIENTS = {name: RNG.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}


def clipped(mode, value, exempt=()):
    parameters = [Parameter(Tensor(array), name) for name, array in WEIGHTS.items()]
    clip = Clip(mode, value, parameters, exempt)
    result = clip(tuple(map(Tensor, GRADIENTS.values())))
    return dict(zip(WEIGHTS, (gradient.asnumpy() for gradient in result), strict=True))


def units(array):
    """Rows of the array in float64: one for each output unit, one altogether for at most one dimension."""
    return np.asarray(array, np.float64).reshape((array.shape[0], -1) if array.ndim > 1 else (1, -1))


@pytest.mark.parametrize("value", [0.5, 100.0])
def test_norm_scales_all_gradients_to_the_largest_norm(mode, value):
    norm = np.sqrt(sum((gradient.astype(np.float64) ** 2).sum() for gradient in GRADIENTS.values()))
    assert 0.5 < norm < 100
    for name, gradient in clipped("norm", value).items():
        if value > norm:
            np.testing.assert_array_equal(gradient, GRADIENTS[name])
        np.testing.assert_allclose(gradient, GRADIENTS[name] * min(1, value / norm), rtol=1e-5)


def test_value_limits_every_number(mode):
    for name, gradient in clipped("value", 0.25).items():
        np.testing.assert_array_equal(gradient, np.clip(GRADIENTS[name], -0.25, 0.25))


def test_adaptive_clipping_limits_each_unit_by_its_weights(mode):
    """Equation 3 of Brock et al. 2021; the classifier is exempt."""
    value = 0.3
    for name, gradient in clipped("agc", value, exempt=["head"]).items():
        rows = units(GRADIENTS[name])
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        largest = value * np.maximum(np.linalg.norm(units(WEIGHTS[name]), axis=1, keepdims=True), 1e-3)
        expected = rows if name == "head" else np.where(norms > largest, rows * largest / norms, rows)
        np.testing.assert_allclose(gradient, expected.reshape(gradient.shape), rtol=1e-5, atol=1e-8)
        assert name == "head" or not np.allclose(gradient, GRADIENTS[name])


def test_a_gradient_of_zeros_stays(mode):
    zeros = Parameter(Tensor(np.zeros((2, 3), np.float32)), "w")
    for kind in ("norm", "value", "agc"):
        (result,) = Clip(kind, 0.1, [zeros])((Tensor(np.zeros((2, 3), np.float32)),))
        np.testing.assert_array_equal(result.asnumpy(), np.zeros((2, 3)))


@pytest.mark.parametrize("kind, value, message", [("l2", 1.0, "clip_mode must be 'norm' or"), ("agc", 0, "clip_value")])
def test_an_illegal_argument_is_an_error(kind, value, message):
    with pytest.raises(ValueError, match=message):
        Clip(kind, value, [])
