"""Lists of images in CSV files: the same data set as folders, and a message for everything wrong in them."""

import fixtures_data
import numpy as np
import pytest
from fuzzing import fuzz, refusal
from hypothesis import given
from hypothesis import strategies as st

from mindcv.data import UnknownClassError, create_dataset, default_splits
from mindcv.data.csv_list import read_list
from mindcv.folders import data_set_in


@pytest.fixture
def listed(tmp_path):
    """Writes `tmp_path/<name>` with these lines and three images below `tmp_path/shots`; returns `tmp_path`."""
    fixtures_data.write_image_folder(tmp_path, "shots", ["all"], 3)

    def write(*lines, name="train.csv"):
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        return tmp_path

    return write


def image(number: int) -> str:
    return f"shots/all/{number:03d}.png"


def rows_of(root, split) -> list[str]:
    """Lines that list the images of the folders `root/split`."""
    paths = sorted((root / split).rglob("*.png"))
    return ["image,label", *(f"{path.relative_to(root)},{path.parent.name}" for path in paths)]


def test_a_list_is_the_same_data_set_as_folders(tmp_path):
    (tmp_path / "lists").mkdir()
    for split in ("train", "val"):
        fixtures_data.write_image_folder(tmp_path, split, ["zebra", "ant", "Cat"], 4)
        folders = create_dataset("x", tmp_path, split)
        lines = "\n".join(rows_of(tmp_path, split)).replace(f"\n{split}/", f"\n../{split}/")
        (tmp_path / "lists" / f"{split}.csv").write_text(lines)
        listed = create_dataset("x", tmp_path / "lists", split)
        assert listed.class_names == folders.class_names == ("Cat", "ant", "zebra")
        assert listed.labels.tolist() == folders.labels.tolist()
        assert all((listed[i][0] == folders[i][0]).all() for i in range(len(folders)))
        assert not listed.remarks


def test_lines_keep_their_order_and_classes_are_sorted(listed):
    root = listed("\ufeffImage, Label", f"{image(2)},b", "", f'"{image(0)}","a, or ä"', f"./{image(1)},b")
    dataset = create_dataset("x", root)
    assert dataset.class_names == ("a, or ä", "b") and dataset.labels.tolist() == [1, 0, 1]
    assert [dataset.where(i) for i in range(3)] == [str(root / image(k)) for k in (2, 0, 1)]


def test_numbers_are_ordered_by_their_value(listed):
    root = listed("image,label", f"{image(0)},10", f"{image(1)},9", f"{image(2)},0")
    assert create_dataset("x", root).class_names == ("0", "9", "10")


def test_classes_of_the_training_split_or_a_checkpoint_keep_their_numbers(listed):
    root = listed("image,label", f"{image(0)},b", f"{image(1)},c", name="val.csv")
    dataset = create_dataset("x", root, "val", class_names=["c", "a", "b"])
    assert dataset.labels.tolist() == [2, 0]
    with pytest.raises(UnknownClassError, match="has 1 class that the training split does not know: 'c'"):
        create_dataset("x", root, "val", class_names=["a", "b"])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["file;label", f"{image(0)};a"], r"train\.csv, line 1: the header must be image,label .*; found 'file;label'"),
        ([f"{image(0)},a"], r"line 1: the header must be image,label .*; found 'shots/all/000\.png', 'a'"),
        (["image,label"], "lists no images"),
        (["image,label", f"{image(0)},"], r"line 2: the label is empty"),
        (["image,label", f"{image(0)},;"], "lists no labels"),
        (["image,label", f"{image(0)},a;b;a"], r"line 2: .*000\.png has a label twice: 'a', 'b', 'a'"),
        (["image,label", f"{image(0)},a,b"], r"line 2: 2 cells are expected"),
        (["image,label", ",a"], r"line 2: the image is empty"),
        (["image,label", f"{image(0)},a", f"{image(1)}"], r"line 3: 2 cells are expected, image,label; got \['shots"),
        (["image,label", f"{image(0)},a,7"], r"line 2: 2 cells are expected"),
        (["image,label", f"{image(0)},a", f"shots/../{image(0)},b"], r"line 3: .*000\.png is in line 2 already"),
        (["image,label", "no.png,a", f"{image(0)},a", "nor.png,b"], r"line 2: there is no file .*no\.png \(2 of 3 are"),
        (["image,label", "shots,a"], r"line 2: there is no file .*shots\. Paths are relative to"),
        (["image,label", "a\0.png,a"], r"line 2"),
        (["image,label", f'"{image(0)},a'], r"train\.csv, line 2: not readable as CSV"),
    ],
)
def test_everything_wrong_in_a_list_is_an_error_that_names_the_line(lines, message, listed):
    with pytest.raises(ValueError, match=message):
        create_dataset("x", listed(*lines))


