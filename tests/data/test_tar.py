"""Images in tar archives: the same data set as the unpacked folders, and hostile or damaged archives."""

import gzip
import io
import tarfile
from concurrent.futures import ThreadPoolExecutor

import fixtures_data
import pytest
from fuzzing import fuzz, refusal
from hypothesis import given
from hypothesis import strategies as st

from mindcv.data import create_dataset
from mindcv.data.tar import read_tar
from mindcv.folders import data_set_in

CLASSES = ["zebra", "ant", "Cat"]


def pack(path, *folders, prefix="", layout=tarfile.PAX_FORMAT):
    """Write a tar archive of the folders."""
    with tarfile.open(path, "w", format=layout) as tar:
        for folder in folders:
            tar.add(folder, prefix + folder.name)
    return path


def tar_of(*members: tuple[str, bytes, bytes], layout=tarfile.PAX_FORMAT) -> bytes:
    """An archive of (name, type, content)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=layout) as tar:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(content), "/etc/passwd"
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def folders(tmp_path):
    """`folders/train/<class>/**`, with an image two folders deep, a GIF, a note and a hidden file."""
    train = fixtures_data.write_image_folder(tmp_path / "folders", "train", CLASSES, 4)
    (train / "ant" / "below").mkdir()
    (train / "ant" / "below" / "1.PNG").write_bytes((train / "ant" / "000.png").read_bytes())
    fixtures_data.write_image_folder(tmp_path, "gif", ["zebra"], 1, "gif")
    (tmp_path / "gif" / "zebra" / "000.gif").rename(train / "zebra" / ("n" * 120 + ".gif"))
    (train / "ant" / "notes.txt").touch()
    (train / "ant" / ".hidden.png").touch()
    return tmp_path / "folders"


def assert_same(found, expected):
    assert found.class_names == expected.class_names
    assert found.labels.tolist() == expected.labels.tolist()
    for i in range(len(expected)):
        assert (found[i][0] == expected[i][0]).all()
        assert found.where(i).split("/")[-2:] == expected.where(i).split("/")[-2:]


@pytest.mark.parametrize("layout", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("prefix", ["", "./", "train/", "/data/imagenet/train/"])
def test_an_archive_is_the_same_data_set_as_its_folders(prefix, layout, folders, tmp_path):
    (tmp_path / "packed").mkdir()
    pack(
        tmp_path / "packed" / "train.tar", *(folders / "train" / name for name in CLASSES), prefix=prefix, layout=layout
    )
    dataset = create_dataset("x", tmp_path / "packed")
    assert_same(dataset, create_dataset("x", folders))
    assert dataset.remarks == [f"{tmp_path}/packed/train.tar: 1 file was passed over: 1 .txt"]


@pytest.mark.parametrize("outer", ["train.tar", "ILSVRC2012_img_train.tar"])
def test_an_archive_of_archives_of_classes_is_imagenets_layout(outer, folders, tmp_path):
    for name in CLASSES:  # each holds its images without a folder
        with tarfile.open(tmp_path / f"{name}.tar", "w") as tar:
            for path in sorted((folders / "train" / name).iterdir()):
                tar.add(path, path.name)
    with tarfile.open(tmp_path / outer, "w") as tar:
        for name in CLASSES:
            tar.add(tmp_path / f"{name}.tar", f"{name}.tar")
    assert_same(create_dataset("imagenet", tmp_path), create_dataset("x", folders))


def test_an_archive_is_divided_exactly_as_its_folders(folders, tmp_path):
    path = pack(tmp_path / "birds.tar", *(folders / "train" / name for name in CLASSES))
    unpacked = create_dataset("x", folders / "train")
    for split in ("train", "val"):
        assert_same(
            create_dataset("x", path, split, held_out=unpacked.held_out),
            create_dataset("x", folders / "train", split, held_out=unpacked.held_out),
        )
    assert data_set_in(str(path)) == ("birds", f"the archive {path}")


def test_threads_read_at_the_same_time(folders, tmp_path):
    pack(tmp_path / "train.tar", folders / "train")
    dataset, expected = create_dataset("x", tmp_path), create_dataset("x", folders)
    order = list(range(len(dataset))) * 40
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda i: dataset[i][0].tobytes(), order))
    assert read == [expected[i][0].tobytes() for i in order]


def test_a_bad_image_and_a_changed_archive_are_errors_with_the_members_name(tmp_path):
    path = tmp_path / "train.tar"
    path.write_bytes(tar_of(("a/1.png", tarfile.REGTYPE, b"no image"), ("b/2.png", tarfile.REGTYPE, b"")))
    dataset = create_dataset("x", tmp_path)
    with pytest.raises(ValueError, match=r"cannot read the image .*train\.tar/a/1\.png: not an image"):
        dataset[0]
    with pytest.raises(ValueError, match=r"train\.tar/b/2\.png: the file is empty"):
        dataset[1]
    path.write_bytes(tar_of(("a/1.png", tarfile.REGTYPE, b"another")))
    with pytest.raises(ValueError, match=r"train\.tar has changed since it was opened"):
        dataset[0]


def test_only_regular_files_are_read_and_names_are_only_labels(folders, tmp_path):
    png = (folders / "train" / "ant" / "000.png").read_bytes()
    path = tmp_path / "train.tar"
    path.write_bytes(
        tar_of(
            ("a/link.png", tarfile.SYMTYPE, b""),
            ("a/hard.png", tarfile.LNKTYPE, b""),
            ("a/device.png", tarfile.CHRTYPE, b""),
            ("a/../../escape.png", tarfile.REGTYPE, png),
            ("/a/absolute.png", tarfile.REGTYPE, b"an older version"),
            ("a/absolute.png", tarfile.REGTYPE, png),
            ("b/one.png", tarfile.REGTYPE, png),
            ("lost.png", tarfile.REGTYPE, png),
        )
    )
    dataset = create_dataset("x", tmp_path)
    assert [dataset.where(i) for i in range(len(dataset))] == [f"{path}/a/absolute.png", f"{path}/b/one.png"]
    assert dataset[0][0].tobytes() == png
    (remark,) = dataset.remarks
    for part in ("3 that are links or special files", "1 with an impossible name", "1 .png outside the class folders"):
        assert part in remark


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: b"", "holds no images: the file is empty"),
        (lambda content: b"no archive" * 100, "is no complete, uncompressed tar archive"),
        (lambda content: content[:700], "is no complete, uncompressed tar archive"),
        (lambda content: content[:1024], "no end mark"),
        (lambda content: content[:1100] + b"x" + content[1101:], "no end mark"),  # a damaged second header
        (gzip.compress, "unpack it if it is compressed"),
        (lambda content: tar_of(), "has no class folders with images .*it is empty"),
        (lambda content: tar_of(("a/x.txt", tarfile.REGTYPE, b"1")), "has no class folders with images .*1 .txt"),
    ],
)
def test_a_damaged_archive_is_an_error(change, message, tmp_path):
    path = tmp_path / "train.tar"
    path.write_bytes(change(tar_of(("a/1.png", tarfile.REGTYPE, b"12"), ("b/2.png", tarfile.REGTYPE, b"34"))))
    with pytest.raises(ValueError, match=message):
        create_dataset("x", tmp_path)


MEMBERS = (
    ("a/1.png", tarfile.REGTYPE, b"12"),
    ("b/\u732b.png", tarfile.REGTYPE, b"34"),
    ("c.tar", tarfile.REGTYPE, b""),
)


@fuzz(150)
@given(
    layout=st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    cut=st.none() | st.integers(1, 9000),
    changes=st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 255)), max_size=6),
    nested=st.booleans(),
)
def test_any_damage_is_an_error_or_gives_spans_within_the_archive(tmp_path_factory, layout, cut, changes, nested):
    inner = tar_of(*MEMBERS[:2], layout=layout)
    damaged = bytearray(tar_of(*MEMBERS[:2], ("c.tar", tarfile.REGTYPE, inner * nested), layout=layout)[:cut])
    for position, value in changes:
        damaged[position % len(damaged)] = value
    path = tmp_path_factory.mktemp("fuzz") / "train.tar"
    path.write_bytes(damaged)
    images, message = refusal(lambda: read_tar(path))
    if message is not None:
        assert str(path) in message and "\0" not in message
        return
    for position in range(len(images.labels)):
        assert len(images._content(position)) == images._spans[position, 1]


def test_a_list_and_an_archive_of_one_split_are_an_error(tmp_path):
    folder = tmp_path / "birds"
    folder.mkdir()
    (folder / "train.csv").write_text("image,label\n")
    (folder / "train.tar").write_bytes(tar_of())
    with pytest.raises(ValueError, match=r"holds train\.csv and train\.tar: leave one of them there"):
        create_dataset("x", folder)
    assert data_set_in(str(tmp_path)) == ("birds", f"the list of images train.csv in {tmp_path}")
