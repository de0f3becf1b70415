"""CIFAR and MNIST files of any content give their data set, or an error with the file's path."""

import gzip
import os
import struct
import tracemalloc

import fixtures_data
import numpy as np
import pytest
from fuzzing import fuzz, refusal, time_limit
from hypothesis import given
from hypothesis import strategies as st

from mindcv.data import create_dataset
from mindcv.data.cifar import PIXELS

LAYOUTS = {"cifar10": (fixtures_data.write_cifar10, 1, 10), "cifar100": (fixtures_data.write_cifar100, 2, 100)}
changes = st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), max_size=5)
cuts = st.none() | st.integers(0, 2**20)


def damage(content, changed, cut, added):
    damaged = bytearray(content)
    for position, value in changed:
        damaged[position % len(damaged)] = value
    return bytes(damaged[: None if cut is None else cut % len(damaged)]) + added


def opened(name, root, split, *paths):
    """Return the data set, or None for an error, whose message must name one of the files."""
    dataset, message = refusal(lambda: create_dataset(name, root, split))
    if message is not None:
        assert any(str(path) in message for path in paths), message
    return dataset


@fuzz(150)
@given(name=st.sampled_from(sorted(LAYOUTS)), data=st.data(), changed=changes, cut=cuts, added=st.binary(max_size=9))
def test_damaged_cifar_files_are_errors_or_read_exactly(tmp_path_factory, name, data, changed, cut, added):
    write, label_bytes, classes = LAYOUTS[name]
    folder = write(tmp_path_factory.mktemp("fuzz"), 4, 3)
    path = data.draw(st.sampled_from(sorted(p for p in folder.iterdir() if "train" in p.name or "data" in p.name)))
    near_labels = [(data.draw(st.integers(0, 3)) * (label_bytes + PIXELS) + p % label_bytes, v) for p, v in changed]
    content = damage(path.read_bytes(), data.draw(st.sampled_from([changed, near_labels])), cut, added)
    path.write_bytes(content)
    dataset = opened(name, folder, "train", path)
    if dataset is None:
        return
    held = b"".join(p.read_bytes() for p in sorted(folder.glob("*.bin")) if "test" not in p.name)
    records = np.frombuffer(held, np.uint8).reshape(-1, label_bytes + PIXELS)
    assert dataset.labels.tolist() == records[:, label_bytes - 1].tolist()
    assert max(dataset.labels) < classes
    for number in range(len(dataset)):
        image, _ = dataset[number]
        assert image.transpose(2, 0, 1).tobytes() == records[number, label_bytes:].tobytes()


@fuzz(100)
@given(name=st.sampled_from(sorted(LAYOUTS)), content=st.binary(max_size=60) | st.text().map(str.encode), keep=cuts)
def test_damaged_class_names_are_an_error(tmp_path_factory, name, content, keep):
    write, _, classes = LAYOUTS[name]
    folder = write(tmp_path_factory.mktemp("fuzz"), 4, 3)
    (path,) = folder.glob("*.txt")
    good = path.read_bytes()
    path.write_bytes(content if keep is None else good[: keep % len(good)] + content)
    dataset = opened(name, folder, "train", path)
    assert dataset is None or len(set(dataset.class_names)) == classes


@pytest.mark.parametrize("kind", ["folder", "pipe", "link to nothing"])
@pytest.mark.parametrize("name", ["data_batch_1.bin", "batches.meta.txt"])
def test_pipes_and_folders_do_not_block(tmp_path, kind, name):
    folder = fixtures_data.write_cifar10(tmp_path, 4, 3)
    (folder / name).unlink()
    {"folder": os.mkdir, "pipe": os.mkfifo, "link to nothing": lambda path: os.symlink("nowhere", path)}[kind](
        folder / name
    )
    with time_limit(10):
        dataset = opened("cifar10", folder, "train", folder / name)
    assert dataset is None


def idx(magic, shape, content):
    return struct.pack(f">i{len(shape)}I", magic, *shape) + content


@fuzz(250)
@given(
    which=st.sampled_from(["images-idx3", "labels-idx1"]),
    packed=st.booleans(),
    changed=st.lists(st.tuples(st.integers(0, 20) | st.integers(0, 2**20), st.integers(0, 255)), max_size=5),
    cut=cuts,
    added=st.binary(max_size=9),
    before=st.booleans(),
)
def test_damaged_mnist_files_are_errors_or_read_exactly(tmp_path_factory, which, packed, changed, cut, added, before):
    folder = fixtures_data.write_mnist(tmp_path_factory.mktemp("fuzz"), 4, 3, compress=packed)
    (path,) = folder.glob(f"train-{which}-ubyte*")
    content = path.read_bytes()
    if packed and before:
        path.write_bytes(gzip.compress(damage(gzip.decompress(content), changed, cut, added)))
    else:
        path.write_bytes(damage(content, changed, cut, added))
    dataset = opened("mnist", folder, "train", path)
    if dataset is not None and not (packed and not before):
        assert len(dataset) == 4
        held = path.read_bytes()
        held = gzip.decompress(held) if packed else held
        if which == "labels-idx1":
            assert bytes(dataset.labels.astype(np.uint8)) == held[8:]
        else:
            assert b"".join(dataset[number][0].tobytes() for number in range(4)) == held[16:]


@fuzz(150)
@given(
    shape=st.lists(st.integers(0, 2**32 - 1) | st.sampled_from([0, 1, 4, 2**31, 2**16, 28]), min_size=3, max_size=3),
    content=st.binary(max_size=40),
    packed=st.booleans(),
)
def test_any_mnist_header_is_an_error_or_correct(tmp_path_factory, shape, content, packed):
    folder = fixtures_data.write_mnist(tmp_path_factory.mktemp("fuzz"), 4, 3, compress=packed)
    (path,) = folder.glob("train-images*")
    path.write_bytes((gzip.compress if packed else bytes)(idx(2051, shape, content)))
    dataset = opened("mnist", folder, "train", path)
    assert dataset is None or shape[0] == 4


@pytest.mark.parametrize(
    "shape, packed",
    [((2**31, 2**31, 4), False), ((2**31, 2**31, 4), True), ((2**32 - 1,) * 3, True), ((2**16, 2**16, 2**15), True)],
)
def test_a_header_that_promises_too_much_allocates_nothing(tmp_path, shape, packed):
    folder = fixtures_data.write_mnist(tmp_path, 4, 3, compress=packed)
    (path,) = folder.glob("train-images*")
    path.write_bytes((gzip.compress if packed else bytes)(idx(2051, shape, b"")))
    tracemalloc.start()
    try:
        assert opened("mnist", folder, "train", path) is None
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_a_compressed_file_longer_than_its_header_says_is_not_decompressed(tmp_path):
    folder = fixtures_data.write_mnist(tmp_path, 4, 3, compress=True)
    (path,) = folder.glob("train-images*")
    path.write_bytes(gzip.compress(idx(2051, (4, 28, 28), bytes(300_000_000)), 1))
    tracemalloc.start()
    try:
        with time_limit(10):
            assert opened("mnist", folder, "train", path) is None
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()
