"""Automatic augmentation: effect, repetition, independence of the random numbers, and error messages."""

import io

import fixtures_data
import numpy as np
import pytest
from PIL import Image
from PIL.Image import Resampling

from mindcv.data import Loader, create_dataset, create_transforms
from mindcv.data.auto_augment import AugMix, Candidate, Magnitude, blending_weights, create_auto_augment
from mindcv.data.dataset import ArrayDataset
from mindcv.data.pillow_ops import OPERATIONS, Canvas
from mindcv.data.random_stage import RandomStage

POLICIES = ("randaug", "rand-m5-n1-inc1", "trivialaug", "autoaug", "3a", "augmix-m9")
RAW = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}  # results are pixels / 255
STILL = {"scale": (1.0, 1.0), "ratio": (1.0, 1.0), "hflip": 0.0, "color_jitter": None}
_ACROSS, _DOWN = np.meshgrid(np.arange(32) * 3 + 60, np.arange(32) * 3 + 70)
RAMP = np.stack([_ACROSS, _DOWN, np.full((32, 32), 90)], 2).astype(np.uint8)


def pixels(image, count, **options):
    """Return `count` augmented copies of an image: (count, C, H, W) in grey levels."""
    many = ArrayDataset("x", "train", ["a"], np.repeat(image[None], count, 0), np.zeros(count), [("x", count)])
    options = {**STILL, **RAW, "image_resize": image.shape[0], **options}
    transforms = create_transforms(is_training=True, encoded=False, channels=image.shape[2], **options)
    loader = Loader(many, transforms, is_training=False, batch_size=count, num_parallel_workers=1, seed=7)
    return np.rint(next(loader.epoch(0))[0] * 255).astype(int)


def plain(policy):
    return create_auto_augment(policy, Canvas((Resampling.BILINEAR,), (0, 0, 0)))


def draws(policy, count):
    """Return the steps that a policy draws for `count` images."""
    augment = plain(policy)
    return [augment.draw(np.random.default_rng((5, index))) for index in range(count)]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("kind", ["cifar10", "folder"])
def test_policies_repeat_and_change_images(kind, policy, tmp_path):
    if kind == "folder":
        fixtures_data.write_image_folder(tmp_path, "train", 2, 16, "jpg")
    else:
        fixtures_data.write_cifar10(tmp_path, 32, 8)
    dataset = create_dataset(kind, tmp_path)

    def batch(epoch, workers=2, **options):
        options = {"image_resize": 32, "batch_size": 32, "num_parallel_workers": workers, **STILL, **options}
        return next(fixtures_data.open_loader(dataset, is_training=True, **options).epoch(epoch))[0]

    first = batch(1, auto_augment=policy)
    assert (first.shape, first.dtype) == ((32, 3, 32, 32), np.float32)
    np.testing.assert_array_equal(first, batch(1, workers=1, auto_augment=policy))
    assert (first != batch(2, auto_augment=policy)).any()
    changed = (first != batch(1)).any(axis=(1, 2, 3)).sum()
    assert changed >= 8  # some operations do not change this image
    with_jitter = batch(1, auto_augment=policy, color_jitter=0.9)
    assert (first != with_jitter).any() == (policy == "3a")  # elsewhere the policy replaces it


@pytest.mark.parametrize("policy", POLICIES)
def test_policies_work_on_encoded_images(policy):
    buffer = io.BytesIO()
    Image.fromarray(RAMP).save(buffer, "PNG")
    image = np.frombuffer(buffer.getvalue(), np.uint8)
    for transform in create_transforms(is_training=True, image_resize=24, auto_augment=policy):
        rng = [np.random.default_rng(0)] * isinstance(transform, RandomStage)
        image = transform(image, *rng)
    assert (image.shape, image.dtype) == ((3, 24, 24), np.float32)


