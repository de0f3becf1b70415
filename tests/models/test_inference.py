"""Networks rewritten for inference compute the same as before."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn
from random_weights import random_network
from tiers import full

from mindcv.models import prepare_for_inference
from mindcv.models.inference import EdgePaddedMaxPool, inference_pool
from mindcv.models.replace import replace_cells

SIZES = [(2, 8, 8, 8), (1, 8, 7, 9), (2, 8, 2, 3), (1, 8, 1, 1)]
# Two blocks with all parts of the full networks; with 256 planes the maps of 1x1 convolutions are joined.
SHORT = {"layers": (1, 1), "planes": (64, 256)}
NETWORKS = {"tiny_sknet": {}, "skresnext50_32x4d": SHORT, "skresnet50d": SHORT, "seresnext50_32x4d": SHORT}


def images(size=24):
    return Tensor(np.random.default_rng(0).standard_normal((2, 3, size, size)).astype(np.float32))


@pytest.mark.parametrize("shape", SIZES, ids=str)
@pytest.mark.parametrize("kernel", [2, 3])
def test_padded_max_pooling_is_bit_identical_for_any_sign(mode, kernel, shape):
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32) - 2  # padding with zeros would show
    pool = nn.MaxPool2d(kernel, 2, pad_mode="pad", padding=1)
    np.testing.assert_array_equal(inference_pool(pool)(Tensor(x)).asnumpy(), pool(Tensor(x)).asnumpy())


@pytest.mark.parametrize(
    "options", [{"padding": 2}, {"padding": (1, 0)}, {"padding": 1, "ceil_mode": True}, {"padding": 1, "dilation": 2}]
)
def test_other_padded_poolings_have_no_inference_form(options):
    assert inference_pool(nn.MaxPool2d(5, 2, pad_mode="pad", **options)) is None


@pytest.mark.parametrize("name", full(NETWORKS, by_default=["tiny_sknet"]))
def test_preparing_for_inference_keeps_the_logits(mode, tiny_model, name):
    expected = random_network(name, **NETWORKS[name])(images()).asnumpy()
    prepared = prepare_for_inference(random_network(name, **NETWORKS[name]))
    assert not [cell for _, cell in prepared.cells_and_names() if isinstance(cell, nn.BatchNorm2d)]
    actual = prepared(images()).asnumpy()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_without_folding_the_logits_are_bit_identical(mode):
    expected = random_network("resnet18", **SHORT)(images()).asnumpy()
    network = random_network("resnet18", **SHORT)
    names = {parameter.name for parameter in network.get_parameters()}
    assert prepare_for_inference(network, fold_bn=False) is network
    assert [cell for _, cell in network.cells_and_names() if isinstance(cell, EdgePaddedMaxPool)]
    np.testing.assert_array_equal(network(images()).asnumpy(), expected)
    assert {parameter.name for parameter in network.get_parameters()} == names


def test_cells_in_every_place_are_replaced_and_parameters_keep_their_names():
    class Scaled(nn.Cell):
        def __init__(self, layer):
            super().__init__()
            self.weight, self.layer = layer.weight, layer

    layers = [nn.Dense(2, 2), nn.ReLU(), nn.Dense(2, 2)]
    network = nn.SequentialCell([*layers[:2], nn.CellList([layers[2]])])
    names = {id(parameter): parameter.name for parameter in network.get_parameters()}
    replace_cells(network, lambda cell: Scaled(cell) if isinstance(cell, nn.Dense) else None)
    assert isinstance(network[0], Scaled) and isinstance(network[2][0], Scaled)
    assert {id(parameter): parameter.name for parameter in network.get_parameters()} == names


def test_other_devices_keep_their_own_pooling():
    network = prepare_for_inference(random_network("resnet18", device_forms=False, **SHORT))
    assert isinstance(network.pool, nn.MaxPool2d) and network.pool.use_pad


def test_a_compiled_network_is_rejected(tiny_network):
    ms.set_context(mode=ms.GRAPH_MODE)
    network = tiny_network().set_train(False)
    network(images(16))
    with pytest.raises(ValueError, match=r"compiled.*fold a newly built one"):
        prepare_for_inference(network)
