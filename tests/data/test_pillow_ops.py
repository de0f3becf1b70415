"""The operations of augmentation policies against timm's and torchvision's, from goldens/augment_goldens.npz."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.Image import Resampling

from mindcv.data.pillow_ops import HIGHEST, OPERATIONS, TRIVIAL_OPERATIONS
from mindcv.data.random_stage import to_grey, turn_hue

_FILE = np.load(Path(__file__).parents[1] / "goldens" / "augment_goldens.npz")
IMAGE = Image.fromarray(_FILE["images"][0])
GOLDENS = list(zip(_FILE["cases"].tolist(), _FILE["images"][1:], _FILE["arguments"].tolist(), strict=True))
FILL = (124, 116, 104)


def result(operation, argument, image=IMAGE, fill=FILL):
    return np.asarray(operation.apply(image, argument, Resampling.BICUBIC, fill))


def golden_cases(source):
    """Yield operation, signed level, golden, argument and description of the cases of one source."""
    for case, golden, argument in GOLDENS:
        if case.startswith(source):
            _, name, level, sign = case.split()
            height = float(level) if source == "timm" else int(level) * (HIGHEST / 30)
            operation = (OPERATIONS if source == "timm" else TRIVIAL_OPERATIONS)[name]
            assert operation.signed or sign == "+", case
            yield operation, -height if sign == "-" else height, golden, argument, case


def test_every_operation_is_timms_bit_by_bit_at_every_level_and_sign():
    seen = set()
    for operation, level, golden, timms, case in golden_cases("timm"):
        argument = operation.argument(level) if operation.argument else 0.0
        # timm doubles that of GaussianBlurRand when it draws the radius.
        assert argument == timms * (2 if operation.name == "GaussianBlurRand" else 1), case
        np.testing.assert_array_equal(result(operation, argument), golden, err_msg=case)
        seen.add(operation.name)
    assert seen == set(OPERATIONS)


def test_every_operation_of_trivial_augment_is_torchvisions():
    seen = set()
    for operation, level, golden, torchvisions, case in golden_cases("torchvision"):
        argument = operation.argument(level) if operation.argument else 0.0
        # torchvision's factors are in float32: another factor in the eighth digit, another rounding of a grey level.
        assert np.abs(result(operation, argument).astype(int) - golden).max() <= 1, case
        whole = {"TranslateX": int, "TranslateY": int}.get(operation.name, float)(torchvisions)
        factor = whole + 1 if operation.name in ("Color", "Contrast", "Brightness", "Sharpness") else whole
        assert argument == pytest.approx(factor, abs=1e-5), case
        seen.add(operation.name)
    assert seen == set(TRIVIAL_OPERATIONS)


def test_no_bits_are_black_as_with_older_pillow():
    assert not result(OPERATIONS["PosterizeIncreasing"], OPERATIONS["PosterizeIncreasing"].argument(10)).any()
    assert not result(OPERATIONS["PosterizeIncreasing"], -1).any()


@pytest.mark.parametrize("table", [OPERATIONS, TRIVIAL_OPERATIONS], ids=["timm", "trivial"])
def test_grey_images_give_what_they_give_in_colour(table):
    grey = IMAGE.convert("L")
    for name, operation in table.items():
        argument = operation.argument(7.0) if operation.argument else 0.0
        in_colour = result(operation, argument, grey.convert("RGB"), (99, 99, 99))
        np.testing.assert_array_equal(result(operation, argument, grey, (99,)), in_colour[..., 0], err_msg=name)
        assert np.ptp(in_colour, axis=2).max() == 0


def test_hue_and_grey_are_torchvisions():
    by_case = [(case, golden, argument) for case, golden, argument in GOLDENS if case in ("hue", "grey")]
    assert len(by_case) == 3
    for case, golden, argument in by_case:
        ours = turn_hue(IMAGE, argument) if case == "hue" else to_grey(IMAGE, np.random.default_rng(0))
        np.testing.assert_array_equal(np.asarray(ours), golden)
