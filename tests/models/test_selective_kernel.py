"""The selective kernel convolution against NumPy, and its CPU form against the textbook layer, in both modes."""

import mindspore as ms
import numpy as np
import pytest
import reference
from mindspore import Tensor, nn
from tiers import in_both_modes

from mindcv.models import optimize_for_cpu
from mindcv.models.layers import ConvNormAct, SelectiveKernel

# Odd sizes throughout: padding and rounding show.
CASES = {
    "two branches": {},
    "stride": {"stride": 2, "groups": 4},
    "dilation": {"dilation": 2, "groups": 32},
    "split input": {"split_input": True},
    "split input, stride, dilation": {"stride": 2, "dilation": 2, "groups": 4, "split_input": True},
    "three branches": {"branches": 3, "groups": 4},
    "three branches, stride, dilation": {"branches": 3, "stride": 2, "dilation": 2, "groups": 32},
    "three branches, split input": {"branches": 3, "split_input": True},
}
TRAINING = pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
CASE = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def images(in_channels, batch=4, size=(7, 9)):
    """Examples that differ in contrast: batch norm over `batch` descriptors is well conditioned."""
    noise = np.random.default_rng(1).standard_normal((batch, in_channels, *size))
    return (noise * np.linspace(0.5, 2, batch).reshape(-1, 1, 1, 1)).astype(np.float32)


def filled(network, seed=2):
    """Random values of order 1 for every parameter and statistic; returns a float32 copy of them by name."""
    rng = np.random.default_rng(seed)
    weights = {}
    for parameter in network.get_parameters():
        if parameter.name.endswith("moving_variance"):
            values = rng.uniform(0.5, 1.5, parameter.shape)
        elif parameter.ndim == 1:
            values = rng.normal(1.0 if parameter.name.endswith("gamma") else 0.0, 0.3, parameter.shape)
        else:
            values = rng.standard_normal(parameter.shape) * np.sqrt(2 / np.prod(parameter.shape[1:]))
        weights[parameter.name] = values.astype(np.float32)
        parameter.set_data(Tensor(weights[parameter.name]))
    return weights


def case_channels(case):
    return (24 if case.get("split_input") and case.get("branches") == 3 else 32), 32


@CASE
@TRAINING
def test_forward_equals_the_numpy_reference(mode, case, training):
    in_channels, channels = case_channels(case)
    network = SelectiveKernel(in_channels, channels, **case)
    weights = filled(network)
    network.set_train(training)
    x = images(in_channels)
    expected, _ = reference.selective_kernel(
        x.astype(np.float64), {n: w.astype(np.float64) for n, w in weights.items()}, training=training, **case
    )
    actual = network(Tensor(x)).asnumpy()
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def cpu_form(network):
    return optimize_for_cpu(nn.SequentialCell([network]))[0]


def gradients(network, parameters, x, direction):
    """Of the sum of the output times `direction`: input gradient first, then each parameter's."""

    def loss(images):
        return (network(images) * direction).sum()

    grad = ms.grad(loss, 0, parameters)
    if ms.get_context("mode") == ms.GRAPH_MODE:
        grad = ms.jit(grad)
    of_input, of_parameters = grad(Tensor(x))
    return [of_input.asnumpy(), *(gradient.asnumpy() for gradient in of_parameters)]


def assert_gradients_equal(actual, expected, names, tolerance):
    for name, one, other in zip(names, actual, expected, strict=True):
        assert np.abs(other).max() > 0, name
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * np.abs(other).max(), err_msg=name)


@in_both_modes("branches", [2, 3], compiled=[3], by_default=[2, 3])
@TRAINING
def test_the_cpu_form_has_the_textbooks_output_and_gradients(mode, branches, training):
    network, textbook = (SelectiveKernel(32, 32, branches=branches, stride=2, groups=4) for _ in range(2))
    for layer in (network, textbook):
        filled(layer)
        layer.set_train(training)
    network = cpu_form(network)
    x = images(32)
    direction = Tensor(np.random.default_rng(3).standard_normal((4, 32, 4, 5)).astype(np.float32))
    names = ["input", *(parameter.name for parameter in textbook.trainable_params())]
    actual = gradients(network, network.trainable_params(), x, direction)
    expected = gradients(textbook, textbook.trainable_params(), x, direction)
    # The descriptor's batch norm runs over 4 values and magnifies rounding: 3e-5 seen in its neighbours' gradients.
    assert_gradients_equal(actual, expected, names, 2e-4)