@pytest.mark.parametrize("policy", POLICIES)
def test_grey_images_stay_grey_and_one_channel_stays_one(policy):
    grey = RAMP[..., :1]
    result = pixels(grey, 200, auto_augment=policy, mean=(0.2, 0.5, 0.1), std=(1 / 255,))
    result = result / 255 + np.array([51, 127.5, 25.5]).reshape(1, 3, 1, 1)
    assert np.ptp(result, axis=1).max() < 0.01
    assert pixels(grey, 4, auto_augment=policy, in_channels=1, mean=(0,), std=(1,)).shape == (4, 1, 32, 32)
    assert pixels(RAMP, 4, auto_augment=policy, in_channels=1, mean=(0,), std=(1,)).shape == (4, 1, 32, 32)


def test_strength_grows_with_m_and_operations_with_n():
    def mean_change(policy):
        return np.abs(pixels(RAMP, 300, auto_augment=policy) - RAMP.transpose(2, 0, 1)).mean()

    assert mean_change("rand-m1-n1-inc1") < mean_change("rand-m5-n1-inc1") < mean_change("rand-m10-n1-inc1")
    for count in (1, 4):
        numbers = [len(steps) for steps in draws(f"rand-n{count}", 4000)]
        assert np.bincount(numbers)[count] / 4000 == pytest.approx(0.5**count, abs=0.03)  # each with probability 1/2
        assert {len(steps) for steps in draws(f"rand-n{count}-p1", 50)} == {count}
        assert not any(draws(f"rand-n{count}-p0", 50))


def test_probability_0_leaves_images_alone():
    shown = pixels(RAMP, 20, auto_augment="rand-m9-p0")
    assert (shown == RAMP.transpose(2, 0, 1)).all()


def test_the_strengths_noise_is_drawn_per_operation_and_cut():
    rng = np.random.default_rng(0)

    def levels(*settings):
        return np.array([Magnitude(*settings).draw(rng) for _ in range(4000)])

    assert (levels(9.0) == 9).all()
    assert (levels(12.0, 0.0, 20.0) == 12).all()
    noisy = levels(5.0, 0.5)
    assert abs(noisy.mean() - 5) < 0.03 and abs(noisy.std() - 0.5) < 0.03
    assert (levels(10.0, 2.0) == 10).mean() == pytest.approx(0.5, abs=0.04)
    assert levels(10.0, 2.0, 12.0).max() == 12
    uniform = np.sort(levels(8.0, np.inf)) / 8
    assert np.abs(uniform - np.arange(4000) / 4000).max() < 0.03  # Kolmogorov-Smirnov
    strengths = [step.argument for steps in draws("rand-m5-mstd1-n4-p1", 50) for step in steps
                 if step.operation.name == "Sharpness"]  # fmt: skip
    assert len(set(strengths)) == len(strengths) > 5


def names(policy, count=600):
    return {step.operation.name for steps in draws(policy, count) for step in steps}


def test_parts_choose_the_operations():
    assert len(names("rand")) == 15 and names("rand") - names("randaug") == {"SolarizeAdd"}
    assert {name for name in names("rand-inc1") if name.endswith("Increasing")} == {
        f"{name}Increasing" for name in ("Posterize", "Solarize", "Color", "Contrast", "Brightness", "Sharpness")
    }
    assert names("rand-inc0") == names("rand")
    assert names("rand-t3a") == {"SolarizeIncreasing", "Desaturate", "GaussianBlur"}
    assert names("3a") == {"Solarize", "Desaturate", "GaussianBlurRand"}
    assert "GaussianBlur" in names("rand-t3aw") and "SharpnessIncreasing" in names("rand-tweights", 2000)
    assert "Invert" not in names("rand-w0", 2000)
    for policy in ("rand-w0-n3-p1", "rand-t3aw-n14-p1"):  # weighted operations at most once each
        assert all(len({step.operation for step in steps}) == len(steps) for steps in draws(policy, 50))


