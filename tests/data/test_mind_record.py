"""MindRecord files as MindSpore writes them: the same images and labels, by number, and a message for other files."""

import shutil
import sqlite3
from pathlib import Path

import fixtures_data
import numpy as np
import pytest
from mindspore.mindrecord import FileReader, FileWriter

from mindcv.data import create_dataset

SCHEMA = {"image": {"type": "bytes"}, "label": {"type": "int32"}, "name": {"type": "string"}}


def write(path: Path, rows, schema=SCHEMA, index=("label",), parts=1) -> Path:
    writer = FileWriter(str(path), parts, overwrite=True)
    writer.set_header_size(1 << 14)
    writer.set_page_size(1 << 15)  # so that there are several
    writer.add_schema(schema, "digits")
    if index:
        writer.add_index(list(index))
    writer.write_raw_data([{key: row[key] for key in schema} for row in rows])
    writer.commit()
    return path


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """120 images of three classes, not in their order."""
    root = tmp_path_factory.mktemp("folders")
    fixtures_data.write_image_folder(root, "train", ["2", "10", "7"], 40, "jpg")
    paths = sorted(root.rglob("*.jpg"), key=lambda path: (path.name, path.parent.name))
    return [{"image": path.read_bytes(), "label": int(path.parent.name), "name": path.name} for path in paths]


@pytest.mark.parametrize("index", [("label",), (), ("name", "label")])
def test_records_are_read_by_number(index, rows, tmp_path):
    path = write(tmp_path / "train.mindrecord", rows, index=index)
    dataset = create_dataset("x", tmp_path)
    assert dataset.class_names == ("2", "7", "10") and len(dataset) == 120
    for i in np.random.default_rng(0).permutation(120):
        content, label = dataset[i]
        assert content.tobytes() == rows[i]["image"] and int(dataset.class_names[label]) == rows[i]["label"]
        assert dataset.where(i) == f"{path}, record {i}"
    theirs = [record["image"] for record in FileReader(str(path)).get_next()]
    assert sorted(map(bytes, theirs)) == sorted(row["image"] for row in rows)


def test_one_file_is_divided_and_its_classes_keep_their_numbers(rows, tmp_path):
    path = write(tmp_path / "digits.mindrecord", rows)
    train = create_dataset("x", path)
    val = create_dataset("x", path, "val", held_out=train.held_out, class_names=["10", "2", "7"])
    assert (len(train), len(val)) == (96, 24)
    assert np.bincount(val.labels).tolist() == [8, 8, 8] and val.class_names == ("10", "2", "7")
    record = int(val.where(0).split()[-1])
    assert val.class_names[val.labels[0]] == str(rows[record]["label"])


def test_labels_may_be_texts(rows, tmp_path):
    schema = {"image": {"type": "bytes"}, "label": {"type": "string"}}
    names = [{**row, "label": f"class {row['label']}"} for row in rows]
    write(tmp_path / "train.mindrecord", names, schema)
    assert create_dataset("x", tmp_path).class_names == ("class 10", "class 2", "class 7")


def test_other_fields_are_an_error_that_says_how_to_write_the_file(rows, tmp_path):
    def message(folder, *arguments, **options):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "train.mindrecord", *arguments, **options)
        with pytest.raises(ValueError, match=r"add_index\(\['label'\]\)") as caught:
            create_dataset("x", tmp_path / folder)
        return str(caught.value)

    assert "has no index of the field label" in message("a", rows[:3], index=["name"])
    two = {"image": {"type": "bytes"}, "label": {"type": "int32"}, "mask": {"type": "bytes"}}
    assert "it has image, label, mask" in message("b", [{**row, "mask": b"1"} for row in rows[:3]], two)


def test_a_damaged_or_incomplete_file_is_an_error(rows, tmp_path):
    path = write(tmp_path / "train.mindrecord", rows)
    index = path.with_name("train.mindrecord.db")
    content = path.read_bytes()

    def message():
        with pytest.raises(ValueError) as caught:
            create_dataset("x", tmp_path)
        return str(caught.value)

    path.write_bytes(content[: len(content) // 3])
    assert "is cut off" in message()
    path.write_bytes(b"\xff" * 40)
    assert "is no MindRecord file, or is damaged" in message()
    path.write_bytes(content[:8] + b"[" + content[9:])
    assert "is no MindRecord file, or is damaged" in message()
    path.write_bytes(b"")
    assert "holds no images: the file is empty" in message()
    path.write_bytes(content)
    shutil.copy(index, tmp_path / "copy")
    with sqlite3.connect(index) as database:
        database.execute("UPDATE INDEXES SET PAGE_OFFSET_BLOB = 'x' WHERE ROW_ID = 3")
    database.close()
    assert "an offset is not a number" in message()
    index.write_bytes(b"no database" * 100)
    assert "is no index of a MindRecord file" in message()
    index.unlink()
    assert "needs its index" in message()
    shutil.copy(tmp_path / "copy", index)
    dataset = create_dataset("x", tmp_path)
    path.write_bytes(content + b"1")
    with pytest.raises(ValueError, match="has changed since it was opened"):
        dataset[0]
