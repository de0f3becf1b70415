"""Custom gradients of convolutions, compared with MindSpore's."""

import numpy as np
import pytest
from mindspore import Tensor, ops

from mindcv.models.cpu.conv import _Convolution, conv_form
from mindcv.models.layers import conv2d

SHAPES = [  # channels in, out, height, width, kernel, dilation, groups
    (16, 16, 9, 7, 3, 1, 4),  # four channels in a group: gradients of a merged convolution
    (16, 32, 6, 8, 3, 2, 8),
    (24, 12, 5, 5, 3, 1, 2),
    (12, 12, 7, 7, 5, 1, 3),
    (8, 8, 6, 6, 3, 3, 8),  # depthwise
]


def gradients(conv, x, seed=2):
    out = conv(x)
    sense = Tensor(np.random.default_rng(seed).standard_normal(out.shape).astype(np.float32))
    call = ops.GradOperation(get_all=True, get_by_list=True, sens_param=True)(conv, conv.trainable_params())
    (to_input,), (to_weight,) = call(x, sense)
    return [part.asnumpy() for part in (out, to_input, to_weight)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradients_are_those_of_the_convolution(mode, shape):
    in_channels, out_channels, height, width, kernel_size, dilation, groups = shape
    x = Tensor(np.random.default_rng(sum(shape)).standard_normal((3, in_channels, height, width)).astype(np.float32))
    results = []
    for min_area in (0, height * width + 1):
        conv = conv_form(conv2d(in_channels, out_channels, kernel_size, dilation=dilation, groups=groups))
        conv.min_area_of_own_gradient = min_area
        assert isinstance(conv.convolve, _Convolution)
        conv.weight.set_data(Tensor(np.random.default_rng(1).standard_normal(conv.weight.shape).astype(np.float32)))
        results.append(gradients(conv, x))
    for ours, expected in zip(*results, strict=True):
        assert ours.shape == expected.shape
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


def test_groups_with_few_channels_use_the_gradient_of_a_merged_convolution():
    assert conv_form(conv2d(128, 128, 3, groups=32)).convolve.merged == 4
    assert conv_form(conv2d(256, 256, 3, groups=32)).convolve.merged == 1
    assert conv_form(conv2d(6, 6, 3, groups=3)).convolve.merged == 1  # three groups cannot be merged by four


@pytest.mark.parametrize("options", [{"groups": 4, "stride": 2}, {"groups": 1}])
def test_other_convolutions_keep_mindspores_gradients(options):
    conv = conv_form(conv2d(16, 16, 3, **options))
    assert conv.convolve is conv.conv2d
