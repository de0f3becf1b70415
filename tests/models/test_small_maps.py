"""Convolutions of tiny maps: their matrix product, compared with MindSpore's convolution."""

import numpy as np
import pytest
from mindspore import Tensor, ops

from mindcv.models.cpu.conv import conv_form
from mindcv.models.layers import conv2d

SHAPES = [  # channels in, out, height, width, kernel, stride, dilation, groups
    (8, 16, 2, 2, 3, 1, 1, 4),
    (8, 16, 2, 2, 3, 1, 2, 4),
    (8, 16, 2, 2, 3, 2, 1, 1),
    (8, 8, 1, 4, 3, 1, 1, 2),
    (6, 6, 1, 1, 5, 1, 1, 1),
    (4, 4, 3, 1, 3, 2, 2, 1),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_forward_and_backward_of_the_product_equal_the_convolution(mode, shape):
    in_channels, out_channels, height, width, kernel_size, stride, dilation, groups = shape
    rng = np.random.default_rng(sum(shape))
    x = Tensor(rng.standard_normal((3, in_channels, height, width)).astype(np.float32))
    results = []
    for max_pairs in (16, 0):
        options = {"stride": stride, "dilation": dilation, "groups": groups}
        conv = conv_form(conv2d(in_channels, out_channels, kernel_size, **options))
        conv.weight.set_data(Tensor(np.random.default_rng(1).standard_normal(conv.weight.shape).astype(np.float32)))
        conv.max_matmul_pairs = max_pairs
        out = conv(x)
        weight = np.random.default_rng(2).standard_normal(out.shape).astype(np.float32)
        gradient = ops.GradOperation(get_all=True, get_by_list=True, sens_param=True)(conv, conv.trainable_params())
        (to_input,), (to_weight,) = gradient(x, Tensor(weight))
        results.append([part.asnumpy() for part in (out, to_input, to_weight)])
    for product, convolution in zip(*results, strict=True):
        assert product.shape == convolution.shape
        np.testing.assert_allclose(product, convolution, rtol=1e-5, atol=1e-5)


def test_only_maps_with_few_positions_use_products(mode):
    assert conv_form(conv2d(4, 4, 3)).max_matmul_pairs == 16  # 2 x 2 in, 2 x 2 out
