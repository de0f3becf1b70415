"""Image folders: the images found, their order, and the message for every wrong layout."""

import os
import time
from pathlib import Path

import fixtures_data
import numpy as np
import pytest
from PIL import Image

from mindcv.data import create_dataset, image_file
from mindcv.data.image_file import read_image_file


def test_labels_follow_the_sorted_folder_names(tmp_path):
    fixtures_data.write_image_folder(tmp_path, "train", ["zebra", "ant", "Cat"], 2)
    dataset = create_dataset("my_animals", tmp_path)
    assert dataset.class_names == ("Cat", "ant", "zebra")
    assert dataset.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert [dataset.where(i).split("/")[-2] for i in (0, 2, 4)] == ["Cat", "ant", "zebra"]
    content, label = dataset[3]
    assert (content.ndim, content.dtype, label, label.dtype) == (1, np.uint8, 1, np.int32)
    assert content.tobytes() == (tmp_path / "train" / "ant" / "001.png").read_bytes()


def test_nested_and_linked_images_are_found_and_other_files_passed_over(tmp_path):
    split = fixtures_data.write_image_folder(tmp_path, "train", ["a", "b"], 1)
    image = (split / "a" / "000.png").read_bytes()
    (split / ".cache").mkdir()
    (split / "list.txt").touch()
    (split / "a" / ".hidden.png").write_bytes(image)
    (split / "a" / "notes.txt").touch()
    (split / "a" / "below").mkdir()
    (split / "a" / "below" / "UPPER.PNG").write_bytes(image)
    (split / "a" / "linked.png").symlink_to(split / "b" / "000.png")
    (split / "a" / "round").symlink_to(split / "a")
    (split / "c").symlink_to(split / "b")
    dataset = create_dataset("x", tmp_path)
    found = [dataset.where(i).removeprefix(f"{split}/") for i in range(len(dataset))]
    assert found == ["a/000.png", "a/below/UPPER.PNG", "a/linked.png", "b/000.png", "c/000.png"]


def test_the_folder_may_be_below_the_data_sets_name(tmp_path):
    fixtures_data.write_image_folder(tmp_path / "imagenet", "val", 2, 1)
    assert len(create_dataset("imagenet", tmp_path, "val")) == 2


def test_a_wrong_layout_is_an_error_that_shows_the_expected_and_found_files(tmp_path):
    def message(root, split="train", name="flowers"):
        with pytest.raises(ValueError) as caught:
            create_dataset(name, root, split)
        return str(caught.value)

    tree = "/train/<class>/<image>.jpg"
    assert "absent does not exist" in message(tmp_path / "absent")
    assert tree in message(tmp_path / "absent")
    assert "has no folder 'train'" in message(tmp_path)
    assert "nothing" in message(tmp_path)
    Image.new("RGB", (4, 4)).save(tmp_path / "one.jpg")
    assert "has images, but no folder 'train'" in message(tmp_path)
    assert "one.jpg" in message(tmp_path)
    split = tmp_path / "train"
    split.mkdir()
    Image.new("RGB", (4, 4)).save(split / "two.jpg")
    assert "has no class folders" in message(tmp_path)
    assert "two.jpg" in message(tmp_path)
    (split / "rose").mkdir()
    (split / "rose" / "readme.md").touch()
    assert f"the class folder {split / 'rose'} has no images (.jpg" in message(tmp_path)
    assert "readme.md" in message(tmp_path)
    assert "no folder 'val'" in message(tmp_path, "val")
    assert "train/" in message(tmp_path, "val")
    assert "name of one folder" in message(tmp_path, "../train")
    assert "Did you mean 'cifar10'" in message(tmp_path / "absent", name="cifar1O")


def test_downloading_image_folders_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="'imagenet' cannot be downloaded; only cifar10, cifar100 and mnist can"):
        create_dataset("imagenet", tmp_path, download=True)


@pytest.mark.parametrize("fmt", ["png", "bmp", "tif", "webp", "gif", "ppm"])
def test_every_lossless_format_decodes_to_the_same_pixels(fmt, tmp_path):
    import mindspore.dataset.vision as vision

    pixels = np.random.default_rng(0).integers(0, 8, (9, 12, 3), np.uint8) * 30
    pixels[..., 1:] = pixels[..., :1]  # grey: GIF's palette of 256 colours holds it exactly
    path = tmp_path / f"image.{fmt}"
    Image.fromarray(pixels).save(path, **({"lossless": True} if fmt == "webp" else {}))
    assert (vision.Decode()(read_image_file(str(path))) == pixels).all()


