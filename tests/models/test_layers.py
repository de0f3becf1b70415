"""Building blocks against NumPy, in both modes."""

import mindspore as ms
import numpy as np
import pytest
import reference
from mindspore import Tensor

from mindcv.models.cpu.conv import conv_form
from mindcv.models.layers import ConvNormAct, GlobalAverage, SqueezeExcite, conv2d
from mindcv.models.layers.init import init_weights

RNG = np.random.default_rng(0)
IMAGES = RNG.standard_normal((3, 16, 5, 7)).astype(np.float32)


def weights_of(network):
    return {parameter.name: parameter.asnumpy().copy() for parameter in network.get_parameters()}


@pytest.mark.parametrize("act", [True, False])
@pytest.mark.parametrize(
    "kernel_size, stride, dilation, groups", [(1, 2, 1, 1), (3, 1, 2, 4), (3, 2, 1, 16), (7, 2, 1, 1)]
)
def test_conv_norm_act_equals_numpy(mode, kernel_size, stride, dilation, groups, act):
    network = ConvNormAct(16, 16, kernel_size, stride=stride, dilation=dilation, groups=groups, act=act).set_train()
    weights = weights_of(network)
    expected = reference.conv2d(IMAGES.astype(np.float64), weights["conv.weight"], stride, dilation, groups)
    expected = reference.batch_norm(expected, np.ones(16), np.zeros(16), None, None, training=True)
    expected = reference.relu(expected) if act else expected
    np.testing.assert_allclose(network(Tensor(IMAGES)).asnumpy(), expected, atol=2e-5)


def test_batch_norm_keeps_nine_tenths_of_the_running_statistics(mode):
    network = ConvNormAct(16, 8, 1).set_train()
    network(Tensor(IMAGES))
    feature = reference.conv2d(IMAGES.astype(np.float64), weights_of(network)["conv.weight"])
    mean, var = feature.mean(axis=(0, 2, 3)), feature.var(axis=(0, 2, 3), ddof=1)
    np.testing.assert_allclose(network.bn.moving_mean.asnumpy(), 0.1 * mean, atol=1e-6)
    np.testing.assert_allclose(network.bn.moving_variance.asnumpy(), 0.9 + 0.1 * var, rtol=1e-5)


def test_squeeze_excite_equals_numpy(mode):
    network = SqueezeExcite(16, reduction=2)
    init_weights(network)
    weights = weights_of(network)
    x = IMAGES.astype(np.float64)
    hidden = reference.relu(x.mean(axis=(2, 3)) @ weights["reduce.weight"].T + weights["reduce.bias"])
    gate = 1 / (1 + np.exp(-(hidden @ weights["expand.weight"].T + weights["expand.bias"])))
    np.testing.assert_allclose(network(Tensor(IMAGES)).asnumpy(), x * gate[:, :, None, None], atol=1e-5)


@pytest.mark.parametrize("channels, hidden", [(64, 8), (256, 16), (2048, 128)])
def test_squeeze_excite_has_a_sixteenth_of_the_channels_in_its_hidden_layer(channels, hidden):
    assert SqueezeExcite(channels).reduce.weight.shape == (hidden, channels)


def test_global_average_is_the_mean_over_height_and_width(mode):
    actual = GlobalAverage()(Tensor(IMAGES)).asnumpy()
    assert actual.shape == (3, 16)
    np.testing.assert_allclose(actual, IMAGES.mean(axis=(2, 3), dtype=np.float64), atol=1e-6)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [1, 2, 5])
@pytest.mark.parametrize("joined", [True, False])
def test_pointwise_convolution_and_gradients_equal_numpy_joined_or_not(mode, stride, side, joined):
    rng = np.random.default_rng(side)
    x = rng.standard_normal((3, 6, side, side)).astype(np.float32)
    layer = conv_form(conv2d(6, 4, 1, stride=stride)).set_train()
    layer.max_area_to_join = side * side if joined else 0
    weight = layer.weight.asnumpy()[:, :, 0, 0].copy()

    def loss(x):
        out = layer(x)
        return (out * out).sum(), out

    (_, out), (x_slope, weight_slopes) = ms.value_and_grad(loss, 0, layer.trainable_params(), has_aux=True)(Tensor(x))
    seen = x[:, :, ::stride, ::stride]
    expected = np.einsum("oc,bchw->bohw", weight, seen)
    np.testing.assert_allclose(out.asnumpy(), expected, rtol=1e-5, atol=1e-5)
    expected_slope = np.zeros_like(x)
    expected_slope[:, :, ::stride, ::stride] = np.einsum("oc,bohw->bchw", weight, 2 * expected)
    np.testing.assert_allclose(x_slope.asnumpy(), expected_slope, rtol=1e-4, atol=1e-4)
    expected_slope = np.einsum("bohw,bchw->oc", 2 * expected, seen)
    np.testing.assert_allclose(weight_slopes[0].asnumpy()[:, :, 0, 0], expected_slope, rtol=1e-4, atol=1e-4)


def test_only_small_maps_with_many_channels_are_joined():
    def largest_sides(in_channels, out_channels):
        layer = conv_form(conv2d(in_channels, out_channels, 1))
        return [max(side for side in range(20) if layer.set_train(train).joins(side**2)) for train in (True, False)]

    assert largest_sides(2048, 1024) == [7, 3]
    assert largest_sides(64, 256) == [1, 0]
