"""Weight decay, learning rate and order of the parameters in groups."""

import pytest
from mindspore import nn

from mindcv.optim.param_groups import create_param_groups


def network():
    return nn.SequentialCell(
        nn.Conv2d(1, 2, 3, pad_mode="valid", has_bias=True), nn.BatchNorm2d(2), nn.Flatten(), nn.Dense(8, 3)
    )


def names(params):
    return [param.name for param in params]


def test_disable_decays_every_trainable_parameter_in_one_group():
    net = network()
    decayed, order = create_param_groups(net, 0.1, "disable", lr=0.5)
    assert decayed["weight_decay"] == 0.1
    assert names(decayed["params"]) == names(net.trainable_params())
    assert names(order["order_params"]) == names(net.trainable_params())


def test_auto_exempts_the_parameters_of_norms_but_not_biases():
    decayed, spared, _ = create_param_groups(network(), 0.1, "auto", lr=0.5)
    assert (decayed["weight_decay"], names(decayed["params"])) == (0.1, ["0.weight", "0.bias", "3.weight", "3.bias"])
    assert (spared["weight_decay"], names(spared["params"])) == (0.0, ["1.gamma", "1.beta"])


def test_norm_and_bias_exempts_one_dimensional_parameters_and_keeps_the_order():
    net = network()
    decayed, spared, order = create_param_groups(net, 0.1, "norm_and_bias", lr=0.5)
    assert (decayed["weight_decay"], names(decayed["params"])) == (0.1, ["0.weight", "3.weight"])
    assert (spared["weight_decay"], names(spared["params"])) == (0.0, ["0.bias", "1.gamma", "1.beta", "3.bias"])
    assert names(order["order_params"]) == names(net.trainable_params())


@pytest.mark.parametrize("wrap", [lambda net: net, lambda net: list(net.get_parameters())], ids=["cell", "list"])
def test_frozen_parameters_are_left_out(wrap):
    net = network()
    net[0].weight.requires_grad = False
    decayed, order = create_param_groups(wrap(net), 0.1, "disable", lr=0.5)
    expected = ["0.bias", "1.gamma", "1.beta", "3.weight", "3.bias"]
    assert names(decayed["params"]) == names(order["order_params"]) == expected


def test_a_network_of_small_parameters_only_has_no_decayed_group():
    spared, _ = create_param_groups(nn.BatchNorm2d(2), 0.1, "norm_and_bias", lr=0.5)
    assert spared["weight_decay"] == 0.0


def test_no_trainable_parameter_is_an_error():
    net = network()
    for param in net.get_parameters():
        param.requires_grad = False
    with pytest.raises(ValueError, match="all are frozen"):
        create_param_groups(net, 0.1, lr=0.5)


class Deep(nn.SequentialCell):
    """Four depth groups: a convolution, its norm, a layer without parameters, and the classifier."""

    def depth_groups(self):
        return [["0.weight", "0.bias"], ["1.gamma", "1.beta"], [], ["3.weight", "3.bias"]]


def deep():
    return Deep(nn.Conv2d(1, 2, 3, pad_mode="valid", has_bias=True), nn.BatchNorm2d(2), nn.Flatten(), nn.Dense(8, 3))


def rates(groups, default):
    return {p.name: group.get("lr", default) for group in groups[:-1] for p in group["params"]}


def test_the_rate_falls_by_the_decay_for_every_depth_group_below_the_classifier():
    groups = create_param_groups(deep(), 0.1, lr=8.0, layer_decay=0.5)
    assert rates(groups, 8.0) == {
        "0.weight": 1.0, "0.bias": 1.0, "1.gamma": 2.0, "1.beta": 2.0, "3.weight": 8.0, "3.bias": 8.0
    }  # fmt: skip


def test_the_head_scale_multiplies_the_classifiers_rate_only():
    expected = {"0.weight": 8.0, "0.bias": 8.0, "1.gamma": 8.0, "1.beta": 8.0, "3.weight": 80.0, "3.bias": 80.0}
    assert rates(create_param_groups(deep(), 0.1, lr=8.0, head_lr_scale=10.0), 8.0) == expected
    both = rates(create_param_groups(deep(), 0.1, lr=8.0, head_lr_scale=10.0, layer_decay=0.5), 8.0)
    assert both == {**expected, "0.weight": 1.0, "0.bias": 1.0, "1.gamma": 2.0, "1.beta": 2.0}


