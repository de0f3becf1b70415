"""Checkpoints are complete or absent, contain a description, and load exactly or not at all."""

import errno
import os

import mindspore as ms
import numpy as np
import pytest

from mindcv.checkpoint import (
    check_fits,
    load_exact,
    network_weights,
    read_checkpoint,
    save_checkpoint,
)
from mindcv.checkpoint import file as checkpoint_file

WEIGHTS = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "a.bias": np.ones(2, np.float32)}
STATE = {"moments.a.weight": np.full((2, 3), np.nan, np.float32), "global_step": np.array([7], np.int32)}
INFO = {
    "model": {"model": "sknet50", "num_classes": 2, "in_channels": 3},
    "class_names": ["cat", "dog"],
    "epoch": 3,
    "metrics": {"top1": 98.75},
}


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "sknet50-best.ckpt"
    save_checkpoint(path, WEIGHTS, INFO)
    return path


def test_a_checkpoint_is_read_back_as_saved(saved):
    read = read_checkpoint(saved)
    assert read.info == INFO
    assert read.weights.keys() == WEIGHTS.keys()
    for name, array in WEIGHTS.items():
        np.testing.assert_array_equal(read.weights[name], array)


def test_training_state_is_saved_with_the_weights_but_kept_apart(tmp_path):
    path = tmp_path / "m-last.ckpt"
    save_checkpoint(path, WEIGHTS, {**INFO, "training": {}}, {**STATE, "calls": np.array(3, np.int32)})
    read = read_checkpoint(path)
    assert read.can_resume and read.weights.keys() == WEIGHTS.keys()
    for name, array in STATE.items():
        np.testing.assert_array_equal(read.state[name], array)
    assert read.state["calls"].shape == () and read.state["calls"] == 3


def test_weights_alone_cannot_be_resumed(saved):
    assert not read_checkpoint(saved).can_resume


def test_a_file_that_reads_back_differently_is_not_published(saved, monkeypatch):
    flush = checkpoint_file.flush

    def lossy(path):
        flush(path)
        if path.suffix == ".ckpt":
            content = path.read_bytes()
            path.write_bytes(content.replace(WEIGHTS["a.bias"].tobytes(), bytes(8)))

    monkeypatch.setattr(checkpoint_file, "flush", lossy)
    with pytest.raises(OSError, match=r"-best.ckpt: the file read back .* first difference is in a.bias"):
        save_checkpoint(saved, WEIGHTS, {**INFO, "epoch": 4})
    assert read_checkpoint(saved).info["epoch"] == 3
    assert os.listdir(saved.parent) == [saved.name]


def test_mindspore_itself_reads_the_file(saved):
    loaded = ms.load_checkpoint(str(saved))
    np.testing.assert_array_equal(loaded["a.weight"].asnumpy(), WEIGHTS["a.weight"])


def test_saving_replaces_the_file_and_leaves_no_temporary_one(saved):
    save_checkpoint(saved, WEIGHTS, {**INFO, "epoch": 4})
    assert read_checkpoint(saved).info["epoch"] == 4
    assert os.listdir(saved.parent) == [saved.name]


def test_a_failed_save_leaves_the_previous_file_and_nothing_else(saved, monkeypatch):
    def full_disk(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint_file, "flush", full_disk)
    with pytest.raises(OSError, match=r"could not write .*No space left"):
        save_checkpoint(saved, WEIGHTS, {**INFO, "epoch": 4})
    monkeypatch.undo()
    assert read_checkpoint(saved).info["epoch"] == 3
    assert os.listdir(saved.parent) == [saved.name]


def test_any_truncation_is_detected(saved):
    whole = saved.read_bytes()
    for length in range(1, len(whole)):
        saved.write_bytes(whole[:length])
        try:
            read = read_checkpoint(saved)
        except ValueError as error:
            assert "damaged" in str(error)
        else:
            # A cut between two entries is a legal file for MindSpore; it must not be accepted as ours.
            assert read.info == {}, length
            with pytest.raises(ValueError, match="has no description"):
                read.require_info()


