"""Files that are not images, or are left by systems and tools: not used, and reported."""

from collections import Counter
from pathlib import Path

import fixtures_data
import numpy as np
import pytest
from PIL import Image

from mindcv.data import create_dataset, find_images, image_file
from mindcv.data.image_file import read_image_file
from mindcv.folders import IMAGE_SUFFIXES, describe_passed_over, images_below

LEFT_BY_TOOLS = [
    *(".DS_Store", "Thumbs.db", "desktop.ini", "._000.png", ".ipynb_checkpoints/000.png", "__MACOSX/._000.png"),
    *("@eaDir/000.png/SYNOPHOTO_THUMB.png", "lost+found/000.png", "$RECYCLE.BIN/000.png", ".hidden/000.png"),
]


def leave(folder: Path, image: bytes) -> None:
    for name in LEFT_BY_TOOLS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(image)


def test_the_suffixes_are_pillows_for_the_supported_formats():
    read = {s for s, kind in Image.registered_extensions().items() if kind in (*image_file._FORMATS, "MPO")}
    assert set(IMAGE_SUFFIXES) == read - {".pfm"}


@pytest.mark.parametrize("suffix", [*IMAGE_SUFFIXES, ".PGM", ".Jfif"])
def test_every_suffix_is_found_and_read(suffix, tmp_path):
    fmt = Image.registered_extensions()[suffix.lower()]
    mode = {".pgm": "L", ".pbm": "1"}.get(suffix.lower(), "RGB")
    (tmp_path / "train" / "a").mkdir(parents=True)
    path = tmp_path / "train" / "a" / f"x{suffix}"
    Image.new(mode, (8, 8), "white").save(path, fmt)
    dataset = create_dataset("x", tmp_path)
    assert dataset.where(0) == str(path) and dataset.remarks == []
    assert len(dataset[0][0])
    assert find_images(tmp_path) == [path]


def test_a_pgm_of_16_bits_keeps_its_grey_levels(tmp_path):
    import mindspore.dataset.vision as vision

    (tmp_path / "x.pgm").write_bytes(b"P5 4 4 65535\n" + np.full(16, 60000, ">u2").tobytes())
    assert (vision.Decode()(read_image_file(tmp_path / "x.pgm")) == 60000 >> 8).all()


def test_files_passed_over_are_counted_by_suffix_in_one_line_per_split(tmp_path):
    split = fixtures_data.write_image_folder(tmp_path, "train", ["a", "b"], 2)
    fixtures_data.write_image_folder(tmp_path, "val", ["a", "b"], 1)
    for name in ("a/1.HEIC", "a/2.heic", "b/deep/3.heic", "b/x.txt", "README", "beside.jpg"):
        (split / name).parent.mkdir(exist_ok=True)
        (split / name).touch()
    assert create_dataset("x", tmp_path).remarks == [
        f"{split}: 6 files were passed over: 3 .heic, 1 without a suffix, 1 .jpg outside the class folders, 1 .txt"
    ]
    assert create_dataset("x", tmp_path, "val").remarks == []


def test_many_suffixes_are_abbreviated_and_one_file_is_singular():
    assert describe_passed_over("x", Counter({".txt": 1})) == ["x: 1 file was passed over: 1 .txt"]
    (remark,) = describe_passed_over("x", Counter({f".{k}": 12 - k for k in range(10)}))
    assert remark.startswith("x: 75 files were passed over: 12 .0, ") and remark.endswith("5 .7, 7 others")


def test_files_left_by_tools_are_neither_used_nor_counted(tmp_path):
    split = fixtures_data.write_image_folder(tmp_path, "train", ["a", "b"], 2)
    leave(split / "a", (split / "a" / "000.png").read_bytes())
    dataset = create_dataset("x", tmp_path)
    assert len(dataset) == 4 and dataset.remarks == []


def test_folders_left_by_tools_are_not_classes_and_are_reported(tmp_path):
    split = fixtures_data.write_image_folder(tmp_path, "train", ["a", "b"], 2)
    leave(split, (split / "a" / "000.png").read_bytes())
    dataset = create_dataset("x", tmp_path)
    assert dataset.class_names == ("a", "b") and len(dataset) == 4
    (remark,) = dataset.remarks
    assert remark.startswith(f"{split}: not classes, because hidden or left by a tool: $RECYCLE.BIN, .hidden, .ipynb")
    assert remark.endswith("@eaDir, __MACOSX, lost+found")


def test_unlabelled_images_are_found_by_the_same_rules(tmp_path):
    split = fixtures_data.write_image_folder(tmp_path, "photos", ["a"], 2)
    leave(split, (split / "a" / "000.png").read_bytes())
    (split / "a" / "x.heic").touch()
    remarks = []
    assert [path.name for path in find_images(split, remarks)] == ["000.png", "001.png"]
    assert remarks == [f"{split}: 1 file was passed over: 1 .heic"]
    assert len(find_images(f"{split}/**/*.png")) == 2
    assert [path.name for path in find_images(f"{split}/**/*")] == ["000.png", "001.png", "x.heic"]
    assert len(find_images(f"{split}/@eaDir/**/*.png")) == 1  # requested by name


def test_a_copy_beside_cifars_files_is_not_read(tmp_path):
    folder = fixtures_data.write_cifar10(tmp_path, 20, 10)
    for name in ("data_batch_1 (1).bin", "data_batch_1 copy.bin", "._data_batch_1.bin"):
        (folder / name).write_bytes((folder / "data_batch_1.bin").read_bytes())
    assert len(create_dataset("cifar10", tmp_path)) == 20


def test_images_below_counts_linked_files_once(tmp_path):
    split = fixtures_data.write_image_folder(tmp_path, "train", ["a"], 1)
    (split / "a" / "x.txt").touch()
    (split / "a" / "round").symlink_to(split / "a")
    passed_over = Counter()
    assert len(images_below(split, passed_over)) == 1 and passed_over == {".txt": 1}
