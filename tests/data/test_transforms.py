"""Transforms: evaluation against a NumPy and PIL reference, properties of augmentation, error messages."""

import io

import numpy as np
import pytest
from PIL import Image

from mindcv.data import Loader, create_batch_transforms, create_transforms
from mindcv.data.dataset import ArrayDataset
from mindcv.data.erasing import RandomErasing
from mindcv.data.transforms import normalization

RAW = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}  # results are pixels / 255


def apply(transforms, image):
    for transform in transforms:
        image = transform(image)
    return image


def smooth_image(height, width, channels=3):
    rng = np.random.default_rng(3)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3), np.uint8))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))[..., :channels]


def bilinear(image, height, width):
    """Textbook bilinear resampling with half-pixel centres and clamped borders, in float64, without antialiasing."""

    def taps(size, source):
        position = np.clip((np.arange(size) + 0.5) * source / size - 0.5, 0, source - 1)
        low = np.floor(position).astype(int)
        return low, np.minimum(low + 1, source - 1), position - low

    image = image.astype(np.float64)
    low, high, weight = taps(height, image.shape[0])
    image = image[low] * (1 - weight)[:, None, None] + image[high] * weight[:, None, None]
    low, high, weight = taps(width, image.shape[1])
    return image[:, low] * (1 - weight)[None, :, None] + image[:, high] * weight[None, :, None]