def test_any_flipped_byte_is_detected(saved):
    whole = saved.read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 0x20
        saved.write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged"):
            read_checkpoint(saved)


@pytest.mark.parametrize(
    "name, message",
    [
        ("sknet50-bset.ckpt", r"no checkpoint at .*sknet50-bset.ckpt.*Did you mean .*sknet50-best.ckpt"),
        ("nowhere/x.ckpt", r"the folder .*nowhere does not exist"),
        ("", r"is a folder, expected a checkpoint file.*sknet50-best.ckpt"),
        ("empty.ckpt", r"is empty"),
        ("text.ckpt", r"damaged or is not a MindSpore checkpoint"),
    ],
)
def test_a_wrong_path_is_explained(saved, name, message):
    (saved.parent / "empty.ckpt").write_bytes(b"")
    (saved.parent / "text.ckpt").write_text("this is no checkpoint")
    with pytest.raises(ValueError, match=message):
        read_checkpoint(saved.parent / name)


def test_another_tools_checkpoint_has_no_description(tmp_path):
    path = tmp_path / "plain.ckpt"
    ms.save_checkpoint([{"name": "w", "data": ms.Tensor(np.ones(2, np.float32))}], str(path))
    read = read_checkpoint(path)
    assert read.info == {} and list(read.weights) == ["w"]


def test_load_exact_copies_every_parameter_and_statistic(tiny_network):
    source, target = tiny_network(), tiny_network()
    for parameter in source.get_parameters():
        parameter.set_data(parameter + 1)
    load_exact(target, network_weights(source), "x.ckpt")
    for one, other in zip(source.get_parameters(), target.get_parameters(), strict=True):
        np.testing.assert_array_equal(one.asnumpy(), other.asnumpy())


def test_load_exact_lists_both_sides_and_changes_nothing(tiny_network):
    network = tiny_network()
    before = network_weights(network)
    weights = {name: array + 1 for name, array in before.items()}
    weights["new.weight"] = weights.pop("stem.conv.weight")
    weights["classifier.weight"] = weights["classifier.weight"][:4]
    weights["classifier.bias"] = weights["classifier.bias"].astype(np.float16)
    with pytest.raises(ValueError) as caught:
        load_exact(network, weights, "x.ckpt")
    message = str(caught.value)
    assert "missing from the file: stem.conv.weight" in message
    assert "unknown to the network: new.weight" in message
    assert "classifier.weight: network float32[10, 128], file float32[4, 128]" in message
    assert "classifier.bias: network float32[10], file float16[10]" in message
    for name, array in network_weights(network).items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize(
    "wanted, message",
    [
        ({"model": "resnet50"}, "holds model=sknet50, but model=resnet50 is wanted"),
        ({"num_classes": 3}, "holds num_classes=2, but num_classes=3 is wanted"),
        ({"in_channels": 1}, "holds in_channels=3, but in_channels=1 is wanted"),
        ({"class_names": ["cow", "dog"]}, "(?s)only in the data set: 'cow'.*only in the checkpoint: 'cat'"),
        ({"class_names": ["cat"]}, r"(?s)data set \(1\) are not .*ckpt \(2\).*only in the checkpoint: 'dog'"),
        ({"class_names": ["dog", "cat"]}, "the same in another order"),
    ],
)
def test_a_checkpoint_of_something_else_is_rejected_by_name(saved, wanted, message):
    arguments = {"model": "sknet50", "num_classes": 2, "in_channels": 3, "class_names": ["cat", "dog"], **wanted}
    with pytest.raises(ValueError, match=message):
        check_fits(read_checkpoint(saved), **arguments)


@pytest.mark.parametrize("description", ["{", "[1]", "3"])
def test_an_invalid_description_counts_as_damage(tmp_path, monkeypatch, description):
    path = tmp_path / "m.ckpt"
    monkeypatch.setattr(checkpoint_file.json, "dumps", lambda *_, **__: description)
    save_checkpoint(path, WEIGHTS, INFO)
    with pytest.raises(ValueError, match="its description is not valid"):
        read_checkpoint(path)
