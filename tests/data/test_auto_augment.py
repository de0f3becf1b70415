"""Automatic augmentation: effect, determinism, independence of the random numbers, and error messages."""

import io

import fixtures_data
import numpy as np
import pytest
from PIL import Image

from mindcv.data import Loader, create_dataset, create_transforms
from mindcv.data.dataset import ArrayDataset

POLICIES = ("randaug", "randaug-m5-n1", "trivialaug", "autoaug")
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


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("kind", ["cifar10", "folder"])
def test_policies_are_reproducible_and_change_images(kind, policy, tmp_path):
    if kind == "folder":
        fixtures_data.write_image_folder(tmp_path, "train", 2, 16, "jpg")
    else:
        fixtures_data.write_cifar10(tmp_path, 32, 8)
    dataset = create_dataset(kind, tmp_path)

    def batch(epoch, **options):
        options = {"image_resize": 32, "batch_size": 32, "num_parallel_workers": 2, **STILL, **options}
        return next(fixtures_data.open_loader(dataset, is_training=True, **options).epoch(epoch))[0]

    first = batch(1, auto_augment=policy)
    assert (first.shape, first.dtype) == ((32, 3, 32, 32), np.float32)
    np.testing.assert_array_equal(first, batch(1, auto_augment=policy))
    assert (first != batch(2, auto_augment=policy)).any()
    changed = (first != batch(1)).any(axis=(1, 2, 3)).sum()
    assert changed >= 8  # some operations ("identity") do not change this image
    np.testing.assert_array_equal(first, batch(1, auto_augment=policy, color_jitter=0.9))  # color_jitter is replaced


@pytest.mark.parametrize("policy", POLICIES)
def test_policies_work_on_encoded_images(policy):
    buffer = io.BytesIO()
    Image.fromarray(RAMP).save(buffer, "PNG")
    image = np.frombuffer(buffer.getvalue(), np.uint8)
    for transform in create_transforms(is_training=True, image_resize=24, auto_augment=policy):
        image = transform(image)
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

    def untouched(policy):
        return (pixels(RAMP, 600, auto_augment=policy) == RAMP.transpose(2, 0, 1)).all((1, 2, 3)).mean()

    assert mean_change("randaug-m1-n1") < mean_change("randaug-m5-n1") < mean_change("randaug-m10-n1")
    one, two = untouched("randaug-m9-n1"), untouched("randaug-m9-n2")
    assert 1 / 14 - 0.04 < one < 3 / 14 + 0.05
    assert abs(two - one**2) < 0.04  # the operations of an image are independent


def test_policy_names_of_timm_and_mindcv_are_equivalent():
    for name, other in (("rand-m7-n1-inc1-mstd0", "randaug-m7-n1"), ("trivialaugwide", "trivialaug"),
                        ("randaug", "randaug-n2-m9")):  # fmt: skip
        np.testing.assert_array_equal(pixels(RAMP, 40, auto_augment=name), pixels(RAMP, 40, auto_augment=other))


def test_uncovered_parts_have_the_mean_colour():
    white = np.full((32, 32, 3), 255, np.uint8)
    shown = pixels(white, 400, auto_augment="randaug-m10-n1", mean=(102.0, 51.0, 153.0), std=(1.0,)) // 255
    covered = [image[:, (image == 0).all(0)] for image in shown]
    assert sum(part.size > 0 for part in covered) > 50  # pixel - mean == 0 in all channels


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("randaugment", "unknown auto_augment 'randaugment'. Did you mean 'randaug'"),
        ("augmix", "unknown auto_augment 'augmix'.*Legal: randaug, randaug-m9-n2"),
        ("", "unknown auto_augment ''"),
        ("rand-m9-mstd0.5-inc1", "'mstd0.5' is not supported: MindData applies one strength"),
        ("randaug-inc0", "'inc0' is not supported"),
        ("randaug-m11", "m=11, n=2 is out of range"),
        ("randaug-n0", "m=9, n=0 is out of range"),
        ("randaug-m9.5", "'m9.5' is unknown"),
        ("randaug-m9-m9", "has two parts 'm'"),
        ("randaug-w0", "'w0' is unknown or not supported"),
        ("randaug-", "'' is unknown"),
        ("autoaug-mstd0.5", "autoaug has no settings; got 'mstd0.5'"),
        ("trivialaug-m9", "trivialaug has no settings"),
    ],
)
def test_unsupported_policies_are_errors(policy, message):
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


@pytest.mark.parametrize("policy", ["randaug-m9-n1", "trivialaug", "autoaug"])
def test_policies_are_independent_of_flips(policy):
    images = pixels(RAMP, 2000, hflip=0.5, auto_augment=policy)
    plain = RAMP.transpose(2, 0, 1)
    straight = (images == plain).all((1, 2, 3)).mean()
    mirrored = (images == plain[:, :, ::-1]).all((1, 2, 3)).mean()
    assert straight + mirrored > 0.05
    assert abs(straight - mirrored) < 4 * np.sqrt((straight + mirrored) / 2000)
