"""Random operations seeded by the example's place: repetition, probabilities, ranges, views, and error messages."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image, ImageFilter
from PIL.Image import Resampling

from assemble_data import build_training_loader
from config import load_config
from mindcv.data import Loader, create_transforms
from mindcv.data.dataset import ArrayDataset
from mindcv.data.examples import ExampleReader
from mindcv.data.pipeline import Segment
from mindcv.data.random_stage import ColorJitter, RandomResize, RandomResizedCrop, RandomStage, Sometimes, blur
from mindcv.distributed import World

COUNT, BATCH = 24, 4
STILL = {"scale": (1.0, 1.0), "ratio": (1.0, 1.0), "hflip": 0.0, "color_jitter": None}
RAW = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "image_resize": 16}  # results are pixels / 255
_COARSE = np.random.default_rng(2).integers(0, 256, (4, 4, 3), np.uint8)
PICTURE = np.asarray(Image.fromarray(_COARSE).resize((16, 16), Resampling.BICUBIC))
PLAIN = PICTURE.transpose(2, 0, 1)

# Each kind of random stage, alone.
KINDS = {
    "policy": {"auto_augment": "rand-m9-mstd0.5-inc1"},
    "augmix": {"auto_augment": "augmix"},
    "jitter": {"color_jitter": (0.4, 0.4, 0.4, 0.1), "color_jitter_prob": 0.8},
    "grey and blur": {"grayscale_prob": 0.5, "gaussian_blur_prob": 0.5},
    "crop": {"train_interpolation": "random", "scale": (0.2, 1.0), "ratio": (0.75, 1.33)},
}


def transforms(channels=3, **options):
    options = {**STILL, **RAW, **options}
    return create_transforms(is_training=True, encoded=False, channels=channels, **options)


def copies(channels=3, count=COUNT):
    images = np.repeat(PICTURE[None, ..., :channels], count, 0)
    return ArrayDataset("copies", "train", ["a"], images, np.zeros(count), [("x", count)])


def epoch(number=0, start=0, workers=2, channels=3, seed=3, world=None, **options):
    """Return the pixels (images, C, H, W) of an epoch in grey levels."""
    world = {} if world is None else {"world": world}
    loader = Loader(
        copies(channels), transforms(channels, **options), is_training=True, batch_size=BATCH, seed=seed,
        num_parallel_workers=workers, **world,
    )  # fmt: skip
    return np.concatenate([np.rint(images * 255).astype(int) for images, _ in loader.epoch(number, start)])


@pytest.mark.parametrize("kind", KINDS)
def test_images_depend_on_seed_epoch_rank_and_place_alone(kind):
    options = KINDS[kind]
    whole = epoch(**options)
    np.testing.assert_array_equal(epoch(workers=1, **options), whole)
    np.testing.assert_array_equal(epoch(start=4, workers=1, **options), whole[4 * BATCH :])
    for other in ({"number": 1}, {"seed": 4}, {"world": World(1, 2)}):
        changed = epoch(**other, **options)
        assert (changed != whole[: len(changed)]).any(), other
    assert len(np.unique(whole.reshape(COUNT, -1), axis=0)) > COUNT / 3  # places differ


def test_streams_of_places_views_stages_and_batches_differ():
    seen = []

    def note(image, rng):
        seen.append(rng.random())
        return image

    stages = [RandomStage([note], of_views=False), RandomStage([note], of_views=True)]
    segment = Segment(
        np.arange(COUNT), range(2), stages, BATCH, ExampleReader(copies(), "stop", 1, replace=True),
        readers=1, workers=1, seed=0, stream=(0, 0, 0), views=3,
    )  # fmt: skip
    images, labels = segment.batch(0)
    segment.batch(1)
    segment.close()
    assert images.shape == (3 * BATCH, 16, 16, 3) and labels.shape == (3 * BATCH,)
    of_batches = [np.random.default_rng((0, 0, 0, index)).random() for index in range(8)]
    assert len({*seen, *of_batches}) == len(seen) + 8 == 2 * BATCH * 3 + 8


def test_views_share_the_crop_and_the_first_is_not_augmented():
    steps = transforms(**KINDS["crop"], auto_augment="rand-m9-p1")
    clean = transforms(**KINDS["crop"])

    def batch(steps, views):
        segment = Segment(
            np.arange(COUNT), range(1), steps, COUNT, ExampleReader(copies(), "stop", 1, replace=True),
            readers=1, workers=2, seed=0, stream=(0, 0, 0), views=views,
        )  # fmt: skip
        images, _ = segment.batch(0)
        segment.close()
        return images.reshape(views, COUNT, 3, 16, 16)

    views = batch(steps, 3)
    np.testing.assert_array_equal(views[0], batch(clean, 1)[0])
    for one, other in itertools.combinations(range(3), 2):
        assert (views[one] != views[other]).any((1, 2, 3)).mean() > 0.8
    with pytest.raises(AssertionError, match="without a random stage"):
        batch(clean, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_grey_data_gives_grey_images(kind):
    shown = epoch(channels=1, **KINDS[kind])
    assert shown.shape == (COUNT, 3, 16, 16) and np.ptp(shown, axis=1).max() == 0
    one = {"in_channels": 1, "mean": (0,), "std": (1,)}
    assert epoch(channels=3, **{**KINDS[kind], **one}).shape == (COUNT, 1, 16, 16)
    np.testing.assert_array_equal(epoch(channels=1, **{**KINDS[kind], **one}), shown[:, :1])


@pytest.mark.parametrize(
    "options",
    [
        {"color_jitter": 0.9, "color_jitter_prob": 0.0},
        {"color_jitter": 0.0, "color_jitter_prob": 1.0},
        {"grayscale_prob": 0.0, "gaussian_blur_prob": 0.0},
        {"auto_augment": "rand-p0"},
        {"train_interpolation": "random"},  # the image has the right size already
        {
            "no_aug": True,
            "hflip": 1.0,
            "vflip": 1.0,
            "auto_augment": "augmix",
            "color_jitter": 0.5,
            "scale": (0.1, 0.2),
        },
    ],
)
def test_what_is_off_leaves_images_alone(options):
    assert (epoch(**options) == PLAIN).all()


def test_no_aug_turns_the_whole_section_off():
    """Erasing works on batches: the scripts leave it out."""
    line = "--dataset=digits --num_samples=8 --batch_size=8 --image_resize=16 --shuffle=false"
    images = []
    for extra in (
        "--no_aug --re_prob=1 --auto_augment=augmix",
        "--hflip=0 --scale=1,1 --ratio=1,1 --auto_augment=rand-p0",
        "--re_prob=1",
    ):
        config = load_config([*line.split(), *extra.split()], prog="train")
        images.append(next(build_training_loader(config, None, resumes=False).epoch(0))[0])
    np.testing.assert_array_equal(images[0], images[1])
    assert (images[0] != images[2]).any((1, 2, 3)).all()


def test_options_act_as_often_as_their_probabilities_say():
    rng = np.random.default_rng(0)
    image = Image.fromarray(PICTURE)
    stage = RandomStage([Sometimes(0.3, lambda image, _: image.rotate(180))], of_views=True)
    turned = np.mean([(stage(PICTURE, rng) != PICTURE).any() for _ in range(3000)])
    assert turned == pytest.approx(0.3, abs=0.035)  # 4 standard deviations
    assert (stage(np.asarray(image.convert("L"))[..., None], rng)).shape == (16, 16, 1)
    grey = epoch(grayscale_prob=1.0)
    luminance = np.asarray(image.convert("L"))
    assert (grey == luminance).all()


def test_color_jitter_stays_within_its_strengths_and_uses_every_order():
    flat, rng = Image.new("RGB", (2, 2), (100, 100, 100)), np.random.default_rng(0)
    levels = [ColorJitter(0.5, 0.0, 0.9, 0.0)(flat, rng).getpixel((0, 0)) for _ in range(1000)]
    assert {len(set(level)) for level in levels} == {1}  # grey stays grey
    assert 50 <= min(levels)[0] < 53 and 147 < max(levels)[0] <= 150
    red = Image.new("RGB", (2, 2), (200, 40, 40))
    hues = {max(range(3), key=ColorJitter(0, 0, 0, 0.5)(red, rng).getpixel((0, 0)).__getitem__) for _ in range(50)}
    assert hues == {0, 1, 2}
    order_matters = {ColorJitter(1e-9, 1e-9, 0.0, 0.0)(red, rng).getpixel((0, 0)) for _ in range(50)}
    assert all(abs(level - 200) <= 1 for level, *_ in order_matters)


def test_blur_is_pillows_gaussian_of_a_radius_from_a_tenth_to_two_pixels():
    dot = Image.new("L", (21, 21))
    dot.putpixel((10, 10), 255)
    peaks = [blur(dot, np.random.default_rng(seed)).getpixel((10, 10)) for seed in range(200)]
    widest = dot.filter(ImageFilter.GaussianBlur(2.0)).getpixel((10, 10))
    assert widest <= min(peaks) <= widest + 2 and max(peaks) > 240


def test_random_crops_are_pillows_with_each_filter_half_the_time():
    """The corner values of a ramp give a crop's position and size."""
    side = 100
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    ramp = Image.fromarray(np.stack([x * 2, y * 2, x * 0], 2).astype(np.uint8))
    crop = RandomResizedCrop(50, (Resampling.BILINEAR,), (0.25, 0.5), (0.5, 2.0))
    shown = np.stack([np.asarray(crop(ramp, np.random.default_rng(seed))) for seed in range(400)]) / 2
    width = (shown[:, 25, -1, 0] - shown[:, 25, 0, 0]) * 50 / 49  # from centre to centre of the outermost of 50 pixels
    height = (shown[:, -1, 25, 1] - shown[:, 0, 25, 1]) * 50 / 49
    area, ratio = width * height / side**2, width / height
    assert area.min() > 0.25 * 0.93 and area.max() < 0.5 * 1.07 and np.ptp(area) > 0.2
    assert ratio.min() > 0.5 * 0.93 and ratio.max() < 2.0 * 1.07 and np.ptp(ratio) > 1.2
    wide = Image.fromarray(np.zeros((10, 100, 3), np.uint8))  # no rectangle of a legal ratio is large enough
    assert RandomResizedCrop(8, (Resampling.NEAREST,), (1, 1), (0.75, 4 / 3))(wide, np.random.default_rng(0)).size == (
        8,
        8,
    )

    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (30, 45, 3), np.uint8))
    both = [noise.resize((30, 20), each) for each in (Resampling.BILINEAR, Resampling.BICUBIC)]
    resize = RandomResize(20, (Resampling.BILINEAR, Resampling.BICUBIC))
    chosen = [[resize(noise, np.random.default_rng(seed)) == each for each in both] for seed in range(400)]
    assert np.sum(chosen, 1).tolist() == [1] * 400
    assert np.mean(chosen, 0)[0] == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("encoded", [False, True])
