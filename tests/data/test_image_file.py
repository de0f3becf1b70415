"""Reading image files: colours are Pillow's in every mode, and no pixels are decoded needlessly."""

import io
import os
import struct
import subprocess
import sys
import warnings
from pathlib import Path

import mindspore.dataset.vision as vision
import numpy as np
import pytest
from PIL import Image, ImageCms

from mindcv.data.image_file import BadImageError, read_image_file
from mindcv.data.image_list import ImageFiles

pytestmark = pytest.mark.filterwarnings(r"ignore::UserWarning:PIL\.")

Y, X = np.mgrid[0:48, 0:64]
PIXELS = np.stack([X * 4, Y * 5, 255 - X * 2 - Y * 2], axis=2).astype(np.uint8)
COLOUR = Image.fromarray(PIXELS)
SLOPE = Image.fromarray((X * 4).astype(np.uint8))  # transparency


def with_alpha(mode):
    image = COLOUR.convert(mode)
    image.putalpha(SLOPE)
    return image


def decoded(path) -> np.ndarray:
    return vision.Decode()(read_image_file(path)).astype(int)


KINDS = {
    "rgb.jpg": (COLOUR, {}),
    "progressive.jpg": (COLOUR, {"progressive": True}),
    "grey.jpg": (COLOUR.convert("L"), {}),
    "cmyk.jpg": (COLOUR.convert("CMYK"), {"quality": 95}),
    "palette.png": (COLOUR.convert("P"), {}),
    "palette_with_alpha.png": (COLOUR.convert("P"), {"transparency": bytes(range(256))}),
    "colour_key.png": (COLOUR, {"transparency": (0, 0, 255)}),
    "grey.png": (COLOUR.convert("L"), {}),
    "bits.png": (COLOUR.convert("1"), {}),
    "alpha.png": (with_alpha("RGB"), {}),
    "grey_alpha.png": (with_alpha("L"), {}),
    "palette.bmp": (COLOUR.convert("P"), {}),
    "bits.bmp": (COLOUR.convert("1"), {}),
    "alpha.tif": (with_alpha("RGB"), {}),
    "grey_alpha.tif": (with_alpha("L"), {}),
    "cmyk.tif": (COLOUR.convert("CMYK"), {"compression": "tiff_lzw"}),
    # Compressed: Pillow 12.3, the last for Python 3.10, cannot read its own uncompressed files.
    "ycbcr.tif": (COLOUR.convert("YCbCr"), {"compression": "tiff_lzw"}),
    "fax.tif": (COLOUR.convert("1"), {"compression": "group4"}),
    "palette.gif": (COLOUR.convert("P"), {}),
    "alpha.webp": (with_alpha("RGB"), {"lossless": True, "exact": True}),
    "grey.ppm": (COLOUR.convert("L"), {}),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_mode_has_pillows_colours(name, tmp_path):
    image, options = KINDS[name]
    image.save(tmp_path / name, **options)
    with Image.open(tmp_path / name) as opened:
        expected = np.asarray(opened.convert("RGB")).astype(int)
    np.testing.assert_array_equal(decoded(tmp_path / name), expected)
    if image.mode not in ("1", "L", "LA", "P") and "alpha" not in name:
        assert np.abs(expected - PIXELS).mean() < 4  # and Pillow's are right


def test_a_cmyk_jpeg_has_the_right_colours_with_and_without_adobes_marker(tmp_path):
    COLOUR.convert("CMYK").save(tmp_path / "adobe.jpg", quality=95)
    content = (tmp_path / "adobe.jpg").read_bytes()
    marker = content.index(b"\xff\xee")
    (size,) = struct.unpack(">H", content[marker + 2 : marker + 4])
    (tmp_path / "plain.jpg").write_bytes(content[:marker] + content[marker + 2 + size :])
    for name in ("adobe.jpg", "plain.jpg"):
        assert np.abs(decoded(tmp_path / name) - PIXELS).mean() < 4


@pytest.mark.parametrize("name", ["deep.png", "deep.tif", "deep.ppm"])
def test_16_bits_are_truncated_to_8(name, tmp_path):
    deep = (X * 1000 + Y).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / name)
    np.testing.assert_array_equal(decoded(tmp_path / name), np.repeat(deep[..., np.newaxis] >> 8, 3, axis=2))


def test_lab_becomes_rgb(tmp_path):
    rgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    ImageCms.profileToProfile(COLOUR, rgb, lab, outputMode="LAB").save(tmp_path / "lab.tif")
    assert np.abs(decoded(tmp_path / "lab.tif") - PIXELS).mean() < 4


@pytest.mark.parametrize("name", ["turned.jpg", "turned.png", "turned.webp", "turned.tif"])
def test_orientation_tags_are_applied_where_pillow_does_in_tiff(name, tmp_path):
    tags = Image.Exif()
    tags[0x112] = 6  # a quarter turn
    COLOUR.save(tmp_path / name, exif=tags)
    expected = np.rot90(PIXELS, -1) if name == "turned.tif" else PIXELS
    assert np.abs(decoded(tmp_path / name) - expected).mean() < 6


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_of_32_bits_are_refused(mode, tmp_path):
    COLOUR.convert("L").convert(mode).save(tmp_path / "deep.tif")
    with pytest.raises(BadImageError, match=r"deep\.tif: pixels of 32 bits") as caught:
        read_image_file(tmp_path / "deep.tif")
    assert (caught.value.path, caught.value.reason[:18]) == (str(tmp_path / "deep.tif"), "pixels of 32 bits:")


@pytest.mark.parametrize("name", ["rgb.jpg", "grey.png", "palette.bmp"])
def test_formats_of_the_decoder_are_passed_on_unchanged(name, tmp_path):
    image, options = KINDS[name]
    image.save(tmp_path / name, **options)
    assert read_image_file(tmp_path / name).tobytes() == (tmp_path / name).read_bytes()


def test_a_run_length_encoded_bmp_is_accepted(tmp_path):
    rows = b"\x04\x01\0\0" * 3 + b"\0\1"  # four pixels of colour 1, end of line; end of picture
    palette = bytes((0, 0, 0, 0, 30, 20, 10, 0))
    header = struct.pack("<IiiHHIIiiII", 40, 4, 3, 1, 8, 1, len(rows), 0, 0, 2, 0)
    offset = 14 + len(header) + len(palette)
    content = struct.pack("<2sIHHI", b"BM", offset + len(rows), 0, 0, offset) + header + palette + rows
    (tmp_path / "rle.bmp").write_bytes(content)
    assert (decoded(tmp_path / "rle.bmp") == (10, 20, 30)).all()


def test_large_images_give_no_pillow_warning(tmp_path):
    """Run in a separate process: pytest resets warning filters."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Image.new("1", (10000, 9000)).save(buffer, "PNG")
    (tmp_path / "large.png").write_bytes(buffer.getvalue())
    code = f"from mindcv.data.image_file import read_image_file; read_image_file({str(tmp_path / 'large.png')!r})"
    line = [sys.executable, "-W", "always", "-c", f"import mindcv; {code}"]
    ended = subprocess.run(line, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert ended.returncode == 0 and "DecompressionBomb" not in ended.stderr


def test_a_pipe_is_an_error_instead_of_blocking(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    files = ImageFiles([tmp_path / "pipe.png"], [vision.Decode()])
    assert list(files) == [] and files.unreadable == {0: "it is not a regular file"}