@TRAINING
def test_gradients_equal_numerical_differences(mode, training):
    network = SelectiveKernel(4, 4, groups=2, min_reduced_channels=3)
    weights = filled(network)
    network.set_train(training)
    parameters = network.trainable_params()
    x = images(4, batch=3, size=(3, 4))
    direction = np.random.default_rng(3).standard_normal(x.shape)
    actual = gradients(network, parameters, x, Tensor(direction.astype(np.float32)))

    arrays = {"input": x, **weights}
    arrays = {name: array.astype(np.float64) for name, array in arrays.items()}

    def loss():
        output, _ = reference.selective_kernel(arrays["input"], arrays, groups=2, training=training)
        return (output * direction.astype(np.float32)).sum()

    names = ["input", *(parameter.name for parameter in parameters)]
    step = 1e-6
    expected = []
    for name in names:
        gradient = np.zeros_like(arrays[name])
        for index in np.ndindex(gradient.shape):
            value = arrays[name][index]
            arrays[name][index] = value + step
            above = loss()
            arrays[name][index] = value - step
            gradient[index] = (above - loss()) / (2 * step)
            arrays[name][index] = value
        expected.append(gradient)
    assert_gradients_equal(actual, expected, names, 1e-4)


@pytest.mark.parametrize("branches", [2, 3])
def test_attention_sums_to_one_over_branches_and_equals_the_reference(mode, branches):
    network = SelectiveKernel(32, 32, branches=branches, groups=4).set_train(False)
    weights = filled(network)
    x = images(32)
    network.construct = network.attention  # so that Graph mode compiles it
    attention = network(Tensor(x)).asnumpy()
    assert attention.shape == (4, branches, 32)
    np.testing.assert_allclose(attention.sum(axis=1), 1, atol=1e-6)
    _, expected = reference.selective_kernel(x, weights, branches=branches, groups=4)
    np.testing.assert_allclose(attention, expected, atol=1e-5)
    assert attention.std(axis=0).max() > 0.01  # it does depend on the image


@pytest.mark.parametrize("branches", [2, 3])
def test_construct_weights_the_branches_by_attention(branches):
    ms.set_context(mode=ms.PYNATIVE_MODE)
    network = cpu_form(SelectiveKernel(32, 32, branches=branches, groups=4).set_train(False))
    filled(network)
    x = Tensor(images(32))
    features = np.stack([feature.asnumpy() for feature in network.split(x)], axis=1)
    expected = np.einsum("bmchw,bmc->bchw", features, network.attention(x).asnumpy())
    np.testing.assert_allclose(network(x).asnumpy(), expected, atol=1e-5)
    ms.set_context(mode=ms.GRAPH_MODE)


@pytest.mark.parametrize("branches", [2, 3])
def test_identical_branches_give_a_plain_convolution(mode, branches):
    # A kernel with nothing but its centre is the same at every dilation.
    network = SelectiveKernel(8, 8, branches=branches).set_train(False)
    filled(network)
    plain = ConvNormAct(8, 8, 3).set_train(False)
    centre = np.zeros((8, 8, 3, 3), np.float32)
    centre[:, :, 1, 1] = np.random.default_rng(4).standard_normal((8, 8))
    for branch in [plain, *network.split.branches]:
        branch.conv.weight.set_data(Tensor(centre))
    for branch in network.split.branches:
        for name in ("gamma", "beta", "moving_mean", "moving_variance"):
            getattr(branch.bn, name).set_data(getattr(plain.bn, name).value())
    x = Tensor(images(8))
    np.testing.assert_allclose(network(x).asnumpy(), plain(x).asnumpy(), rtol=1e-5, atol=1e-5)


def test_equal_select_weights_average_the_branches(mode):
    network = SelectiveKernel(8, 8, branches=2).set_train(False)
    weights = filled(network)
    network.select.conv.weight.set_data(Tensor(np.ones_like(weights["select.conv.weight"])))
    x = images(8)
    weights["select.conv.weight"] = np.ones_like(weights["select.conv.weight"])
    features, attention = reference.selective_kernel(x, weights)
    assert np.all(attention == 0.5)
    np.testing.assert_allclose(network(Tensor(x)).asnumpy(), features, atol=1e-5)


def test_reduced_channels_are_c_over_r_but_at_least_l():
    assert SelectiveKernel(32, 1024, groups=32).fuse.conv.weight.shape[0] == 64
    assert SelectiveKernel(32, 128, groups=32).fuse.conv.weight.shape[0] == 32
    assert SelectiveKernel(32, 128, reduction=8, min_reduced_channels=4).fuse.conv.weight.shape[0] == 16


def test_fewer_than_two_branches_are_rejected():
    with pytest.raises(ValueError, match="at least 2 branches, got 1"):
        SelectiveKernel(8, 8, branches=1)


def test_input_channels_not_divisible_by_the_branches_are_rejected():
    with pytest.raises(ValueError, match="divisible by 2 branches, got 7"):
        SelectiveKernel(7, 8, split_input=True)
