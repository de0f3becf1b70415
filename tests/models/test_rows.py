"""Products of rows with one number each, compared with the formula."""

import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from mindcv.models.cpu.attention import BlendRows, ScaleRows


class Scale(nn.Cell):
    def construct(self, rows, scale):
        return rows * scale


class Blend(nn.Cell):
    def construct(self, first, second, weight):
        return weight * first + (1 - weight) * second


PAIRS = [(ScaleRows, Scale, 1), (BlendRows, Blend, 2)]


@pytest.mark.parametrize("shape", [(6, 35), (4, 1), (1, 9)], ids=str)
@pytest.mark.parametrize(("tiled", "formula", "maps"), PAIRS)
def test_forward_and_backward_equal_the_formula(tiled, formula, maps, shape, mode):
    rng = np.random.default_rng(shape[1])
    inputs = [Tensor(rng.standard_normal(shape).astype(np.float32)) for _ in range(maps)]
    inputs.append(Tensor(rng.standard_normal((shape[0], 1)).astype(np.float32)))
    weight = Tensor(rng.standard_normal(shape).astype(np.float32))
    results = []
    for form in (tiled, formula):
        gradients = ops.GradOperation(get_all=True, sens_param=True)(form())(*inputs, weight)
        results.append([part.asnumpy() for part in (form()(*inputs), *gradients)])
    assert len(results[0]) == maps + 2
    for ours, expected in zip(*results, strict=True):
        assert ours.shape == expected.shape
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)


def test_a_blend_with_weight_zero_or_one_is_one_of_its_inputs():
    first, second = (Tensor(np.full((1, 4), value, np.float32)) for value in (3.0, -7.0))
    for weight, expected in ((1.0, 3.0), (0.0, -7.0), (0.5, -2.0)):
        blended = BlendRows()(first, second, Tensor([[weight]]))
        np.testing.assert_array_equal(blended.asnumpy(), np.full((1, 4), expected, np.float32))
