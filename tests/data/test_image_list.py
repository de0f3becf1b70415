"""Unlabelled images: finding them, reading them as in validation, and surviving broken files."""

import errno
import os
import struct
import time
import zlib
from pathlib import Path

import fixtures_data
import numpy as np
import pytest
from PIL import Image

from mindcv.data import create_dataset, create_transforms
from mindcv.data.image_list import ImageFiles, find_images

# Every pixel differs from its neighbours, in each channel.
PIXELS = (np.add.outer(np.arange(40) * 3, np.arange(60))[..., np.newaxis] * np.array([1, 2, 3]) % 256).astype(np.uint8)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Images and other files below the working folder."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "b.png",
        "a.JPG",
        "notes.txt",
        ".hidden.png",
        "sub/c.webp",
        "sub/deep/d.png",
        ".cache/e.png",
        "f[1].png",
    ):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(b"x")
    (tmp_path / "photos" / "folder.png").mkdir()
    return tmp_path


def names(found) -> list[str]:
    return [path.as_posix() for path in found]


def test_a_folder_gives_the_images_below_it(tree):
    expected = ["photos/a.JPG", "photos/b.png", "photos/f[1].png", "photos/sub/c.webp", "photos/sub/deep/d.png"]
    assert names(find_images("photos")) == expected
    assert find_images(Path("photos")) == find_images("photos/") == [Path(name) for name in expected]


def test_a_wildcard_gives_the_matching_files(tree):
    assert names(find_images("photos/*.png")) == ["photos/b.png", "photos/f[1].png"]
    assert names(find_images("photos/**/*.png")) == ["photos/b.png", "photos/f[1].png", "photos/sub/deep/d.png"]
    assert names(find_images("photos/[mn]*")) == ["photos/notes.txt"]


def test_a_single_file_may_have_any_name(tree):
    assert names(find_images("photos/notes.txt")) == ["photos/notes.txt"]
    assert names(find_images("photos/f[1].png")) == ["photos/f[1].png"]
    assert names(find_images("photos/.hidden.png")) == ["photos/.hidden.png"]


def test_several_patterns_keep_their_order_without_duplicates(tree):
    found = find_images(["photos/sub", "photos/b.png", "./photos/*.png"])
    assert names(found) == ["photos/sub/c.webp", "photos/sub/deep/d.png", "photos/b.png", "photos/f[1].png"]


def test_a_home_folder_is_expanded(tree, monkeypatch):
    monkeypatch.setenv("HOME", str(tree))
    assert find_images("~/photos/b.png") == [tree / "photos" / "b.png"]


def test_a_pattern_without_files_is_an_error_that_shows_what_is_there(tree):
    def message(pattern):
        with pytest.raises(ValueError) as caught:
            find_images(pattern)
        return str(caught.value)

    assert "no file or folder photos/b.pgn. Did you mean 'b.png'" in message("photos/b.pgn")
    assert "Found in photos: a.JPG, b.png, f[1].png, folder.png/, notes.txt, sub/." in message("photos/zzz")
    assert "Did you mean 'photos/'? Found in .: photos/." in message("photso/b.png")
    assert "no file matches photos/*.gif. Found in photos: a.JPG" in message("photos/*.gif")
    assert "the folder photos/folder.png has no images (.jpg, " in message("photos/folder.png")
    assert "Found in photos/folder.png: nothing" in message("photos/folder.png")
    assert "no images are given" in message("")
    assert "no images are given" in message([])
    assert "no file or folder absent" in message(["photos", "absent"])


def transforms(**options):
    return create_transforms(is_training=False, **{"image_resize": 24, **options})


def read_all(paths, batch_size=64, workers=2, **options):
    files = ImageFiles(paths, transforms(**options), batch_size, workers)
    batches = list(files)
    return files, batches