def test_every_value_of_a_schedule_is_scaled():
    groups = create_param_groups(deep(), 0.1, lr=[8.0, 4.0], layer_decay=0.5)
    assert rates(groups, None)["1.gamma"] == [2.0, 1.0]


def test_parameters_of_equal_scale_and_decay_share_a_group_and_the_given_order_is_kept():
    net = deep()
    *groups, order = create_param_groups(net, 0.1, "norm_and_bias", lr=8.0, layer_decay=0.5)
    assert [(group.get("lr", 8.0), group["weight_decay"], names(group["params"])) for group in groups] == [
        (8.0, 0.1, ["3.weight"]),
        (8.0, 0.0, ["3.bias"]),
        (2.0, 0.0, ["1.gamma", "1.beta"]),
        (1.0, 0.1, ["0.weight"]),
        (1.0, 0.0, ["0.bias"]),
    ]
    assert names(order["order_params"]) == names(net.trainable_params())


@pytest.mark.parametrize("options", [{}, {"layer_decay": 1.0}, {"head_lr_scale": 1.0}])
def test_without_scales_no_group_has_its_own_rate_and_no_depth_groups_are_needed(options):
    groups = create_param_groups(network(), 0.1, "norm_and_bias", lr=[1.0, 0.5], **options)
    assert len(groups) == 3
    assert not any("lr" in group for group in groups)


def test_freezing_a_depth_group_does_not_change_the_rates_of_the_others():
    net = deep()
    before = rates(create_param_groups(net, 0.1, lr=8.0, layer_decay=0.5), 8.0)
    net[0].weight.requires_grad = net[1].gamma.requires_grad = net[1].beta.requires_grad = False
    after = rates(create_param_groups(net, 0.1, lr=8.0, layer_decay=0.5), 8.0)
    assert after == {name: before[name] for name in ("0.bias", "3.weight", "3.bias")}


def test_the_depth_groups_of_a_network_hold_every_parameter_once(tiny_network):
    net = tiny_network()
    scales = rates(create_param_groups(net, 0.1, lr=1.0, layer_decay=0.5, head_lr_scale=3.0), 1.0)
    expected = {"stem": 0.125, "stages.0": 0.25, "stages.1": 0.5, "classifier": 3.0}
    for name in names(net.trainable_params()):
        (part,) = (part for part in expected if name.startswith(f"{part}."))
        assert scales[name] == expected[part], name


@pytest.mark.parametrize(
    "model, options, message",
    [
        (deep, {"layer_decay": 0.0}, r"layer_decay must be a number in \(0, 1\]; got 0.0"),
        (deep, {"layer_decay": 1.01}, r"layer_decay must be a number in \(0, 1\]; got 1.01"),
        (deep, {"layer_decay": float("nan")}, "layer_decay must be a number .*nan"),
        (deep, {"head_lr_scale": 0.0}, "head_lr_scale must be a number > 0; got 0.0"),
        (deep, {"head_lr_scale": float("inf")}, "head_lr_scale must be a number > 0; got inf"),
        (
            network,
            {"layer_decay": 0.5},
            r"a network with a method depth_groups\(\); got SequentialCell",
        ),
        (lambda: deep().trainable_params(), {"head_lr_scale": 2.0}, "got a bare collection of parameters"),
    ],
)
def test_a_scale_that_cannot_be_applied_is_an_error(model, options, message):
    with pytest.raises(ValueError, match=message):
        create_param_groups(model(), 0.1, lr=1.0, **options)


def test_a_parameter_outside_the_depth_groups_is_named():
    net = deep()
    net.depth_groups = lambda: [["0.weight", "0.bias"], ["3.weight", "3.bias"]]
    with pytest.raises(ValueError, match=r"depth_groups\(\) of Deep leaves out 1.gamma, 1.beta"):
        create_param_groups(net, 0.1, lr=1.0, layer_decay=0.5)