@pytest.mark.parametrize("encoded", [False, True])
@pytest.mark.parametrize(("size", "crop_pct", "resized"), [(56, 0.875, 64), (48, 1.0, 48)])
def test_evaluation_equals_resize_centre_crop_normalise(encoded, size, crop_pct, resized):
    image = smooth_image(80, 120)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    source = np.frombuffer(buffer.getvalue(), np.uint8) if encoded else image
    ours = apply(create_transforms(is_training=False, image_resize=size, crop_pct=crop_pct, encoded=encoded), source)
    whole = bilinear(image, resized, resized * 3 // 2)
    top, left = (resized - size) // 2, (resized * 3 // 2 - size) // 2
    crop = whole[top : top + size, left : left + size] / 255
    expected = ((crop - mean) / std).transpose(2, 0, 1)
    assert (ours.shape, ours.dtype) == ((3, size, size), np.float32)
    # The C++ resize rounds to whole grey levels: half a level for each of its two passes.
    assert np.abs(ours - expected).max() <= 1.01 / 255 / min(std)


@pytest.mark.parametrize("encoded", [False, True])
@pytest.mark.parametrize(("size", "crop_pct", "resized"), [(56, 0.875, 64), (48, 0.95, 50)])  # 48 / 0.95 = 50.5
def test_bicubic_evaluation_is_bit_identical_to_pillow_when_downscaling(encoded, size, crop_pct, resized):
    noise = np.random.default_rng(4).integers(0, 256, (150, 200, 3), np.uint8)
    image = np.asarray(Image.fromarray(noise // 4 + smooth_image(150, 200) // 2))
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    source = np.frombuffer(buffer.getvalue(), np.uint8) if encoded else image
    options = {"image_resize": size, "crop_pct": crop_pct, "interpolation": "bicubic", "encoded": encoded}
    ours = apply(create_transforms(is_training=False, **options, **RAW), source)
    width = resized * 200 // 150
    whole = np.asarray(Image.fromarray(image).resize((width, resized), Image.Resampling.BICUBIC))
    top, left = (resized - size) // 2, (width - size) // 2
    expected = whole[top : top + size, left : left + size].transpose(2, 0, 1)
    np.testing.assert_array_equal(np.rint(ours * 255).astype(np.uint8), expected)


def test_nearest_copies_pixels_and_bicubic_differs_from_bilinear():
    image = smooth_image(20, 20)
    results = {}
    for name in ("nearest", "bilinear", "bicubic"):
        options = {"image_resize": 40, "crop_pct": 1.0, "interpolation": name, "encoded": False}
        results[name] = apply(create_transforms(is_training=False, **options, **RAW), image)
    doubled = image.repeat(2, axis=0).repeat(2, axis=1).transpose(2, 0, 1) / 255
    assert np.allclose(results["nearest"], doubled, atol=1e-6)
    assert np.abs(results["bicubic"] - results["bilinear"]).max() > 1 / 255


def test_colour_becomes_pils_luminance_for_one_channel():
    image = smooth_image(32, 32)
    transforms = create_transforms(
        is_training=False, image_resize=32, crop_pct=1.0, in_channels=1, encoded=False, mean=(0.5,), std=(0.25,)
    )
    expected = (np.asarray(Image.fromarray(image).convert("L")) / 255 - 0.5) / 0.25
    assert np.allclose(apply(transforms, image), expected[np.newaxis], atol=1e-5)


@pytest.mark.parametrize("is_training", [False, True])
def test_grey_is_repeated_for_three_channels(is_training):
    image = smooth_image(16, 16, 1)
    options = {"image_resize": 16, "encoded": False, "channels": 1, "color_jitter": None}
    transforms = create_transforms(is_training=is_training, **options, **RAW)
    result = apply(transforms, image)
    assert result.shape == (3, 16, 16)
    assert (result[0] == result[1]).all()
    assert (result[0] == result[2]).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("is_training", [False, True])
def test_one_channel_out_of_any_source(channels, is_training):
    transforms = create_transforms(
        is_training=is_training, image_resize=12, in_channels=1, encoded=False, channels=channels
    )
    result = apply(transforms, smooth_image(16, 20, channels))
    assert (result.shape, result.dtype) == ((1, 12, 12), np.float32)


def no_augmentation(**changes):
    options = {"scale": (1.0, 1.0), "ratio": (1.0, 1.0), "hflip": 0.0, "vflip": 0.0, "color_jitter": None}
    return create_transforms(is_training=True, encoded=False, **{**options, **RAW, **changes})


def test_training_without_augmentation_equals_evaluation_with_crop_pct_1():
    image = smooth_image(40, 60)
    evaluation = create_transforms(is_training=False, image_resize=32, crop_pct=1.0, encoded=False, **RAW)
    assert (apply(no_augmentation(image_resize=32), image) == apply(evaluation, image)).all()


@pytest.mark.parametrize(("flip", "axis"), [("hflip", 2), ("vflip", 1)])
def test_flip_with_probability_one_mirrors_exactly(flip, axis):
    image = smooth_image(32, 32)
    plain = apply(no_augmentation(image_resize=32), image)
    assert (apply(no_augmentation(image_resize=32, **{flip: 1.0}), image) == np.flip(plain, axis)).all()


def batches(transforms, image, count, seed=0, **options):
    dataset = ArrayDataset("x", "train", ["a"], np.repeat(image[np.newaxis], count, 0), np.zeros(count), [("x", count)])
    loader = Loader(dataset, transforms, is_training=False, batch_size=count, seed=seed, **options)
    return next(loader.epoch(0))[0]


def test_flip_happens_as_often_as_its_probability_says():
    image = smooth_image(8, 8)
    images = batches(no_augmentation(image_resize=8, hflip=0.25), image, 2000)
    plain = apply(no_augmentation(image_resize=8), image)
    flipped = (images == np.flip(plain, 2)).all(axis=(1, 2, 3)).mean()
    assert abs(flipped - 0.25) < 0.04  # 4 standard deviations of a binomial
    assert (images == plain).all(axis=(1, 2, 3)).mean() == 1 - flipped


def test_random_resized_crop_stays_within_its_areas_and_ratios():
    side = 128  # a ramp in x and one in y: a crop's corner values give its position and size
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    image = np.stack([x * 2, y * 2, x * 0], axis=2).astype(np.uint8)
    images = batches(no_augmentation(image_resize=64, scale=(0.25, 0.5), ratio=(0.5, 2.0)), image, 500) * 255 / 2
    # From centre to centre of the outermost of 64 pixels is 63/64 of the crop's side.
    width = (images[:, 0, 32, -1] - images[:, 0, 32, 0]) * 64 / 63
    height = (images[:, 1, -1, 32] - images[:, 1, 0, 32]) * 64 / 63
    area, ratio = width * height / side**2, width / height
    assert area.min() > 0.25 * 0.95 and area.max() < 0.5 * 1.05
    assert ratio.min() > 0.5 * 0.95 and ratio.max() < 2.0 * 1.05
    assert area.max() - area.min() > 0.2 and ratio.max() - ratio.min() > 1.2


def test_padded_crop_moves_the_image_by_at_most_the_padding():
    image = np.full((32, 32, 3), 255, np.uint8)
    images = batches(no_augmentation(image_resize=32, random_crop_padding=4), image, 300)[:, 0]
    assert set(np.unique(images)) == {0.0, 1.0}
    rows, columns = images.any(axis=2).sum(1), images.any(axis=1).sum(1)
    assert rows.min() == columns.min() == 28  # a shift by 4 pushes 4 rows out
    assert rows.max() == columns.max() == 32


def test_color_jitter_changes_brightness_within_its_strength_and_keeps_grey_grey():
    image = np.full((8, 8, 3), 100, np.uint8)
    jitter = no_augmentation(image_resize=8, color_jitter=(0.5, 0.0, 0.9))  # saturation leaves a grey image alone
    images = batches(jitter, image, 500) * 255
    assert np.ptp(images, axis=1).max() < 1e-3
    levels = images[:, 0, 0, 0]
    assert 49 <= levels.min() < 60 and 140 < levels.max() <= 151
    assert (batches(no_augmentation(image_resize=8, color_jitter=0.0), image, 5) * 255).round().min() == 100


def test_hue_moves_colours_only_when_it_is_given():
    image = np.zeros((8, 8, 3), np.uint8) + np.array([200, 40, 40], np.uint8)
    with_hue = batches(no_augmentation(image_resize=8, color_jitter=(0, 0, 0, 0.5)), image, 50)
    assert (with_hue[:, 1] > with_hue[:, 0]).any()  # green became stronger than red
    one_channel = no_augmentation(image_resize=8, color_jitter=(0, 0, 0.9, 0.5), in_channels=1, mean=(0.0,), std=(1.0,))
    assert len(np.unique(batches(one_channel, image, 50))) == 1


def test_normalised_noise_has_mean_zero_and_deviation_one():
    rng = np.random.default_rng(0)
    image = rng.normal(127.5, 30, (64, 64, 3)).clip(0, 255).astype(np.uint8)
    transforms = no_augmentation(image_resize=64, mean=(127.0,), std=(30.0,), hflip=0.5)
    images = batches(transforms, image, 4)
    assert abs(images.mean()) < 0.02 and abs(images.std() - 1) < 0.02


def test_units_of_mean_and_std():
    assert normalization((0.5,), (0.25,), 3) == ((127.5,) * 3, (63.75,) * 3)
    assert normalization((127.5,), (63.75,), 3) == normalization((0.5,), (0.25,), 3)
    assert normalization((0, 0, 0), (255,), 3) == ((0, 0, 0), (255, 255, 255))
    grey_mean, grey_std = normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 1)
    assert np.allclose([*grey_mean, *grey_std], [0.449 * 255, 0.226 * 255])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"interpolation": "bilinaer"},
            "interpolation must be 'bilinear' or .*; got 'bilinaer'. Did you mean 'bilinear'",
        ),
        ({"in_channels": 4}, "in_channels must be 3 or 1; got 4"),
        ({"mean": (0.5, 0.5)}, "mean must be one value or in_channels=3 values"),
        ({"in_channels": 1, "std": (0.1, 0.2, 0.3)}, "std must be one value or in_channels=1 values"),
        ({"std": (0.0,)}, r"std must be numbers in \(0, 255\]"),
        ({"image_resize": 0}, "image_resize must be a number >= 1; got 0"),
        ({"is_training": False, "crop_pct": 1.5}, r"crop_pct must be a number in \(0, 1\]; got 1.5"),
        ({"scale": (0.5, 0.1)}, r"scale must be 2 increasing numbers in \(0, 1\]"),
        ({"ratio": (0.0, 1.0)}, "ratio must be 2 increasing numbers > 0"),
        ({"hflip": 1.5}, r"hflip must be a number in \[0, 1\]"),
        ({"vflip": -1}, r"vflip must be a number in \[0, 1\]"),
        ({"color_jitter": (0.4, 0.4)}, "color_jitter must be one, three or four numbers"),
        ({"color_jitter": (0.4, 0.4, 0.4, 0.6)}, "hue"),
        ({"random_crop_padding": -1}, "random_crop_padding must be a number >= 0"),
    ],
)
def test_illegal_argument_is_named_with_its_legal_values(change, message):
    with pytest.raises(ValueError, match=message):
        create_transforms(**{"is_training": True, **change})