@pytest.mark.parametrize("options", [{}, {"in_channels": 1, "interpolation": "bicubic", "crop_pct": 1.0}])
@pytest.mark.parametrize("fmt", ["jpg", "png", "webp"])
def test_images_equal_those_of_validation_bit_for_bit(fmt, options, tmp_path):
    folder = fixtures_data.write_image_folder(tmp_path, "val", 3, 3, fmt)
    dataset = create_dataset("mine", tmp_path, "val")
    loader = fixtures_data.open_loader(
        dataset, is_training=False, batch_size=4, image_resize=24, num_parallel_workers=1, **options
    )
    files, batches = read_all(find_images(folder), 4, **options)
    assert [str(path) for path in files.paths] == [dataset.where(i) for i in range(9)]
    assert [len(images) for _, images in batches] == [4, 4, 1]
    assert np.concatenate([positions for positions, _ in batches]).tolist() == list(range(9))
    for (_, images), (expected, _) in zip(batches, loader.epoch(0), strict=True):
        assert images.dtype == np.float32
        np.testing.assert_array_equal(images, expected)


def png(header, body=b"") -> bytes:
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", *header, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


def save(path, mode=None, **options):
    image = Image.fromarray(PIXELS)
    (image.convert(mode) if mode else image).save(path, **options)


def write_odd_but_good(folder: Path) -> None:
    """Write image files whose pixels are not 8-bit RGB."""
    save(folder / "cmyk.jpg", "CMYK")
    save(folder / "grey.jpg", "L")
    save(folder / "progressive.jpg", progressive=True)
    save(folder / "palette.png", "P")
    save(folder / "grey_alpha.png", "LA")
    save(folder / "bits.png", "1")
    alpha = Image.fromarray(PIXELS)
    alpha.putalpha(90)
    alpha.save(folder / "alpha.png")
    rows = (PIXELS.astype(">u2") * 257).reshape(40, -1)
    (folder / "rgb16.png").write_bytes(png((60, 40, 16, 2), b"".join(b"\0" + row.tobytes() for row in rows)))
    Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257).save(folder / "grey16.png")
    for suffix in ("gif", "webp", "bmp", "tif", "ppm"):
        save(folder / f"plain.{suffix}")
    save(folder / "animated.gif", save_all=True, append_images=[Image.new("RGB", (60, 40))])
    save(folder / "wrong_suffix.jpg", format="PNG")
    Image.new("RGB", (1, 1)).save(folder / "one_pixel.png")
    Image.new("RGB", (1, 300)).save(folder / "thin.png")


@pytest.mark.parametrize("in_channels", [3, 1])
def test_every_kind_of_image_gets_the_requested_channels(in_channels, tmp_path):
    write_odd_but_good(tmp_path)
    files, batches = read_all(find_images(tmp_path), in_channels=in_channels)
    assert files.unreadable == {}
    ((positions, images),) = batches
    assert images.shape == (18, in_channels, 24, 24)
    assert np.isfinite(images).all()
    got = {files.paths[position].name: image for position, image in zip(positions, images, strict=True)}
    for name in ("rgb16.png", "alpha.png", "plain.bmp", "plain.ppm", "wrong_suffix.jpg"):
        np.testing.assert_array_equal(got[name], got["plain.tif"], err_msg=name)
    difference = np.abs(got["grey16.png"] - got["plain.tif"]).max()
    assert difference > 0.5  # another picture: the comparison above can fail


