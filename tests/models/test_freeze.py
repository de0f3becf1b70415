"""Freezing: frozen weights and statistics stay bit-identical, all others still learn; both modes."""

import re

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn
from tiers import COMPILED_LATER, full, in_both_modes

from mindcv.engine import TrainStep
from mindcv.loss import create_loss
from mindcv.models.freeze import freeze
from mindcv.models.layers import ConvNormAct
from mindcv.optim import create_optimizer

RNG = np.random.default_rng(5)
IMAGES = RNG.standard_normal((4, 3, 8, 8)).astype(np.float32)
LABELS = np.array([0, 3, 1, 2], np.int32)
STATISTICS = ("moving_mean", "moving_variance")
OPTIMIZERS = {
    "momentum": {"opt": "momentum"},
    "nesterov": {"opt": "momentum", "use_nesterov": True},
    "adam": {"opt": "adam"},
    "adamw": {"opt": "adamw"},
}


def values(network):
    return {parameter.name: parameter.asnumpy().copy() for parameter in network.get_parameters()}


def with_statistics(network):
    """Running statistics and scales as after some training: the initial 0 and 1 would hide errors."""
    rng = np.random.default_rng(1)
    for parameter in network.get_parameters():
        if parameter.name.endswith(("moving_mean", "beta")):
            parameter.set_data(Tensor(rng.normal(0, 0.3, parameter.shape).astype(np.float32)))
        elif parameter.name.endswith(("moving_variance", "gamma")):
            parameter.set_data(Tensor(rng.uniform(0.5, 1.5, parameter.shape).astype(np.float32)))
    return network


def train(network, updates=2, **options):
    optimizer = create_optimizer(network, **{"lr": 0.05, "weight_decay": 0.1, **options})
    step = TrainStep(network, create_loss("CE"), optimizer)
    for _ in range(updates):
        step.set_train(True)
        step(Tensor(IMAGES), Tensor(LABELS))[0].asnumpy()
        step.set_train(False)  # as the trainer does for validation
    return optimizer


def changed(before, after):
    return {name for name in before if not np.array_equal(before[name], after[name])}


def part(names, *prefixes):
    return {name for name in names if name.startswith(prefixes)}


PARTS = {1: ("stem.", "stages.0."), 2: ("stem.", "stages."), "backbone": ("stem.", "stages.")}


@pytest.mark.parametrize("stages", PARTS)
def test_the_stem_and_the_first_stages_are_frozen_and_nothing_is_renamed(tiny_network, stages):
    network = tiny_network()
    names = [parameter.name for parameter in network.get_parameters()]
    trainable = {parameter.name for parameter in network.trainable_params()}
    freeze(network, stages)
    assert [parameter.name for parameter in network.get_parameters()] == names
    assert trainable - {p.name for p in network.trainable_params()} == part(trainable, *PARTS[stages])


@in_both_modes("optimizer", OPTIMIZERS, compiled=["momentum"], by_default=["momentum", "adamw"])
def test_frozen_weights_and_statistics_stay_bit_identical_and_all_others_change(mode, tiny_network, optimizer):
    network = with_statistics(tiny_network())
    freeze(network, 1)
    before = values(network)
    built = train(network, **OPTIMIZERS[optimizer])
    assert changed(before, values(network)) == set(before) - part(before, *PARTS[1])
    assert {p.name for p in built.parameters} == {p.name for p in network.trainable_params()}


@COMPILED_LATER
def test_with_the_backbone_frozen_only_the_classifier_changes(mode, tiny_network):
    network = with_statistics(tiny_network())
    freeze(network, "backbone")
    before = values(network)
    train(network)
    assert changed(before, values(network)) == {"classifier.weight", "classifier.bias"}


@COMPILED_LATER
def test_rule_none_keeps_updating_the_statistics_of_frozen_layers(mode, tiny_network):
    network = with_statistics(tiny_network())
    freeze(network, "backbone", "none")
    before = values(network)
    train(network)
    moving = {name for name in before if name.endswith(STATISTICS)}
    assert changed(before, values(network)) == moving | {"classifier.weight", "classifier.bias"}


@COMPILED_LATER
@pytest.mark.parametrize("stages", full([None, 1], by_default=[1]))
def test_rule_all_freezes_every_statistic_and_scales_outside_still_learn(mode, tiny_network, stages):
    network = with_statistics(tiny_network())
    freeze(network, stages, "all")
    before = values(network)
    train(network)
    kept = {name for name in before if name.endswith(STATISTICS)} | (part(before, *PARTS[stages]) if stages else set())
    assert changed(before, values(network)) == set(before) - kept


@COMPILED_LATER
def test_frozen_parts_give_the_same_output_in_training_and_evaluation(mode, tiny_network):
    reference = with_statistics(tiny_network(features_only=True)).set_train(False)
    expected = [feature.asnumpy() for feature in reference(Tensor(IMAGES))]
    network = with_statistics(tiny_network(features_only=True))
    freeze(network.model, 1)
    got = [feature.asnumpy() for feature in network.set_train(True)(Tensor(IMAGES))]
    for i in (0, 1):  # the stem and stage 1
        np.testing.assert_array_equal(got[i], expected[i])
    assert abs(got[2] - expected[2]).max() > 0.01  # stage 2 normalises by the batch