def test_weighted_operations_are_as_frequent_as_their_weights():
    counts = np.array([steps[0].operation.name == "Rotate" for steps in draws("rand-w0-n1-p1", 3000)])
    assert counts.mean() == pytest.approx(0.3, abs=0.035)  # 4 standard deviations


def test_names_of_timm_and_mindcv_differ_in_defaults_only():
    pairs = (("autoaug", "original-mstd0.5"), ("autoaugr-mstd0", "originalr"), ("trivialaugwide", "trivialaug"),
             ("rand-n2-m9", "rand-m9"), ("rand-mstd101", "rand-mstdinf"), ("augmix-d0-b0", "augmix-a1.0"))  # fmt: skip
    for name, other in pairs:
        np.testing.assert_array_equal(pixels(RAMP, 40, auto_augment=name), pixels(RAMP, 40, auto_augment=other))
    noisy, plain = pixels(RAMP, 40, auto_augment="autoaug"), pixels(RAMP, 40, auto_augment="original")
    assert (noisy != plain).any()


def test_augmix_mixes_chains_with_the_image():
    augment = plain("augmix-m5-w4-d2")
    assert isinstance(augment, AugMix)
    for seed in range(5):
        weights, chains, share = augment.draw(np.random.default_rng(seed))
        assert weights.sum() == pytest.approx(1) and 0 <= share <= 1
        assert [len(chain) for chain in chains] == [2] * 4
    lengths = {len(chain) for seed in range(50) for chain in plain("augmix").draw(np.random.default_rng(seed))[1]}
    assert lengths == {1, 2, 3}
    image = Image.fromarray(RAMP)
    idle = Candidate(OPERATIONS["Rotate"], Magnitude(0.0))
    nothing = AugMix(augment.canvas, [idle], width=3, depth=1, alpha=1.0, blended=False)
    unchanged = np.asarray(nothing(image, np.random.default_rng(0))).astype(int)
    assert np.abs(unchanged - RAMP).max() <= 1  # a mixture of the image with itself, rounded


def test_blending_one_after_another_gives_each_image_its_share():
    shares = np.array([0.2, 0.05, 0.3])
    result, left = np.zeros(4), 1.0
    result[0] = 1.0
    for index, weight in enumerate(blending_weights(shares), 1):
        result *= 1 - weight
        result[index] += weight
    np.testing.assert_allclose(result, [left - shares.sum(), *shares])
    assert blending_weights(np.array([0.0, 1.0])) == [0.0, 1.0]


RECIPES = (
    "autoaug", "autoaug-mstd0.5", "autoaugr-mstd0.5", "randaug-m7-mstd0.5", "randaug-m9-mstd0.5",
    "randaug-m9-mstd0.5-inc1", "randaug-m7-mstd0.5-inc1", "randaug-m9-n2-mstd0.5-inc1",
    "randaug-m10-n2-w0-mstd0.5-mmax10-inc0", "trivialaugwide", "augmix", "3a",
    "rand-m9-mstd0.5", "rand-m9-mstd0.5-inc1", "rand-m7-mstd0.5-inc1", "rand-m9-n3-mstd0.5", "rand-mstd1-tweights",
    "rand-m15-mmax20-n1", "original", "original-mstd0.5", "originalr", "v0", "v0r", "augmix-m5-w4-d2", "augmix-m3-b1",
    "rand-t3a", "rand-t3aw-p0.9",
)  # fmt: skip


@pytest.mark.parametrize("policy", RECIPES)
def test_policies_of_mindcvs_recipes_and_timms_documentation_are_read(policy):
    augment = plain(policy)
    image = Image.fromarray(RAMP)
    for seed in range(4):
        shown = augment(image, np.random.default_rng(seed))
        assert (shown.size, shown.mode) == (image.size, "RGB")