def test_erasing_touches_one_rectangle_of_legal_size():
    images = np.ones((400, 3, 40, 50), np.float32)
    labels = np.arange(400, dtype=np.int32)
    erased, same = RandomErasing(0.5, (0.1, 0.3), (0.5, 2.0))(images, labels, np.random.default_rng(0))
    assert same is labels
    assert images.min() == 1  # the input is unchanged
    touched = 0
    for image in erased:
        hole = image == 0
        assert (hole == hole[0]).all()
        if hole.any():
            touched += 1
            rows, columns = hole[0].any(1).sum(), hole[0].any(0).sum()
            assert hole[0].sum() == rows * columns  # a full rectangle
            assert 0.1 * 0.9 < rows * columns / 2000 < 0.3 * 1.1
            assert 0.5 * 0.85 < rows / columns < 2.0 * 1.15
    assert abs(touched / 400 - 0.5) < 0.1


def test_erasing_with_a_colour_draws_one_value_per_rectangle_and_channel():
    images = np.full((300, 3, 16, 16), 9.0, np.float32)
    erased, _ = RandomErasing(1.0, value="rand")(images, np.zeros(300, np.int32), np.random.default_rng(0))
    colours = [np.unique(channel[channel != 9]) for image in erased for channel in image]
    assert {len(values) for values in colours} == {1}
    assert abs(np.mean(colours)) < 0.1 and abs(np.std(colours) - 1) < 0.1


