"""Built-in data sets: contents compared with the written files, and every error message."""

import gzip
import pickle

import fixtures_data
import numpy as np
import pytest

from mindcv.data import create_dataset, default_splits, list_datasets


def test_digits_has_all_images_once_in_two_stratified_splits():
    from sklearn.datasets import load_digits

    train, test = create_dataset("digits"), create_dataset("digits", split="test")
    assert len(train) + len(test) == 1797
    assert len(test) == 360
    ours = np.sort([np.ascontiguousarray(image).tobytes() for part in (train, test) for image, _ in part])
    theirs = np.sort([np.rint(image * 255 / 16).astype(np.uint8).tobytes() for image in load_digits().images])
    assert (ours == theirs).all()
    share = np.bincount(test.labels) / np.bincount(np.concatenate([train.labels, test.labels]))
    assert np.abs(share - 0.2).max() < 0.01
    image, label = train[0]
    assert (image.shape, image.dtype, label.dtype) == ((8, 8, 1), np.uint8, np.int32)
    assert train.class_names == tuple("0123456789")


def test_digits_split_does_not_depend_on_the_seed():
    assert (create_dataset("digits", seed=1).labels == create_dataset("digits", seed=2).labels).all()


def test_default_splits_exist_in_every_built_in_data_set():
    assert list_datasets() == ["cifar10", "cifar100", "digits", "mnist", "synthetic"]
    assert {name: default_splits(name) for name in list_datasets()} == dict.fromkeys(list_datasets(), ("train", "test"))
    assert default_splits("imagenet") == default_splits("my_flowers") == ("train", "val")
    assert create_dataset("digits", split=None).split == "train"


@pytest.mark.parametrize("name", ["digits", "cifar10", "cifar100", "mnist", "synthetic"])
def test_unknown_split_lists_the_legal_ones(name, tmp_path):
    with pytest.raises(ValueError, match=rf"'{name}' has no split 'val'; it has 'train' and 'test'"):
        create_dataset(name, tmp_path, "val")


def test_synthetic_images_depend_on_split_and_index_only():
    first, again = (create_dataset("synthetic", num_samples=7, image_size=16, num_classes=3) for _ in range(2))
    test = create_dataset("synthetic", split="test", num_samples=7, image_size=16)
    assert (first[3][0] == again[3][0]).all()
    assert (first[3][0] != first[4][0]).any()
    assert (first[3][0] != test[3][0]).any()
    assert first[0][0].shape == (16, 16, 3)
    assert first.labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert len(create_dataset("synthetic")) == 256
    with pytest.raises(ValueError, match="generated, not downloaded"):
        create_dataset("synthetic", download=True)
    with pytest.raises(ValueError, match="num_samples must be at least 1"):
        create_dataset("synthetic", num_samples=0)


@pytest.mark.parametrize("inner", [True, False])
def test_cifar10_gives_the_written_pixels_and_labels(inner, tmp_path):
    folder = fixtures_data.write_cifar10(tmp_path, 21, 9)
    train = create_dataset("cifar10", folder if inner else tmp_path, "train")
    images, labels = fixtures_data.digit_images(32)
    assert len(train) == 21
    assert (train.labels == labels[:21]).all()
    for channel, divisor in enumerate((1, 2, 4)):
        assert (train[15][0][..., channel] == images[15] // divisor).all()
    assert train.class_names[9] == "truck"
    assert train.where(15).endswith("data_batch_2.bin, record 5")
    assert (create_dataset("cifar10", tmp_path, "test").labels == labels[21:30]).all()


def test_cifar10_names_its_classes_without_the_meta_file(tmp_path):
    (fixtures_data.write_cifar10(tmp_path, 4, 4) / "batches.meta.txt").unlink()
    assert create_dataset("cifar10", tmp_path).class_names == fixtures_data.CIFAR10_NAMES


def test_cifar100_takes_the_fine_label(tmp_path):
    folder = fixtures_data.write_cifar100(tmp_path, 6, 3)
    content = bytearray((folder / "train.bin").read_bytes())
    content[0], content[1] = 19, 77  # coarse, fine
    (folder / "train.bin").write_bytes(content)
    train = create_dataset("cifar100", tmp_path)
    assert train.labels[0] == 77
    assert train.class_names[77] == "fine77"
    (folder / "fine_label_names.txt").unlink()
    assert len(create_dataset("cifar100", tmp_path).class_names) == 100


def test_cifar_label_outside_the_classes_names_file_and_record(tmp_path):
    path = fixtures_data.write_cifar10(tmp_path, 8, 4) / "data_batch_2.bin"
    content = bytearray(path.read_bytes())
    content[2 * 3073] = 10
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"label 10 in .*data_batch_2\.bin, record 2.*10 classes.* 0 to 9"):
        create_dataset("cifar10", tmp_path)