def write_broken(folder: Path) -> dict[str, str]:
    """Write unusable image files and return name -> part of the reason."""
    save(folder / "whole.jpg")
    save(folder / "whole.png")
    save(folder / "whole.tif", compression="tiff_lzw")
    jpeg, whole_png, tif = ((folder / f"whole.{s}").read_bytes() for s in ("jpg", "png", "tif"))
    flipped = bytearray(whole_png)
    flipped[len(flipped) // 2] ^= 255
    contents = {
        "empty.jpg": (b"", "the file is empty"),
        "text.jpg": (b"hello", "not an image"),
        "cut.jpg": (jpeg[:-200], "image file is truncated"),
        "cut_header.jpg": (jpeg[:300], "Truncated File Read"),
        "cut.png": (whole_png[: len(whole_png) // 2], "Truncated File Read"),
        "cut_header.png": (whole_png[:20], "Truncated File Read"),
        "flipped.png": (bytes(flipped), "broken PNG file"),
        "cut.tif": (tif[: len(tif) // 2], ""),
        "bomb.png": (png((40000, 40000, 8, 2)), "decompression bomb"),
    }
    for name, (content, _) in contents.items():
        (folder / name).write_bytes(content)
    Image.fromarray(PIXELS[..., 0].astype(np.float32)).save(folder / "float.tif")
    Image.new("RGB", (1, 5000)).save(folder / "strip.png")
    (folder / "to_nowhere.png").symlink_to(folder / "absent.png")
    os.mkfifo(folder / "pipe.png")
    return {name: reason for name, (_, reason) in contents.items()} | {
        "float.tif": "pixels of 32 bits",
        "strip.png": "1 x 5000 pixels",
        "to_nowhere.png": "No such file",
        "pipe.png": "not a regular file",
    }


@pytest.mark.parametrize("workers", [1, 3])
def test_broken_files_are_reported_with_a_reason_and_the_others_read(workers, tmp_path):
    reasons = write_broken(tmp_path)
    paths = [*find_images(tmp_path), tmp_path / "vanished.jpg", tmp_path]
    files, batches = read_all(paths, batch_size=2, workers=workers)
    got = {files.paths[position].name: reason for position, reason in files.unreadable.items()}
    expected = {**reasons, "vanished.jpg": "No such file", tmp_path.name: "it is a folder"}
    assert got.keys() == expected.keys()
    for name, reason in expected.items():
        assert reason in got[name]
        assert got[name] and "\n" not in got[name] and str(tmp_path) not in got[name]
    read = [files.paths[position].name for positions, _ in batches for position in positions]
    assert read == ["whole.jpg", "whole.png", "whole.tif"]
    assert [len(images) for _, images in batches] == [2, 1]  # batches are filled up after a broken file


def test_a_file_without_read_permission_is_reported(tmp_path, monkeypatch):
    save(tmp_path / "secret.png")

    def refuse(path, dtype):  # as the system does, except for root
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    monkeypatch.setattr(np, "fromfile", refuse)
    files, batches = read_all([tmp_path / "secret.png"])
    assert (files.unreadable, batches) == ({0: "Permission denied"}, [])


def test_a_file_that_disappears_while_reading_is_reported(tmp_path):
    for number in range(40):
        save(tmp_path / f"{number:02d}.png")
    files = ImageFiles(find_images(tmp_path), transforms(), 2, 1)
    batches = iter(files)
    next(batches)
    (tmp_path / "39.png").unlink()
    read = 2 + sum(len(images) for _, images in batches)
    assert read == 39
    assert files.unreadable == {39: "No such file or directory"}


def test_an_error_in_a_transform_affects_only_its_image(tmp_path):
    write_odd_but_good(tmp_path)

    def fail_on_black(image):
        if not image.any():
            raise KeyError("black")
        return image

    decode, *others = transforms()
    files = ImageFiles(find_images(tmp_path), [decode, fail_on_black, *others])
    ((positions, _),) = files
    assert [files.paths[p].name for p in files.unreadable] == ["one_pixel.png", "thin.png"]
    assert len(positions) + len(files.unreadable) == len(files.paths) == 18
    assert set(files.unreadable.values()) == {"'black'"}


def test_a_second_iteration_starts_again_and_leaving_early_ends_the_threads(tmp_path):
    write_broken(tmp_path)
    files, first = read_all(find_images(tmp_path), 1)
    unreadable = files.unreadable
    second = list(files)
    assert files.unreadable == unreadable
    for (a, images), (b, again) in zip(first, second, strict=True):
        assert a == b
        np.testing.assert_array_equal(images, again)
    started = iter(files)
    next(started)
    start = time.perf_counter()
    started.close()
    assert time.perf_counter() - start < 5


def test_the_batch_size_is_limited_to_the_number_of_files_and_checked(tmp_path):
    save(tmp_path / "a.png")
    assert ImageFiles([tmp_path / "a.png"], transforms(), 64).batch_size == 1
    assert len(ImageFiles([tmp_path / "a.png"] * 5, transforms(), 2)) == 3
    with pytest.raises(ValueError, match="batch_size must be a number >= 1; got 0"):
        ImageFiles([tmp_path / "a.png"], transforms(), 0)
    with pytest.raises(ValueError, match="num_parallel_workers must be a number >= 1; got -1"):
        ImageFiles([tmp_path / "a.png"], transforms(), 1, -1)
    with pytest.raises(ValueError, match="there are no image files"):
        ImageFiles([], transforms())