def test_erasing_several_rectangles_divides_the_area():
    images, labels = np.full((600, 3, 64, 64), 9.0, np.float32), np.zeros(600, np.int32)
    shares, counts = {}, {}
    for count in ((1,), (3,), (3, 3)):
        erasing = RandomErasing(1.0, (0.2, 0.2), (1.0, 1.0), "rand", count)
        erased, _ = erasing(images, labels, np.random.default_rng(0))
        counts[count] = np.array([len(np.unique(image[0])) - 1 for image in erased])
        shares[count] = (erased[:, 0] != 9).mean((1, 2))
    assert {*counts[(1,)]} == {1} and {*counts[(3,)]} == {1, 2, 3}
    assert abs(counts[(3,)].mean() - 2) < 0.15 and counts[(3, 3)].mean() > 2.9  # one may cover another
    assert abs(shares[(1,)].mean() - 0.2) < 0.01
    assert 0.17 < shares[(3, 3)].mean() < 0.2 and shares[(3, 3)].max() < 0.22


def test_erasing_stops_after_its_attempts():
    images, labels = np.ones((400, 1, 16, 16), np.float32), np.zeros(400, np.int32)

    def erased(attempts):
        narrow = RandomErasing(1.0, (0.5, 1.0), (0.3, 3.3), max_attempts=attempts)  # most do not fit
        return (narrow(images, labels, np.random.default_rng(0))[0] == 0).any((1, 2, 3)).mean()

    assert erased(1) < 0.6 < 0.9 < erased(10)


def test_erasing_with_noise_has_the_moments_of_a_standard_normal():
    images = np.full((64, 3, 32, 32), 9.0, np.float32)
    erased, _ = RandomErasing(1.0, value="random")(images, np.zeros(64, np.int32), np.random.default_rng(0))
    noise = erased[erased != 9]
    assert erased.dtype == np.float32
    assert abs(noise.mean()) < 0.03 and abs(noise.std() - 1) < 0.03


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"re_prob": 1.1}, "re_prob"),
        ({"re_prob": 0.5, "re_scale": (0, 0.3)}, "re_scale"),
        ({"re_prob": 0.5, "re_ratio": (3, 1)}, "re_ratio"),
        ({"re_prob": 0.5, "re_value": "const"}, "re_value must be 0 or 'random' or 'rand'; got 'const'"),
        ({"re_prob": 0.5, "re_count": (0,)}, "re_count must be 1 or 2 increasing numbers >= 1"),
        ({"re_prob": 0.5, "re_max_attempts": 0}, "re_max_attempts must be a number >= 1"),
        ({"mixup": -1.0, "num_classes": 2}, "mixup must be a number >= 0"),
        ({"cutmix_minmax": (0.8, 0.2), "num_classes": 2}, "cutmix_minmax must be"),
        ({"mixup": 0.2, "mixup_mode": "elems", "num_classes": 2}, "mixup_mode .* Did you mean 'elem'"),
        ({"cutmix": 1.0}, "needs num_classes"),
        ({"mixup_off_epoch": -1}, "mixup_off_epoch must be a number >= 0"),
    ],
)
def test_illegal_erasing_arguments_are_errors(change, message):
    with pytest.raises(ValueError, match=message):
        create_batch_transforms(**change)
