"""Folding keeps the logits, removes every batch norm, and rejects misuse."""

import numpy as np
import pytest
from goldens import recipe
from mindspore import Tensor, nn
from random_weights import random_network
from tiers import full, slow

from mindcv.models import create_model, fold_batch_norm, list_models
from mindcv.models.layers import ConvNormAct
from mindcv.runtime import setup_runtime

# Two blocks with all parts of the full networks; with 256 planes 1x1 convolutions use their matrix product.
SHORT = {"layers": (1, 1), "planes": (64, 256)}
NETWORKS = {
    "tiny_sknet": {},
    "resnet18": SHORT,
    "skresnet50d": SHORT,
    "seresnext50_32x4d": SHORT,
}
NETWORK = pytest.mark.parametrize("name", NETWORKS)


def images(size=24):
    return Tensor(np.random.default_rng(0).standard_normal((2, 3, size, size)).astype(np.float32))


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        *(("pynative", name) for name in NETWORKS),
        *(("graph", name) if name == "tiny_sknet" else slow("graph", name) for name in NETWORKS),
    ],
    indirect=["mode"],
)
def test_folding_keeps_the_logits(mode, tiny_model, name):
    expected = random_network(name, **NETWORKS[name])(images()).asnumpy()
    folded = random_network(name, **NETWORKS[name])
    count = fold_batch_norm(folded)
    assert count > 5
    difference = np.abs(folded(images()).asnumpy() - expected).max()
    assert 0 < difference < 1e-5 * np.abs(expected).max()  # above 0: rounding shows that the arithmetic differs


@NETWORK
def test_every_batch_norm_is_replaced_by_a_bias(tiny_model, name):
    network = random_network(name, **NETWORKS[name])
    norms = [cell.num_features for _, cell in network.cells_and_names() if isinstance(cell, nn.BatchNorm2d)]
    before = {parameter.name: parameter.size for parameter in network.get_parameters()}
    assert fold_batch_norm(network) == len(norms)
    after = {parameter.name: parameter.size for parameter in network.get_parameters()}
    assert not [cell for _, cell in network.cells_and_names() if isinstance(cell, nn.BatchNorm2d)]
    assert sum(after.values()) == sum(before.values()) - 3 * sum(norms)  # four vectors become one
    assert {name.replace("conv.bias", "conv.weight") for name in after} <= before.keys()


def test_a_convolution_with_bias_keeps_it(mode):
    def build():
        cell = ConvNormAct(3, 4, 3, act=False)
        cell.conv = nn.Conv2d(3, 4, 3, pad_mode="valid", has_bias=True)
        values = np.random.default_rng(5)
        for parameter in cell.get_parameters():
            parameter.set_data(Tensor(values.uniform(0.5, 2, parameter.shape).astype(np.float32)))
        return cell.set_train(False)

    folded = build()
    fold_batch_norm(folded)
    expected = build()(images(5)).asnumpy()
    np.testing.assert_allclose(folded(images(5)).asnumpy(), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_training_a_folded_network_is_an_error(mode, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # MindSpore leaves a report of a failed compilation in the working folder
    network = ConvNormAct(3, 4, 3)
    fold_batch_norm(network)
    with pytest.raises(ValueError, match="folded into its convolutions: it cannot be trained"):
        network.set_train(True)(images(4))


def test_a_compiled_network_is_rejected(tiny_network):
    setup_runtime(mode=0, device_target="CPU")
    network = tiny_network().set_train(False)
    network(images(16))
    with pytest.raises(ValueError, match=r"compiled.*fold a newly built one"):
        fold_batch_norm(network)


def test_a_batch_norm_without_a_convolution_is_not_folded(mode):
    def build():
        network = nn.SequentialCell([ConvNormAct(3, 4, 3), nn.BatchNorm2d(4)])
        for seed, parameter in enumerate(network.get_parameters()):
            values = np.random.default_rng(seed).uniform(0.5, 2, parameter.shape)
            parameter.set_data(Tensor(values.astype(np.float32)))
        return network.set_train(False)

    folded = build()
    assert fold_batch_norm(folded) == 1
    assert isinstance(folded[1], nn.BatchNorm2d)
    expected = build()(images(8)).asnumpy()
    np.testing.assert_allclose(folded(images(8)).asnumpy(), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", full(list_models(), by_default=recipe.KINDS))
def test_every_batch_norm_of_every_network_is_folded(name):
    network = create_model(name, num_classes=2)
    norms = sum(isinstance(cell, nn.BatchNorm2d) for _, cell in network.cells_and_names())
    assert fold_batch_norm(network) == norms > 10
    assert not [cell for _, cell in network.cells_and_names() if isinstance(cell, nn.BatchNorm2d)]