@pytest.mark.parametrize("geometry", [{}, {"random_crop_padding": 2}, {"scale": (1, 1), "ratio": (1, 1)}])
def test_every_geometry_takes_a_random_filter(encoded, geometry):
    image = PICTURE
    if encoded:
        buffer = io.BytesIO()
        Image.fromarray(np.repeat(PICTURE, 3, 1)).save(buffer, "PNG")
        image = np.frombuffer(buffer.getvalue(), np.uint8)
    steps = create_transforms(
        is_training=True, image_resize=12, encoded=encoded, train_interpolation="random", **geometry
    )
    for step in steps:
        image = step(image, *[np.random.default_rng(0)] * isinstance(step, RandomStage))
    assert (image.shape, image.dtype) == ((3, 12, 12), np.float32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"color_jitter_prob": 1.5}, r"color_jitter_prob must be a number in \[0, 1\]; got 1.5"),
        ({"grayscale_prob": -0.1}, "grayscale_prob must be a number in"),
        ({"gaussian_blur_prob": 2}, "gaussian_blur_prob must be a number in"),
        ({"train_interpolation": "bicubc"}, "train_interpolation must be .*got 'bicubc'. Did you mean 'bicubic'"),
    ],
)
def test_illegal_argument_is_named_with_its_legal_values(options, message):
    with pytest.raises(ValueError, match=message):
        create_transforms(is_training=True, **options)