def test_an_incomplete_cifar_record_is_an_error(tmp_path):
    path = fixtures_data.write_cifar10(tmp_path, 8, 4) / "data_batch_1.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"data_batch_1\.bin has 12291 bytes.*records of 3073 bytes"):
        create_dataset("cifar10", tmp_path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="has 0 bytes"):
        create_dataset("cifar10", tmp_path)


def test_missing_cifar_is_an_error_that_shows_the_expected_and_found_files(tmp_path):
    (tmp_path / "something.txt").touch()
    with pytest.raises(ValueError, match=r"(?s)cifar10 is not in.*Expected: data_batch_.*\.bin.*Found: something\.txt"):
        create_dataset("cifar10", tmp_path)
    (fixtures_data.write_cifar10(tmp_path, 4, 4) / "test_batch.bin").unlink()
    with pytest.raises(ValueError, match=r"no test_batch\.bin in"):
        create_dataset("cifar10", tmp_path, "test")


@pytest.mark.parametrize(
    ("name", "folder", "marker"),
    [("cifar10", "cifar-10-batches-py", "data_batch_1"), ("cifar100", "cifar-100-python", "meta")],
)
def test_pickled_cifar_is_refused_and_never_loaded(name, folder, marker, tmp_path, monkeypatch):
    monkeypatch.setattr(pickle, "load", lambda *_: pytest.fail("unpickled"))
    (tmp_path / folder).mkdir()
    (tmp_path / folder / marker).write_bytes(b"pickled")
    for root in (tmp_path, tmp_path / folder):
        with pytest.raises(ValueError, match=rf"Python version of {name}.*Get the binary version"):
            create_dataset(name, root)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("inner", [False, True])
def test_mnist_gives_the_written_pixels_and_labels(compress, inner, tmp_path):
    folder = fixtures_data.write_mnist(tmp_path, 12, 5, compress)
    images, labels = fixtures_data.digit_images(28)
    train = create_dataset("mnist", folder if inner else tmp_path)
    test = create_dataset("mnist", tmp_path, "test")
    assert (train.labels == labels[:12]).all()
    assert (test.labels == labels[12:17]).all()
    assert (test[2][0][..., 0] == images[14]).all()
    assert test[2][0].shape == (28, 28, 1)


def test_each_kind_of_broken_mnist_file_has_its_message(tmp_path):
    folder = fixtures_data.write_mnist(tmp_path, 12, 5)
    images = folder / "train-images-idx3-ubyte"
    content = images.read_bytes()
    images.write_bytes(content[:-3])
    with pytest.raises(ValueError, match=r"train-images.* has 9405 bytes of data; its header promises 12 x 28 x 28"):
        create_dataset("mnist", tmp_path)
    images.write_bytes(b"<html>403 Forbidden</html>")
    with pytest.raises(ValueError, match="is not an MNIST file: it must begin with the number 2051"):
        create_dataset("mnist", tmp_path)
    images.write_bytes(np.array([2051, 11, 28, 28], ">i4").tobytes() + content[16 : 16 + 11 * 784])
    with pytest.raises(ValueError, match=r"has 11 images but .* has 12 labels"):
        create_dataset("mnist", tmp_path)
    images.unlink()
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(content)[:-20])
    with pytest.raises(ValueError, match="is not a complete gzip file"):
        create_dataset("mnist", tmp_path)
    labels = folder / "t10k-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:-1] + b"\x0a")
    with pytest.raises(ValueError, match=r"label 10 in .*t10k-labels-idx1-ubyte, record 4"):
        create_dataset("mnist", tmp_path, "test")


def test_missing_mnist_is_an_error_that_names_the_files(tmp_path):
    with pytest.raises(ValueError, match=r"(?s)mnist is not in.*train-images-idx3-ubyte.*Found: nothing"):
        create_dataset("mnist", tmp_path / "absent")


def test_num_samples_is_a_seeded_choice_that_mixes_classes(tmp_path):
    whole = create_dataset("digits")
    part, again, other = (create_dataset("digits", num_samples=200, seed=seed) for seed in (1, 1, 2))
    assert len(part) == 200
    assert (part.labels == again.labels).all()
    assert (part.labels != other.labels).any()
    assert np.bincount(part.labels, minlength=10).min() >= 8
    position = int(part.where(17).rsplit(" ", 1)[1])
    assert (part[17][0] == whole[position][0]).all()
    assert part[17][1] == whole[position][1]
    assert len(create_dataset("digits", num_samples=10**6)) == len(whole)  # "at most"
    with pytest.raises(ValueError, match="num_samples must be a number >= 1; got 0"):
        create_dataset("digits", num_samples=0)
    with pytest.raises(IndexError):
        part[200]


def test_fewer_classes_than_the_data_has_is_an_error():
    with pytest.raises(ValueError, match=r"num_classes=9 is too few: data set 'digits' has 10 classes"):
        create_dataset("digits", num_classes=9)
    assert len(create_dataset("digits", num_classes=11).class_names) == 10
