"""Recomputing: the network learns the same, bit-identical except for running statistics; both modes."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn
from tiers import COMPILED_LATER, full

import assemble_training
import config
from mindcv.compile_cache.key import graph_key
from mindcv.engine import Clip, RunLength, TrainStep
from mindcv.loss import create_loss
from mindcv.models import freeze, recompute_blocks
from mindcv.optim import create_optimizer

RNG = np.random.default_rng(11)
BATCHES = [
    (RNG.normal(0.5, 2, (8, 3, 8, 8)).astype(np.float32), RNG.integers(0, 10, 8).astype(np.int32)) for _ in range(3)
]
STATISTICS = ("moving_mean", "moving_variance")


def make_step(network, *, clip_norm=None, **options):
    optimizer = create_optimizer(network, "momentum", lr=0.05)
    clip = Clip("norm", clip_norm, optimizer.parameters) if clip_norm else None
    return TrainStep(network, create_loss("CE"), optimizer, clip=clip, **options)


def train(network, batches=BATCHES, evaluate=True, **options):
    """Losses, and the logits in evaluation after each step."""
    step, losses, logits = make_step(network, **options), [], []
    for images, labels in batches:
        step.set_train(True)
        losses.append(step(Tensor(images), Tensor(labels))[0].asnumpy().copy())
        if evaluate:
            step.set_train(False)
            logits.append(network(Tensor(BATCHES[0][0])).asnumpy().copy())
    return np.array(losses), np.array(logits)


def values(network):
    return {parameter.name: parameter.asnumpy().copy() for parameter in network.get_parameters()}


def assert_learnt_the_same(plain, recomputed):
    before, after = values(plain), values(recomputed)
    assert list(before) == list(after)
    for name, value in before.items():
        if name.endswith(STATISTICS):
            np.testing.assert_allclose(after[name], value, rtol=3e-6, atol=1e-6, err_msg=name)
        else:
            np.testing.assert_array_equal(after[name], value, err_msg=name)


@pytest.mark.parametrize("mode", full(["graph", "pynative"], by_default=["pynative"]), indirect=True)
def test_losses_and_weights_are_bit_identical_and_statistics_updated_once(mode, tiny_network):
    plain, recomputed = tiny_network(zero_init_last=False), tiny_network(zero_init_last=False)
    recompute_blocks(recomputed)
    losses, logits = train(plain, clip_norm=0.5)
    losses_again, logits_again = train(recomputed, clip_norm=0.5)
    np.testing.assert_array_equal(losses_again, losses)
    np.testing.assert_allclose(logits_again, logits, rtol=1e-4, atol=1e-5)
    assert_learnt_the_same(plain, recomputed)


def test_statistics_are_those_of_the_formula(mode, tiny_network):
    network = tiny_network()
    recompute_blocks(network)
    images, labels = BATCHES[0]
    make_step(network).set_train(True)(Tensor(images), Tensor(labels))
    got = values(network)
    stem = tiny_network().set_train(True)  # the input of the first convolution of the first block
    inputs = stem.pool(stem.stem(Tensor(images))).asnumpy().astype(np.float64)
    kernel = values(stem)["stages.0.0.conv1.conv.weight"][:, :, 0, 0].astype(np.float64)
    outputs = np.einsum("oc,bchw->obhw", kernel, inputs).reshape(len(kernel), -1)
    mean, variance = 0.1 * outputs.mean(1), 0.9 + 0.1 * outputs.var(1, ddof=1)
    np.testing.assert_allclose(got["stages.0.0.conv1.bn.moving_mean"], mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(got["stages.0.0.conv1.bn.moving_variance"], variance, rtol=1e-4)


@COMPILED_LATER
def test_a_batch_with_nan_changes_nothing(mode, tiny_network):
    network = tiny_network()
    recompute_blocks(network)
    before = values(network)
    images = BATCHES[0][0].copy()
    images[3, 1, 2, 2] = np.nan
    _, finite, *_ = make_step(network).set_train(True)(Tensor(images), Tensor(BATCHES[0][1]))
    assert not finite.asnumpy()
    for name, value in values(network).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


@pytest.mark.slow
def test_frozen_blocks_run_once_and_update_their_statistics_as_before(mode, tiny_network):
    networks = [tiny_network(zero_init_last=False) for _ in range(2)]
    for network in networks:
        freeze(network, 1, "none")
    recompute_blocks(networks[1])
    for network in networks:
        train(network, BATCHES[:2], evaluate=False)
    assert_learnt_the_same(*networks)


def test_batch_norms_in_recomputed_blocks_run_twice(mode, tiny_network):
    """Shows, with the tests above that depend on this factor, that activations are recomputed, not kept."""
    network = tiny_network()
    recompute_blocks(network)
    norm = network.stages[0][0].conv1.bn
    assert norm.bn_train.momentum == pytest.approx(1 - 0.9**0.5)
    assert network.stem.bn.bn_train.momentum == pytest.approx(0.1)  # not in a block


def test_stochastic_depth_whose_masks_would_be_drawn_twice_is_rejected(tiny_network):
    network = tiny_network(drop_path_rate=0.1)
    with pytest.raises(ValueError, match="recompute does not go with drop_path_rate or drop_block_rate above 0"):
        recompute_blocks(network)
    recompute_blocks(tiny_network(drop_rate=0.3))  # dropout before the classifier, which is in no block


def test_a_network_without_stages_is_rejected():
    with pytest.raises(ValueError, match="cannot recompute the blocks of Dense: it is not a network of list_models"):
        recompute_blocks(nn.Dense(2, 2))


def test_networks_with_and_without_recomputing_have_different_graph_keys(tiny_network):
    ms.set_context(mode=ms.GRAPH_MODE)
    inputs = tuple(map(Tensor, BATCHES[0]))
    keys = set()
    for is_recomputed in (False, True):
        network = tiny_network()
        if is_recomputed:
            recompute_blocks(network)
        keys.add(graph_key({}, make_step(network).set_train(True), inputs))
    assert len(keys) == 2


@pytest.mark.parametrize("flags, share", [([], 0.1), (["--recompute"], 1 - 0.9**0.5)])
def test_the_option_reaches_the_network(tiny_network, flags, share):
    network = tiny_network()
    resolved = config.load_config(["--dataset=cifar10", *flags], prog="train")
    assemble_training.build_step(resolved, network, RunLength(90, 5))
    assert network.stages[1][0].conv3.bn.bn_train.momentum == pytest.approx(share)
