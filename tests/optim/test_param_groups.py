"""Which parameters are decayed, and in which order they stay."""

import pytest
from mindspore import nn

from mindcv.optim import create_param_groups


def network():
    return nn.SequentialCell(
        nn.Conv2d(1, 2, 3, pad_mode="valid", has_bias=True), nn.BatchNorm2d(2), nn.Flatten(), nn.Dense(8, 3)
    )


def names(params):
    return [param.name for param in params]


def test_disable_decays_every_trainable_parameter_in_one_group():
    net = network()
    decayed, order = create_param_groups(net, 0.1, "disable")
    assert decayed["weight_decay"] == 0.1
    assert names(decayed["params"]) == names(net.trainable_params())
    assert names(order["order_params"]) == names(net.trainable_params())


def test_norm_and_bias_spares_parameters_of_one_dimension_and_keeps_the_order():
    net = network()
    decayed, spared, order = create_param_groups(net, 0.1, "norm_and_bias")
    assert (decayed["weight_decay"], names(decayed["params"])) == (0.1, ["0.weight", "3.weight"])
    assert (spared["weight_decay"], names(spared["params"])) == (0.0, ["0.bias", "1.gamma", "1.beta", "3.bias"])
    assert names(order["order_params"]) == names(net.trainable_params())


@pytest.mark.parametrize("wrap", [lambda net: net, lambda net: list(net.get_parameters())], ids=["cell", "list"])
def test_frozen_parameters_are_left_out(wrap):
    net = network()
    net[0].weight.requires_grad = False
    decayed, order = create_param_groups(wrap(net), 0.1, "disable")
    expected = ["0.bias", "1.gamma", "1.beta", "3.weight", "3.bias"]
    assert names(decayed["params"]) == names(order["order_params"]) == expected


def test_a_network_of_small_parameters_only_has_no_decayed_group():
    spared, _ = create_param_groups(nn.BatchNorm2d(2), 0.1, "norm_and_bias")
    assert spared["weight_decay"] == 0.0


def test_nothing_trainable_is_refused():
    net = network()
    for param in net.get_parameters():
        param.requires_grad = False
    with pytest.raises(ValueError, match="all are frozen"):
        create_param_groups(net, 0.1)
