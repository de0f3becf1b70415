"""Dropout and stochastic depth: masks against the hash written out in NumPy, their statistics, and their replay."""

import hashlib
import itertools

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from mindcv.models.layers import DropBlock, Dropout, DropPath

DROPS = pytest.mark.parametrize("make, shape", [(Dropout, (8, 50)), (DropPath, (400, 1, 1, 1))])
MODULUS = 2**32
STEPS = (0x9E3779B9, 0x7FEB352D, 0x846CA68B, 0x85EBCA6B)


def masks_of(layer, shape, count=1) -> np.ndarray:
    """The masks of the next `count` calls of `layer`, bool (count, *shape)."""
    ones = Tensor(np.ones(shape, np.float32))
    layer.set_train()
    return np.stack([layer(ones).asnumpy() > 0 for _ in range(count)])


def z_score(values, mean, variance) -> float:
    """How many standard deviations the mean of independent `values` is from its expectation."""
    return abs(values.mean() - mean) / np.sqrt(variance / values.size)


def expected_mask(rate, global_seed, layer_seed, draw, count) -> np.ndarray:
    """The documented hash in Python's exact integers, wrapped by hand."""

    def mix(word, factor):
        signed = word - MODULUS if word >= MODULUS // 2 else word
        return (word * factor ^ signed >> 16) % MODULUS

    golden, first, second, third = STEPS
    digest = hashlib.sha256(f"{global_seed} {layer_seed}".encode()).digest()
    key = [int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:8], "little")]
    w0 = mix(mix((draw * golden + key[0]) % MODULUS, first), second)
    kept = []
    for position in range(count):
        word = mix((position * golden + w0) % MODULUS, first)
        word = mix((word + draw * third + key[1]) % MODULUS, second) * first % MODULUS
        signed = word - MODULUS if word >= MODULUS // 2 else word
        kept.append(signed < round((1 - rate) * MODULUS) - MODULUS // 2)
    return np.array(kept)


@DROPS
@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_masks_are_bit_identical_to_the_documented_hash(mode, make, shape, rate):
    ms.set_seed(11)
    layer = make(rate, seed=3)
    for draw, start in ((0, None), (1, None), (2**31 - 1, 2**31 - 1), (123_456_789, 123_456_789)):
        if start is not None:
            layer.draws.set_data(Tensor(start, ms.int32))
        mask = masks_of(layer, shape)[0].ravel()
        np.testing.assert_array_equal(mask, expected_mask(rate, 11, 3, draw, mask.size))


def test_masks_are_the_same_for_float16_and_float32(mode):
    masks = []
    for dtype in (np.float16, np.float32):
        dropped = Dropout(0.3, seed=0).set_train()(Tensor(np.ones((8, 50), dtype))).asnumpy()
        assert dropped.dtype == dtype
        masks.append(dropped > 0)
    np.testing.assert_array_equal(*masks)


@pytest.mark.parametrize("rate", [0.02, 0.25, 0.9])
def test_dropout_drops_single_activations_and_keeps_the_mean(mode, rate):
    layer = Dropout(rate, seed=0).set_train()
    dropped = layer(Tensor(np.ones((200, 500), np.float32))).asnumpy()
    np.testing.assert_allclose(np.unique(dropped), [0, 1 / (1 - rate)], rtol=1e-6)
    assert z_score(dropped, 1, rate / (1 - rate)) < 4


def test_drop_path_drops_whole_examples_and_keeps_the_mean(mode):
    layer = DropPath(0.25, seed=0).set_train()
    dropped = layer(Tensor(np.ones((4000, 2, 2, 1), np.float32))).asnumpy()
    assert np.all(dropped == dropped[:, :1, :1, :1])
    np.testing.assert_allclose(np.unique(dropped), [0, 4 / 3], rtol=1e-6)
    assert z_score(dropped[:, 0, 0, 0], 1, 1 / 3) < 4


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_neighbouring_positions_calls_and_layers_are_uncorrelated(mode, rate):
    masks = np.stack([masks_of(Dropout(rate, seed=seed), (64, 1000), count=2) for seed in (0, 1)])  # (layer, call, ...)
    standard = ((masks - (1 - rate)) / np.sqrt(rate * (1 - rate))).reshape(4, -1)
    for first, second in itertools.combinations(standard, 2):
        assert z_score(first * second, 0, 1) < 4
    for one in standard:
        for lag in (1, 2, 3, 7, 16, 999, 1000, 1001, 32000):
            assert z_score(one[lag:] * one[:-lag], 0, 1) < 4, lag


def test_one_example_is_dropped_independently_from_call_to_call(mode):
    masks = masks_of(DropPath(0.2, seed=5), (8, 1, 1, 1), count=300).reshape(300, 8)
    standard = (masks - 0.8) / 0.4
    for example in standard.T:
        assert z_score(example, 0, 1) < 4
        for lag in (1, 2, 5):
            assert z_score(example[lag:] * example[:-lag], 0, 1) < 4
    assert z_score(standard.sum(axis=1) ** 2 / 8, 1, 2) < 4  # examples of one call are independent too


@DROPS
def test_drop_layers_do_nothing_in_evaluation(mode, make, shape):
    layer = make(0.5, seed=0).set_train(False)
    ones = np.ones(shape, np.float32)
    np.testing.assert_array_equal(layer(Tensor(ones)).asnumpy(), ones)
    assert layer.draws.asnumpy() == 0


@DROPS
def test_masks_repeat_for_a_seed_and_change_between_calls_and_layers(mode, make, shape):
    def three_masks(global_seed, layer_seed):
        ms.set_seed(global_seed)
        return masks_of(make(0.5, seed=layer_seed), shape, count=3)

    masks = three_masks(1, 0)
    np.testing.assert_array_equal(masks, three_masks(1, 0))
    others = [masks[1], masks[2], three_masks(1, 1)[0], three_masks(2, 0)[0], three_masks(0, 1)[0]]
    assert all(not np.array_equal(masks[0], other) for other in others)


@DROPS
def test_restoring_the_number_of_draws_replays_the_masks(mode, make, shape):
    ms.set_seed(1)
    layer = make(0.5, seed=0)
    masks = masks_of(layer, shape, count=5)
    assert layer.draws.asnumpy() == 5
    ms.set_seed(1)
    resumed = make(0.5, seed=0)
    resumed.draws.set_data(Tensor(2, ms.int32))
    np.testing.assert_array_equal(masks_of(resumed, shape, count=3), masks[2:])
    layer.draws.set_data(Tensor(2, ms.int32))  # also in a layer that is already compiled
    np.testing.assert_array_equal(masks_of(layer, shape, count=3), masks[2:])


@DROPS
def test_draws_is_an_untrained_int32_parameter_that_exists_only_with_a_rate(make, shape):
    (draws,) = make(0.5, seed=0).get_parameters()
    assert (draws.name, draws.dtype, draws.shape, draws.requires_grad) == ("draws", ms.int32, (), False)
    network = nn.SequentialCell(make(0.5, seed=0))
    assert [parameter.name for parameter in network.get_parameters()] == ["0.draws"]
    assert not list(make(0.0, seed=0).get_parameters())


@DROPS
def test_a_rate_of_zero_returns_the_input(mode, make, shape):
    assert masks_of(make(0.0, seed=0), shape).all()


@DROPS
@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_drop_rates_outside_zero_to_one_are_rejected(make, shape, rate):
    with pytest.raises(ValueError, match=r"drop rate must be in \[0, 1\)"):
        make(rate, seed=0)


def test_gradient_is_the_mask_over_keep_prob_and_takes_one_draw(mode):
    layer = Dropout(0.2, seed=0).set_train()
    x = Tensor(np.random.default_rng(0).standard_normal((8, 50)).astype(np.float32))

    def loss(x):
        return layer(x).sum()

    for draws in (1, 2):
        gradient = ms.grad(loss)(x).asnumpy()
        assert layer.draws.asnumpy() == draws
        layer.draws.set_data(Tensor(draws - 1, ms.int32))
        np.testing.assert_array_equal(gradient, masks_of(layer, (8, 50))[0] * np.float32(1 / 0.8))


def test_a_layer_called_twice_in_one_network_draws_two_masks(mode):
    class Twice(nn.Cell):
        def __init__(self):
            super().__init__()
            self.drop = Dropout(0.5, seed=0)

        def construct(self, x):
            return self.drop(x), self.drop(x)

    network = Twice().set_train()
    ones = Tensor(np.ones((8, 50), np.float32))
    both = [mask.asnumpy() > 0 for _ in range(2) for mask in network(ones)]
    assert network.drop.draws.asnumpy() == 4
    np.testing.assert_array_equal(both, masks_of(Dropout(0.5, seed=0), (8, 50), count=4))


def test_drop_block_drops_the_squares_below_the_hash_and_keeps_the_mean(mode):
    """Algorithm 1 of Ghiasi et al. 2018, with the corners from the documented hash."""
    ms.set_seed(11)
    shape, side, rate = (2, 3, 7, 9), 3, 0.3
    corners = (2, 3, 5, 7)
    share = rate / side**2 * (7 * 9) / (5 * 7)
    layer = DropBlock(rate, seed=3, block_size=side).set_train()
    for draw in range(2):
        dropped = ~expected_mask(share, 11, 3, draw, np.prod(corners)).reshape(corners)
        kept = np.ones(shape)
        for batch, channel, row, column in zip(*np.nonzero(dropped), strict=True):
            kept[batch, channel, row : row + side, column : column + side] = 0
        result = layer(Tensor(np.ones(shape, np.float32))).asnumpy()
        np.testing.assert_array_equal(result > 0, kept > 0)
        np.testing.assert_allclose(result, kept * kept.size / kept.sum(), rtol=1e-6)
    assert 0 < kept.mean() < 1


def test_drop_block_takes_maps_smaller_than_its_squares_and_rests_in_evaluation(mode):
    ones = Tensor(np.ones((40, 8, 2, 2), np.float32))
    layer = DropBlock(0.25, seed=0, block_size=5)
    np.testing.assert_array_equal(layer.set_train(False)(ones).asnumpy(), ones.asnumpy())
    result = layer.set_train()(ones).asnumpy().reshape(320, 4)
    assert (result.min(1) == result.max(1)).all()  # the whole map or nothing
    assert z_score((result.max(1) > 0).astype(float), 0.75, 0.75 * 0.25) < 4


def test_the_gradient_of_drop_block_is_its_mask(mode):
    x = Tensor(np.random.default_rng(0).standard_normal((2, 3, 6, 6)).astype(np.float32))
    layers = [DropBlock(0.3, seed=1, block_size=3).set_train() for _ in range(2)]
    gradient = ms.grad(layers[0])(x).asnumpy()
    np.testing.assert_array_equal(gradient, layers[1](Tensor(np.ones((2, 3, 6, 6), np.float32))).asnumpy())
