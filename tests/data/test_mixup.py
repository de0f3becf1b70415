"""Mixup and CutMix: the formulas, the distributions of their random draws, and labels that agree with the pixels."""

import math

import mindspore as ms
import numpy as np
import pytest
from scipy import stats

from mindcv.data import create_batch_transforms
from mindcv.data.mixup import Mixing, SoftLabels
from mindcv.loss import create_loss

MODES = ("batch", "pair", "elem")


def batch(count, size=8, classes=5, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.standard_normal((count, 3, size, size), np.float32)
    return images, np.eye(classes, dtype=np.float32)[rng.integers(classes, size=count)]


def apply(mixing, images, labels, seed=0):
    return mixing(images, labels, np.random.default_rng(seed))


def numbered(count, size=8):
    """Image i is filled with i and has class i: a mixture shows the same shares in its mean and in its label."""
    images = np.zeros((count, 1, size, size), np.float32) + np.arange(count, dtype=np.float32).reshape(-1, 1, 1, 1)
    return images, np.eye(count, dtype=np.float32)


def shares_of(mixing, draws, size=32):
    """The shares of `draws` images, each with its own draw."""
    images, labels = np.zeros((2 * draws, 1, size, size), np.float32), np.eye(2, dtype=np.float32)[[0, 1]]
    labels = labels.repeat(draws, 0)  # the partner has the other class
    return apply(mixing, images, labels)[1][:draws, 0]


def test_mixup_is_the_papers_formula():
    images, labels = batch(4)
    mixed, soft = apply(Mixing(mixup=0.4), images, labels, seed=3)
    rng = np.random.default_rng(3)
    rng.random(2)  # whether to mix, and by which
    share = rng.beta(0.4, 0.4)
    assert 0.01 < share < 0.99
    x, y = images.astype(np.float64), labels.astype(np.float64)
    np.testing.assert_allclose(mixed, share * x + (1 - share) * x[::-1], atol=1e-6)
    np.testing.assert_allclose(soft, share * y + (1 - share) * y[::-1], atol=1e-7)
    assert (mixed.dtype, soft.dtype) == (np.float32, np.float32)
    assert (images == batch(4)[0]).all()  # the input is unchanged


def test_cutmix_puts_in_the_partners_rectangle_and_counts_its_pixels():
    images, labels = batch(4, size=16)
    mixed, soft = apply(Mixing(cutmix=1.0), images, labels, seed=5)
    rng = np.random.default_rng(5)
    rng.random(2)
    side = math.sqrt(1 - rng.beta(1.0, 1.0))
    half = int(16 * side) // 2
    rows, columns = ((max(centre - half, 0), min(centre + half, 16)) for centre in rng.integers(16, size=2))
    assert half > 0 and (rows[0] == 0 or rows[1] == 16 or columns[0] == 0 or columns[1] == 16)  # it is cut off
    expected = images.copy()
    expected[:, :, slice(*rows), slice(*columns)] = images[::-1, :, slice(*rows), slice(*columns)]
    assert (mixed == expected).all()
    share = 1 - (rows[1] - rows[0]) * (columns[1] - columns[0]) / 256
    np.testing.assert_allclose(soft, share * labels + (1 - share) * labels[::-1], atol=1e-7)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_labels_hold_the_shares_of_the_pixels(mode, count):
    images, labels = numbered(count)
    for seed in range(20):
        mixed, soft = apply(Mixing(0.8, 1.0, mode=mode), images, labels, seed)
        np.testing.assert_allclose(soft.sum(1), 1, atol=1e-6)
        np.testing.assert_allclose(mixed.mean((1, 2, 3)), soft @ np.arange(count), atol=1e-5)
        assert (np.eye(count)[::-1] + np.eye(count) > 0)[soft > 0].all()  # of the image and its partner only


def test_modes_differ_in_what_shares_a_draw():
    images, labels = numbered(9)

    def own_shares(mode):
        return apply(Mixing(1.0, mode=mode), images, labels)[1].diagonal()[[0, 1, 2, 3, 5, 6, 7, 8]].reshape(2, 4)

    assert len({*own_shares("batch").flat}) == 1
    pairs = own_shares("pair")
    assert (pairs[0] == pairs[1, ::-1]).all() and len({*pairs[0]}) == 4
    assert len({*own_shares("elem").flat}) == 8
    middle, label = (result[4] for result in apply(Mixing(1.0, mode="pair"), images, labels))
    assert (middle == images[4]).all() and (label == labels[4]).all()


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_shares_of_mixup_follow_the_beta_distribution(alpha):
    shares = shares_of(Mixing(mixup=alpha, mode="elem"), 4000)
    assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 0.01


def test_boxes_of_cutmix_have_the_papers_areas():
    shares = shares_of(Mixing(cutmix=1.0, mode="elem"), 4000)
    rng = np.random.default_rng(1)
    half = (32 * np.sqrt(1 - rng.uniform(size=4000))).astype(int) // 2  # Beta(1, 1) is uniform
    sides = [np.minimum(at + half, 32) - np.maximum(at - half, 0) for at in rng.integers(32, size=(2, 4000))]
    expected = 1 - sides[0] * sides[1] / 32**2
    assert stats.ks_2samp(shares, expected).pvalue > 0.01


def test_boxes_of_cutmix_minmax_lie_inside_and_have_the_sides_asked_for():
    images, labels = numbered(2, size=20)
    sides = []
    for seed in range(200):
        mixed, _ = apply(Mixing(cutmix_minmax=(0.2, 0.8)), images, labels, seed)
        box = mixed[0, 0] == 1
        sides += [box.any(0).sum(), box.any(1).sum()]
        assert box.sum() == sides[-1] * sides[-2]
    assert {*sides} == {*range(4, 17)}


def test_probabilities_choose_mixing_and_cutmix():
    images, labels = numbered(2000, size=4)
    labels = labels[:, :2]

    def count(**options):
        mixed = apply(Mixing(1.0, 1.0, mode="elem", **options), images, labels)[0]
        unchanged = (mixed == images).all((1, 2, 3))
        blended = ~unchanged & (mixed != np.round(mixed)).any((1, 2, 3))
        return unchanged.mean(), blended.mean()

    assert count(probability=0.0) == (1, 0)
    assert count(switch_probability=0.0)[1] > 0.98
    assert count(switch_probability=1.0)[1] == 0
    unchanged, blended = count(probability=0.5, switch_probability=0.2)
    assert abs(blended - 0.5 * 0.8) < 0.03 and 0.5 < unchanged < 0.56  # some boxes are empty


def test_views_of_an_example_are_mixed_alike():
    images, labels = batch(5)
    for mode in MODES:
        mixing = Mixing(0.8, 1.0, mode=mode, splits=3)
        mixed, soft = apply(mixing, np.concatenate([images, images + 1, images - 1]), np.concatenate([labels] * 3))
        alone, alone_soft = apply(Mixing(0.8, 1.0, mode=mode), images, labels)
        for view, shift in zip(np.split(mixed, 3), (0, 1, -1), strict=True):
            np.testing.assert_allclose(view - shift, alone, atol=1e-5)
        assert (soft == np.concatenate([alone_soft] * 3)).all()


def test_after_the_off_epoch_labels_keep_their_shape_and_images_are_unmixed():
    transforms = create_batch_transforms(mixup=0.8, mixup_off_epoch=2, num_classes=10)
    images, indices = batch(6)[0], np.arange(6, dtype=np.int32)

    def epoch(number):
        mixed, labels = images, indices
        for transform in transforms(number):
            mixed, labels = transform(mixed, labels, np.random.default_rng(0))
        assert labels.shape == (6, 10) and labels.dtype == np.float32
        return mixed, labels

    for number in (1, 2):
        mixed, labels = epoch(number)
        assert (mixed != images).any() and ((labels > 0) & (labels < 1)).any()
    mixed, labels = epoch(3)
    assert (mixed == images).all() and (labels == np.eye(10)[:6]).all()
    assert len(create_batch_transforms(mixup=0.8, num_classes=10)(1000)) == 2


def test_soft_labels_of_several_classes_pass_through():
    _, labels = SoftLabels(3)(np.zeros((2, 1, 1, 1)), np.array([[1, 0, 1], [0, 1, 0]]), np.random.default_rng(0))
    assert labels.dtype == np.float32 and labels.tolist() == [[1, 0, 1], [0, 1, 0]]


def test_smoothing_in_the_loss_equals_mixing_smoothed_labels():
    # MindCV smooths in the loss, timm before it mixes; both are linear in the label.
    images, one_hot = batch(6, classes=5)
    mixed = apply(Mixing(mixup=1.0), images, one_hot)[1]
    share = apply(Mixing(mixup=1.0), *numbered(6))[1][0, 0]
    smoothed = one_hot * 0.9 + 0.1 / 5
    target = share * smoothed + (1 - share) * smoothed[::-1]
    logits = np.random.default_rng(1).standard_normal((6, 5), np.float32)
    log_probs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    loss = create_loss("CE", label_smoothing=0.1)(ms.Tensor(logits), ms.Tensor(mixed))
    assert loss.asnumpy() == pytest.approx(-(target * log_probs).sum(1).mean(), abs=1e-5)


def test_nothing_to_mix_by_is_an_error():
    with pytest.raises(ValueError, match="mixup or cutmix must be above 0"):
        Mixing()