def test_a_list_in_another_encoding_is_an_error(listed):
    root = listed("image,label")
    (root / "train.csv").write_bytes("image,label\nshots/all/000.png,Möwe\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"train\.csv is not a text in UTF-8"):
        create_dataset("x", root)


def test_one_list_is_divided_like_folders(tmp_path):
    fixtures_data.write_image_folder(tmp_path, "flat", ["a", "b"], 10)
    flat = tmp_path / "flat"
    list_file = flat / "birds.csv"
    list_file.write_text("\n".join(line.replace("flat/", "") for line in rows_of(tmp_path, "flat")))
    train = create_dataset("x", list_file)
    val = create_dataset("x", list_file, "val", held_out=train.held_out)
    assert (len(train), len(val)) == (16, 4)
    assert [int((val.labels == k).sum()) for k in (0, 1)] == [2, 2]
    found = {dataset.where(i) for dataset in (train, val) for i in range(len(dataset))}
    assert found == set(map(str, flat.rglob("*.png")))
    assert "birds.csv (2 classes, 'a', 'b') is not divided into train and val: 16 images to train" in train.remarks[0]


def test_a_single_train_list_is_divided_if_a_fraction_is_given(tmp_path):
    fixtures_data.write_image_folder(tmp_path, "shots", ["a", "b"], 10)
    (tmp_path / "train.csv").write_text("\n".join(rows_of(tmp_path, "shots")))
    assert len(create_dataset("x", tmp_path)) == 20
    assert len(create_dataset("x", tmp_path, val_fraction=0.2)) == 16
    with pytest.raises(ValueError, match=r"--val_fraction=0\.2 holds out"):
        create_dataset("x", tmp_path, "val")
    (tmp_path / "test.csv").write_text("\n".join(rows_of(tmp_path, "shots")))
    assert default_splits("x", tmp_path) == ("train", "test")
    assert create_dataset("x", tmp_path, val_fraction=0.2).remarks == [
        f"{tmp_path} has files for its splits: val_fraction has no effect"
    ]


def test_class_folders_go_before_a_list_and_that_is_reported(tmp_path):
    fixtures_data.write_image_folder(tmp_path, "train", ["a", "b"], 2)
    (tmp_path / "train.csv").write_text("image,label\n")
    dataset = create_dataset("x", tmp_path)
    assert len(dataset) == 4
    assert dataset.remarks == [f"{tmp_path}/train.csv is not used: the folder {tmp_path}/train has class folders"]


def test_a_list_names_the_data_set(listed):
    root = listed("image,label")
    assert data_set_in(str(root)) == (root.name, f"the list of images train.csv in {root}")
    assert data_set_in(str(root / "train.csv")) == ("train", f"the list of images {root}/train.csv")


@pytest.mark.parametrize(
    "lines",
    [
        ["image,label", f"{image(0)},b;a", f"{image(1)},c", f"{image(2)},"],
        ["image,label,label", f"{image(0)},b,a", f"{image(1)},c,", f"{image(2)},,"],
    ],
)
def test_several_labels_are_rows_of_zeros_and_ones(lines, listed):
    dataset = create_dataset("x", listed(*lines))
    assert dataset.class_names == ("a", "b", "c") and dataset.is_multi_label
    assert dataset.labels.dtype == np.float32 and dataset.labels.tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 0]]
    _, label = dataset[0]
    assert label.dtype == np.float32 and label.tolist() == [1, 1, 0]
    assert dataset.remarks == [f"{dataset.where(0).partition('shots')[0]}train.csv: 1 of 3 images have no label"]