class Gradients(nn.Cell):
    """Gradients of sum(network(x) * weighting) for every trainable parameter."""

    def __init__(self, network):
        super().__init__(auto_prefix=False)
        self.network = network
        self.gradients = ms.grad(self.forward, 0, network.trainable_params())

    def forward(self, x, weighting):
        return (self.network(x) * weighting).sum()

    def construct(self, x, weighting):
        return self.gradients(x, weighting)


def test_gradients_through_a_frozen_batch_norm_equal_the_formula(mode):
    channels = 6
    layer = with_statistics(ConvNormAct(3, channels, 1, act=False))
    freeze(layer, None, "all")
    weighting = RNG.standard_normal((4, channels, 8, 8)).astype(np.float32)
    in_order = [parameter.name for parameter in layer.trainable_params()]
    by_input, by_weights = Gradients(layer).set_train(True)(Tensor(IMAGES), Tensor(weighting))
    got = dict(zip(in_order, (gradient.asnumpy() for gradient in by_weights), strict=True))

    weights = {name: value.astype(np.float64) for name, value in values(layer).items()}
    kernel = weights["conv.weight"][:, :, 0, 0]
    inverse = 1 / np.sqrt(weights["bn.moving_variance"] + 1e-5)
    mean = weights["bn.moving_mean"][:, None, None]
    normalised = (np.einsum("oc,bchw->bohw", kernel, IMAGES) - mean) * inverse[:, None, None]
    to_conv = weighting * (weights["bn.gamma"] * inverse)[:, None, None]  # the statistics are constants
    np.testing.assert_allclose(got["bn.gamma"], (weighting * normalised).sum(axis=(0, 2, 3)), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(got["bn.beta"], weighting.sum(axis=(0, 2, 3)), rtol=1e-4, atol=1e-4)
    expected = np.einsum("bohw,bchw->oc", to_conv, IMAGES)
    np.testing.assert_allclose(got["conv.weight"][:, :, 0, 0], expected, rtol=1e-4, atol=1e-4)
    expected = np.einsum("bohw,oc->bchw", to_conv, kernel)
    np.testing.assert_allclose(by_input.asnumpy(), expected, rtol=1e-4, atol=1e-5)


@COMPILED_LATER
def test_with_all_statistics_frozen_training_gradients_equal_those_of_evaluation(mode, tiny_network):
    def gradients(network, is_training):
        weighting = np.random.default_rng(2).standard_normal((4, 10)).astype(np.float32)
        _, by_weights = Gradients(network).set_train(is_training)(Tensor(IMAGES), Tensor(weighting))
        return [gradient.asnumpy() for gradient in by_weights]

    expected = gradients(with_statistics(tiny_network()), is_training=False)
    network = with_statistics(tiny_network())
    freeze(network, None, "all")
    for a, b in zip(gradients(network, is_training=True), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@COMPILED_LATER
def test_a_network_that_was_evaluated_before_can_be_frozen(mode, tiny_network):
    network = with_statistics(tiny_network()).set_train(False)
    network(Tensor(IMAGES))
    freeze(network, 1)
    before = values(network)
    train(network)
    assert changed(before, values(network)) == set(before) - part(before, *PARTS[1])


def test_the_report_counts_parameters_and_batch_norms(tiny_network):
    network = tiny_network()
    trainable = network.trainable_params()
    total = sum(parameter.size for parameter in trainable)
    first = sum(p.size for p in trainable if p.name.startswith(PARTS[1]))
    # stem 1; conv1, two branches, fuse and conv3 of a block 5; its shortcut is the identity
    assert freeze(network, 1) == (
        f"frozen: stem and stage 1 ({first:,} of {total:,} parameters) and the statistics of their 6 batch norms"
    )


@pytest.mark.parametrize(
    "arguments, options, expected",
    [
        ((None,), {}, "^$"),
        ((None, "none"), {}, "^$"),
        ((None, "all"), {}, "^frozen: the statistics of all 12 batch norms$"),
        ((2,), {}, r"^frozen: stem and stages 1 to 2 \([\d,]+ of [\d,]+ parameters\) and the statistics of their 12 "),
        (("backbone", "all"), {}, r"^frozen: all but the classifier \(.*\) and the statistics of all 12 batch norms$"),
        ((1, "none"), {}, r"parameters\); the statistics of their 6 batch norms keep adapting$"),
        ((2,), {"drop_path_rate": 0.1}, "; dropout, stochastic depth and DropBlock stay active in them$"),
    ],
)
def test_the_report_says_what_was_frozen(tiny_network, arguments, options, expected):
    report = freeze(tiny_network(**options), *arguments)
    assert re.search(expected, report), report


@pytest.mark.parametrize(
    "stages, rule, message",
    [
        (3, "frozen", "stages to freeze must be 1 to 2, as this network has 2 stages, or 'backbone'; got 3"),
        (0, "frozen", "must be 1 to 2.*got 0"),
        (True, "frozen", "must be 1 to 2.*got True"),
        ("backbones", "frozen", "or 'backbone'; got 'backbones'"),
        (1, "frozn", "unknown batch norm rule 'frozn'. Did you mean 'frozen'.*Known: none, frozen, all"),
    ],
)
def test_an_illegal_argument_is_an_error_and_freezes_nothing(tiny_network, stages, rule, message):
    network = tiny_network()
    count = len(network.trainable_params())
    with pytest.raises(ValueError, match=message):
        freeze(network, stages, rule)
    assert len(network.trainable_params()) == count


def test_a_network_without_stages_is_rejected():
    with pytest.raises(ValueError, match="cannot freeze Dense: it is not a network of list_models"):
        freeze(nn.Dense(2, 2), 1)
