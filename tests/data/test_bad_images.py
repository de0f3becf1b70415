"""Unreadable images: they end the run with their name, or are skipped without changing anything else."""

import errno
import io
import os
import struct
import zlib

import fixtures_data
import numpy as np
import pytest
from PIL import Image

from mindcv.data import create_dataset
from mindcv.data.examples import ExampleReader

# Pillow's warnings are silenced where mindcv is imported; pytest turns them into errors again.
pytestmark = [
    pytest.mark.filterwarnings(r"ignore::UserWarning:PIL\."),
    pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning"),
]

COUNT = 12
BAD = 7  # the image that is broken
SEED = 3


def png(width, height, body=b"") -> bytes:
    """A PNG with correct checksums whose compressed pixels are `body`."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


UNDECODABLE = png(40, 40, zlib.compress(bytes(500)))  # noticed by the C++ decoder only


def saved(fmt, **options) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, fmt, **options)
    return buffer.getvalue()


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes(255 - byte for byte in content[middle : middle + 40]) + content[middle + 40 :]


def put(content):
    return lambda path: path.write_bytes(content)


def make_folder(path):
    path.unlink()
    path.mkdir()


CASES = {
    "a folder": (make_folder, "it is a folder"),
    "a vanished file": (lambda path: path.unlink(), "No such file"),
    "an empty file": (put(b""), "the file is empty"),
    "a text": (put(b"<html>404</html>"), "not an image"),
    "a program": (put(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "not an image"),
    "a JPEG cut in its header": (put(saved("JPEG")[:300]), ""),
    "a JPEG cut in its body": (put(half(saved("JPEG"))), "image file is truncated"),
    "a progressive JPEG cut": (put(half(saved("JPEG", progressive=True))), ""),
    "a cut PNG": (put(half(saved("PNG"))), ""),
    "a cut BMP": (put(half(saved("BMP"))), "image file is truncated"),
    "a cut TIFF": (put(saved("TIFF", compression="tiff_lzw")[:-4000]), ""),
    "a cut GIF": (put(half(saved("GIF"))), ""),
    "a cut WebP": (put(half(saved("WEBP"))), ""),
    "a broken PNG": (put(flipped(saved("PNG"))), "broken PNG file"),
    "a PNG of too few pixels": (put(UNDECODABLE), "image file is truncated"),
    "a broken TIFF": (put(flipped(saved("TIFF", compression="tiff_adobe_deflate"))), ""),
    "a broken GIF": (put(flipped(saved("GIF"))), ""),
    "a TIFF of 32 bits": (put(b""), "pixels of 32 bits"),
    "a decompression bomb": (put(png(60000, 60000)), "decompression bomb"),
    "a strip": (put(png(1, 20000)), "1 x 20000 pixels: one side is more than 1000 times the other"),
}


def write_good(root, split="train"):
    """Write images: number k is grey with level 20 * k and the only one of class k."""
    for k in range(COUNT):
        folder = root / split / f"{k:02d}"
        folder.mkdir(parents=True)
        Image.new("RGB", (40, 40), (20 * k,) * 3).save(folder / "image.png")
    return create_dataset("levels", root, split)


def path_of(root, k, split="train"):
    return root / split / f"{k:02d}" / "image.png"


def spoil(case, path):
    if case == "a TIFF of 32 bits":
        Image.fromarray(np.zeros((40, 40), np.float32)).save(path, "TIFF")
    else:
        CASES[case][0](path)


def loader_of(dataset, is_training, **options):
    usual = {"on_bad_image": "skip", "batch_size": 3, "seed": SEED, "image_resize": 16, "color_jitter": None}
    return fixtures_data.open_loader(dataset, is_training=is_training, mean=(0,), std=(1,), **{**usual, **options})


def read_all(loader, epoch=0, start=0):
    """Return (labels, images) of an epoch, and check that every image matches its label."""
    batches = list(loader.epoch(epoch, start))
    labels = np.concatenate([labels for _, labels in batches])
    images = np.concatenate([images for images, _ in batches])
    good = labels >= 0
    levels = np.rint(images * 255).max(axis=(1, 2, 3)).astype(int)
    np.testing.assert_array_equal(levels[good], 20 * labels[good])
    assert len(labels) == loader.num_examples
    return labels.tolist(), images


def replaced(bad, epoch=0, count=COUNT):
    """Return the labels of an epoch with every bad one replaced by the next good one of the order."""
    order = np.random.default_rng((SEED, epoch)).permutation(count).tolist()
    return [next(k for k in order[place:] + order[:place] if k not in bad) for place in range(count)]


@pytest.mark.parametrize("case", CASES)
def test_training_replaces_a_bad_image_by_the_next_good_one_of_the_order(case, tmp_path):
    dataset = write_good(tmp_path)
    spoil(case, path_of(tmp_path, BAD))
    loader = loader_of(dataset, True)
    for epoch in (0, 1):
        labels, images = read_all(loader, epoch)
        assert labels == replaced({BAD}, epoch)
        again = read_all(loader_of(dataset, True), epoch)
        np.testing.assert_array_equal(images, again[1])
    ((path, reason),) = loader.bad_images.items()
    assert path == str(path_of(tmp_path, BAD))
    assert CASES[case][1] in reason and reason and "\n" not in reason and str(tmp_path) not in reason


@pytest.mark.parametrize("case", ["an empty file", "a PNG of too few pixels"])
def test_random_stages_get_the_replacement_at_the_same_place(case, tmp_path):
    dataset = write_good(tmp_path)
    spoil(case, path_of(tmp_path, BAD))
    options = {"gaussian_blur_prob": 0.5, "grayscale_prob": 0.5}  # leave images of one grey level alone
    labels, _ = read_all(loader_of(dataset, True, **options))
    assert labels == replaced({BAD})


@pytest.mark.parametrize("case", CASES)
def test_evaluation_marks_a_bad_image_and_gives_every_good_one_once(case, tmp_path):
    dataset = write_good(tmp_path, "val")
    _, intact = read_all(loader_of(dataset, False))
    spoil(case, path_of(tmp_path, BAD, "val"))
    loader = loader_of(dataset, False, batch_size=5)
    labels, images = read_all(loader)
    assert labels == [k if k != BAD else -1 for k in range(COUNT)]
    good = np.array(labels) >= 0
    np.testing.assert_array_equal(images[good], intact[good])
    assert list(loader.bad_images) == [str(path_of(tmp_path, BAD, "val"))]


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_stopping_reports_the_image_and_the_alternatives(case, is_training, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset = write_good(tmp_path)
    spoil(case, path_of(tmp_path, BAD))
    loader = loader_of(dataset, is_training, on_bad_image="stop")
    with pytest.raises(ValueError) as caught:
        list(loader.epoch(0))
    message = str(caught.value)
    assert message.startswith(f"cannot read the image {path_of(tmp_path, BAD)}: ")
    assert CASES[case][1] in message and "on_bad_image=skip" in message and "--check_data" in message
    assert caught.value.__cause__ is None and caught.value.__context__ is None  # with --debug: no other tracebacks
    assert loader.bad_images == {}
    assert os.listdir(tmp_path) == ["train"]  # the decoder would leave a copy of an unreadable image here


def test_a_file_without_read_permission_is_skipped(tmp_path, monkeypatch):
    dataset = write_good(tmp_path)
    read = np.fromfile

    def refuse(path, dtype):  # as the system does, except for root
        if path == str(path_of(tmp_path, BAD)):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return read(path, dtype)

    monkeypatch.setattr(np, "fromfile", refuse)
    loader = loader_of(dataset, True)
    assert read_all(loader)[0] == replaced({BAD})
    assert loader.bad_images == {str(path_of(tmp_path, BAD)): "Permission denied"}


def test_a_file_that_disappears_during_the_run_is_skipped_from_then_on(tmp_path):
    dataset = write_good(tmp_path)
    loader = loader_of(dataset, True)
    assert read_all(loader)[0] == replaced(set())
    path_of(tmp_path, BAD).unlink()
    assert read_all(loader, 1)[0] == replaced({BAD}, 1)
    write_good(tmp_path / "again")
    (tmp_path / "again" / "train" / f"{BAD:02d}" / "image.png").rename(path_of(tmp_path, BAD))
    assert read_all(loader, 2)[0] == replaced({BAD}, 2)  # until the end of the run


@pytest.mark.parametrize("workers", sorted({1, min(2, os.cpu_count())}))
@pytest.mark.parametrize("bad", [{BAD}, {0, 1, 2, BAD, 11}])
def test_images_that_only_the_decoder_rejects_do_not_change_other_batches(bad, workers, tmp_path, monkeypatch):
    monkeypatch.setattr("mindcv.data.loader.SEGMENT", 4)
    dataset = write_good(tmp_path)
    for k in bad:
        path_of(tmp_path, k).write_bytes(UNDECODABLE)
    options = {"batch_size": 2, "num_parallel_workers": workers, "re_prob": 0.5}
    loader = loader_of(dataset, True, **options)
    found_on_the_way = list(loader.epoch(0))
    assert set(loader.bad_images) == {str(path_of(tmp_path, k)) for k in bad}
    known_before = list(loader.epoch(0))
    assert np.concatenate([labels for _, labels in known_before]).tolist() == replaced(bad)
    for start in range(7):
        resumed = list(loader_of(dataset, True, **options).epoch(0, start))
        for batches in (found_on_the_way[start:], known_before[start:]):
            for (images, labels), (expected_images, expected_labels) in zip(resumed, batches, strict=True):
                np.testing.assert_array_equal(images, expected_images)
                np.testing.assert_array_equal(labels, expected_labels)


@pytest.mark.parametrize("content", [b"", UNDECODABLE], ids=["refused by Pillow", "refused by the decoder"])
@pytest.mark.parametrize("is_training", [True, False])
def test_more_bad_images_than_the_limit_end_the_run_with_advice(content, is_training, tmp_path):
    dataset = write_good(tmp_path)
    for k in range(2, 9):
        path_of(tmp_path, k).write_bytes(content)
    assert len(read_all(loader_of(dataset, is_training, bad_image_limit=7))[0]) == COUNT
    with pytest.raises(ValueError) as caught:
        list(loader_of(dataset, is_training, bad_image_limit=3).epoch(0))
    message = str(caught.value)
    assert "4 images cannot be read, more than bad_image_limit=3" in message
    assert message.count(str(tmp_path)) == 4 and "--check_data" in message


def test_all_threads_over_the_bad_image_limit_give_the_same_message(tmp_path):
    dataset = write_good(tmp_path)
    bad_images = ExampleReader(dataset, "skip", 3, replace=True)
    messages = []
    for position in range(6):
        try:
            bad_images.add(position, "broken")
        except ValueError as error:
            messages.append(str(error))
    assert len(messages) == 3 and len(set(messages)) == 1
    assert messages[0].startswith("4 images cannot be read, more than bad_image_limit=3")


def test_training_on_a_split_without_good_images_is_an_error(tmp_path):
    dataset = write_good(tmp_path)
    for k in range(COUNT):
        path_of(tmp_path, k).write_bytes(b"")
    with pytest.raises(ValueError, match="not one of the images can be read"):
        list(loader_of(dataset, True).epoch(0))
    assert read_all(loader_of(dataset, False))[0] == [-1] * COUNT


def test_policies_are_checked(tmp_path):
    dataset = write_good(tmp_path)
    with pytest.raises(ValueError, match="on_bad_image must be 'stop' or 'skip'; got 'ignore'"):
        loader_of(dataset, True, on_bad_image="ignore")
    with pytest.raises(ValueError, match="bad_image_limit must be a number >= 1; got 0"):
        loader_of(dataset, True, bad_image_limit=0)