def test_several_labels_keep_their_classes_numbers(listed):
    root = listed("image,label", f"{image(0)},b;a", f"{image(1)},c", name="val.csv")
    dataset = create_dataset("x", root, "val", class_names=["c", "x", "b", "a"])
    assert dataset.labels.tolist() == [[0, 0, 1, 1], [1, 0, 0, 0]]
    assert dataset.remarks == ["1 of 4 classes have no image in split 'val' of 'x': 'x'"]


def test_a_split_has_the_kind_of_labels_of_the_training_split(listed):
    root = listed("image,label", f"{image(0)},b", f"{image(1)},a", name="val.csv")
    dataset = create_dataset("x", root, "val", is_multi_label=True, class_names=["a", "c", "b"])
    assert dataset.labels.tolist() == [[0, 0, 1], [1, 0, 0]]
    listed("image,label", f"{image(0)},b;a", name="val.csv")
    with pytest.raises(
        ValueError, match="'val' of data set 'x' has several labels per image; an image of the training"
    ):
        create_dataset("x", root, "val", is_multi_label=False)


def test_several_labels_are_divided_without_regard_to_them(tmp_path):
    fixtures_data.write_image_folder(tmp_path, "shots", ["a", "b"], 10)
    lines = [f"{line};odd" if number % 2 else line for number, line in enumerate(rows_of(tmp_path, "shots")[1:])]
    (tmp_path / "all.csv").write_text("\n".join(["image,label", *lines]))
    train = create_dataset("x", tmp_path / "all.csv")
    val = create_dataset("x", tmp_path / "all.csv", "val", held_out=train.held_out)
    assert (train.labels.shape, val.labels.shape) == ((16, 3), (4, 3))
    assert not {train.where(i) for i in range(16)} & {val.where(i) for i in range(4)}


def test_several_labels_come_in_batches_and_an_unreadable_image_has_none(listed):
    root = listed("image,label", f"{image(0)},b;a", f"{image(1)},c", f"{image(2)},a")
    dataset = create_dataset("x", root)
    (root / image(1)).write_bytes(b"no image")
    options = {"image_resize": 8, "batch_size": 3, "num_parallel_workers": 1, "on_bad_image": "skip"}
    ((images, labels),) = fixtures_data.open_loader(dataset, is_training=False, **options).epoch(0)
    assert images.shape == (3, 3, 8, 8) and labels.dtype == np.float32
    assert labels.tolist() == [[1, 1, 0], [-1, -1, -1], [1, 0, 0]]


@fuzz(150)
@given(
    header=st.sampled_from(["image,label", "image,label,label", "image", "", "image,label,x"]),
    cells=st.lists(st.text(st.sampled_from('aä,;"\n\r\0 /.'), max_size=12), max_size=6),
    noise=st.none() | st.binary(max_size=9),
)
def test_any_text_is_a_list_or_an_error(tmp_path_factory, header, cells, noise):
    path = tmp_path_factory.mktemp("fuzz") / "train.csv"
    (path.parent / "a").touch()
    path.write_bytes("\n".join([header, *cells]).encode() + (noise or b""))
    images, message = refusal(lambda: read_list(path))
    if message is not None:
        assert str(path) in message
        return
    assert all(images.where(position) == str(path.parent / "a") for position in range(len(images.labels)))