def test_uncovered_parts_have_the_mean_colour():
    white = np.full((32, 32, 3), 255, np.uint8)
    shown = pixels(white, 400, auto_augment="rand-m10-n1-p1", mean=(102.0, 51.0, 153.0), std=(1.0,)) // 255
    covered = [image[:, (image == 0).all(0)] for image in shown]
    assert sum(part.size > 0 for part in covered) > 50  # pixel - mean == 0 in all channels


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("randaugment", "unknown auto_augment 'randaugment'. Did you mean 'randaug'.* Legal: rand, randaug, original"),
        ("augmx", "unknown auto_augment 'augmx'. Did you mean 'augmix'"),
        ("", "unknown auto_augment ''"),
        ("randaug-inc2", "'inc2' is not legal. Legal after randaug: m9: strength"),
        ("rand-m11", "m11 is above the highest strength, mmax10. Give mmax"),
        ("randaug-n0", "'n0' is not legal.*n2: operations"),
        ("rand-p1.5", "'p1.5' is not legal"),
        ("randaug-m9.5", "'m9.5' is not legal"),
        ("randaug-m9-m8", "has two parts 'm'"),
        ("randaug-w1", "'w1' is not legal.*w0: MindCV's weights"),
        ("rand-tbest", "'tbest' is unknown.*tweights, t3a, t3aw"),
        ("rand-t3a-inc1", "t3a is a set of its own; leave out inc1 and w0"),
        ("rand-w0-n15", "n15 is more than the 14 operations with a weight"),
        ("randaug-", "'' is unknown"),
        ("autoaug-m9", "'m9' is unknown. Legal after autoaug: mstd0.5: the strength's deviation"),
        ("augmix-w0", "'w0' is not legal.*w3: chains"),
        ("augmix-m11", "'m11' is not legal"),
        ("trivialaug-m9", "trivialaug has no settings; got 'm9'"),
    ],
)
def test_illegal_policies_are_errors(policy, message):
    with pytest.raises(ValueError, match=message):
        create_transforms(is_training=True, auto_augment=policy)


def share_flipped(images, channel, axis):
    """Return which of the ramp's copies were mirrored."""
    ramp = images[:, channel]
    low, high = (ramp[:, 16, 10], ramp[:, 16, 20]) if axis == 1 else (ramp[:, 10, 16], ramp[:, 20, 16])
    return low > high


def test_flips_are_independent_of_each_other():
    images = pixels(RAMP, 2000, hflip=0.5, vflip=0.25)
    left_right, upside_down = share_flipped(images, 0, 1), share_flipped(images, 1, 0)
    assert abs(left_right.mean() - 0.5) < 0.05 and abs(upside_down.mean() - 0.25) < 0.05
    assert abs((left_right & upside_down).mean() - 0.125) < 0.03  # 4 standard deviations


def test_flips_are_independent_of_the_padded_crops_shift():
    images = pixels(RAMP, 2000, hflip=0.5, random_crop_padding=4)
    flipped = share_flipped(images, 0, 1)
    middle = images[:, 1, 16, 16]  # the ramp's value there gives the vertical shift
    sideways = np.where(flipped, images[:, 0, 16, 15], images[:, 0, 16, 16])
    for shift in (middle, sideways):
        assert len(np.unique(shift)) == 9
        assert abs(np.corrcoef(flipped, shift)[0, 1]) < 0.09  # 4 standard deviations


@pytest.mark.parametrize("policy", ["rand-m9-n1", "trivialaug", "autoaug"])
def test_policies_are_independent_of_flips(policy):
    images = pixels(RAMP, 2000, hflip=0.5, auto_augment=policy)
    plain = RAMP.transpose(2, 0, 1)
    straight = (images == plain).all((1, 2, 3)).mean()
    mirrored = (images == plain[:, :, ::-1]).all((1, 2, 3)).mean()
    assert straight + mirrored > 0.05
    assert abs(straight - mirrored) < 4 * np.sqrt((straight + mirrored) / 2000)