@pytest.mark.parametrize(
    ("fmt", "modes"),
    [
        ("png", ["L", "1", "P", "RGBA", "LA", "I;16"]),
        ("jpg", ["L", "CMYK"]),
        ("tif", ["L", "1", "P", "RGBA", "LA", "CMYK", "I;16"]),
        ("gif", ["L", "1", "P", "RGBA"]),
        ("webp", ["L", "RGBA"]),
    ],
)
def test_every_pixel_mode_decodes_to_rgb(fmt, modes, tmp_path):
    import mindspore.dataset.vision as vision

    for mode in modes:
        image = Image.fromarray(np.full((9, 12), 60000, np.uint16)) if mode == "I;16" else Image.new(mode, (12, 9))
        path = tmp_path / f"image.{fmt}"
        image.save(path)
        decoded = vision.Decode()(read_image_file(str(path)))
        assert decoded.shape == (9, 12, 3), mode
        if mode == "I;16":
            assert abs(int(decoded[0, 0, 0]) - 60000 // 256) <= 1


@pytest.mark.parametrize("content", [b"", b"no image", b"\xff\xd8\xff\xe0"])
def test_an_unreadable_image_is_an_error_with_its_path(content, tmp_path):
    path = tmp_path / "broken.jpg"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"cannot read the image {path}"):
        read_image_file(str(path))
    with pytest.raises(ValueError, match=r"cannot read the image .*absent\.jpg"):
        read_image_file(str(tmp_path / "absent.jpg"))


def test_a_jpeg_cut_in_its_header_is_an_error_before_decoding(tmp_path):
    path = tmp_path / "cut.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)).save(path)
    content = path.read_bytes()
    header = content.index(b"\xff\xda")  # start of scan
    for length in range(header):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="cannot read the image"):
            read_image_file(str(path))


def test_jpegs_with_several_pictures_are_accepted(tmp_path):
    import mindspore.dataset.vision as vision

    image, other = Image.new("RGB", (40, 24), "red"), Image.new("RGB", (40, 24), "blue")
    image.save(tmp_path / "two.jpg", "MPO", save_all=True, append_images=[other])
    image.save(tmp_path / "progressive.jpg", progressive=True)
    image.save(tmp_path / "plain.jpg")
    content = (tmp_path / "plain.jpg").read_bytes()
    (tmp_path / "tail.jpg").write_bytes(content + bytes(1000))
    with Image.open(tmp_path / "two.jpg") as opened:
        assert opened.format == "MPO"
    for name in ("two", "progressive", "tail"):
        decoded = vision.Decode()(read_image_file(str(tmp_path / f"{name}.jpg")))
        assert np.abs(decoded.astype(int) - [254, 0, 0]).max() <= 3, name


def test_damage_after_the_first_read_is_noticed(tmp_path):
    """Even if its size and modification time are unchanged."""
    path = fixtures_data.write_image_folder(tmp_path, "train", 1, 1, "jpg") / "class0" / "000.jpg"
    dataset = create_dataset("folder", tmp_path)
    content = dataset[0][0]
    times = path.stat()
    np.testing.assert_array_equal(dataset[0][0], content)
    time.sleep(0.05)  # file systems count time in steps of some milliseconds
    path.write_bytes(path.read_bytes()[:20] + bytes(len(content) - 20))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(ValueError, match="cannot read the image"):
        dataset[0]


def test_an_unchanged_file_is_checked_once(tmp_path, monkeypatch):
    fixtures_data.write_image_folder(tmp_path, "train", 1, 3, "png")
    dataset = create_dataset("folder", tmp_path)
    checked = []
    check = image_file._check_native
    monkeypatch.setattr(image_file, "_check_native", lambda *arguments: checked.append(check(*arguments)))
    for _ in range(3):
        for index in range(3):
            assert dataset[index][0].tobytes() == Path(dataset.where(index)).read_bytes()
    assert len(checked) == 3
