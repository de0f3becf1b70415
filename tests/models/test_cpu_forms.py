"""The CPU forms of layers compute the same as the textbook layers, with the same parameters; both modes."""

from functools import partial

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn
from random_weights import random_network
from tiers import COMPILED_LATER, full

from mindcv.models import create_model, optimize_for_cpu
from mindcv.models.cpu import CPU_FORMS
from mindcv.models.layers import SelectiveKernel

# Two blocks with all parts of the full networks; with 256 planes the maps of 1x1 convolutions are joined.
SHORT = {"layers": (1, 1), "planes": (64, 256)}
NETWORKS = {
    "skresnext50_32x4d": SHORT,
    "sknet50": {**SHORT, "middle_conv": partial(SelectiveKernel, branches=3)},
    "seresnext50_32x4d": SHORT,
    "skresnet50d": {**SHORT, "stem_pool": "same"},
}
NETWORK = pytest.mark.parametrize("name", NETWORKS)


def forms_in(network):
    return {type(cell) for _, cell in network.cells_and_names()} & set(CPU_FORMS)


class Gradients(nn.Cell):
    """Logits, and the gradients of their weighted sum."""

    def __init__(self, network, direction):
        super().__init__(auto_prefix=False)
        self.network, self.direction = network, direction
        self.gradients = ms.value_and_grad(self.loss, 0, network.trainable_params(), has_aux=True)

    def loss(self, x):
        logits = self.network(x)
        return (logits * self.direction).sum(), logits

    def construct(self, x):
        return self.gradients(x)


@COMPILED_LATER
@pytest.mark.parametrize("name", full(NETWORKS, by_default=["sknet50"]))
# Up to 1x1 in the second stage; 28x28 and more in the first.
@pytest.mark.parametrize("side", full([40, 128], by_default=[40]))
def test_logits_and_gradients_are_the_textbooks(mode, name, side):
    rng = np.random.default_rng(0)
    x = Tensor(rng.standard_normal((3, 3, side, side)).astype(np.float32))
    direction = Tensor(rng.standard_normal((3, 10)).astype(np.float32))
    results = []
    for device_forms in (True, False):
        network = random_network(name, device_forms=device_forms, **NETWORKS[name])
        assert bool(forms_in(network)) == device_forms
        (_, logits), (of_input, of_parameters) = Gradients(network, direction)(x)
        names = ["logits", "input", *(parameter.name for parameter in network.trainable_params())]
        results.append([part.asnumpy() for part in (logits, of_input, *of_parameters)])
    for label, ours, expected in zip(names, *results, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-4 * np.abs(expected).max(), err_msg=label)


@NETWORK
def test_the_forms_share_the_layers_parameters_with_the_same_names_and_order(name):
    network = create_model(name, num_classes=10, device_forms=False, **NETWORKS[name])
    before = [(parameter.name, id(parameter)) for parameter in network.get_parameters()]
    values = [parameter.asnumpy().copy() for parameter in network.get_parameters()]
    assert optimize_for_cpu(network) is network and forms_in(network)
    assert [(parameter.name, id(parameter)) for parameter in network.get_parameters()] == before
    for parameter, value in zip(network.get_parameters(), values, strict=True):
        np.testing.assert_array_equal(parameter.asnumpy(), value)


def test_every_form_is_used_by_some_network():
    forms = (forms_in(create_model(name, **NETWORKS[name])) for name in NETWORKS)
    assert set().union(*forms) == set(CPU_FORMS)


def test_a_second_pass_changes_nothing():
    network = create_model("skresnext50_32x4d", **SHORT)
    cells = [id(cell) for _, cell in network.cells_and_names()]
    assert [id(cell) for _, cell in optimize_for_cpu(network).cells_and_names()] == cells


@pytest.mark.parametrize(
    "options",
    [{"pad_mode": "same"}, {"pad_mode": "valid"}, {"pad_mode": "pad", "padding": 2}, {"stride": (1, 2), "padding": 1}],
)
def test_convolutions_with_other_padding_are_not_replaced(options):
    network = nn.SequentialCell([nn.Conv2d(4, 4, 3, **{"pad_mode": "pad", **options})])
    assert not forms_in(optimize_for_cpu(network))


def test_a_bias_is_kept(mode):
    x = Tensor(np.random.default_rng(0).standard_normal((2, 4, 3, 3)).astype(np.float32))
    for size, padding in ((1, 0), (3, 1)):
        layer = nn.Conv2d(4, 8, size, pad_mode="pad", padding=padding, has_bias=True, bias_init="normal")
        form = optimize_for_cpu(nn.SequentialCell([layer]))
        assert forms_in(form)
        np.testing.assert_allclose(form(x).asnumpy(), layer(x).asnumpy(), rtol=1e-5, atol=1e-5)
