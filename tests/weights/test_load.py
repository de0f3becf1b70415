"""Loading any file exactly into a network: formats are recognised by content, differences are logged or errors."""

import dataclasses
import re

import mindspore as ms
import numpy as np
import pytest
from safetensors.numpy import save_file
from tool_weights import assert_same, foreign, random_weights

from mindcv.checkpoint import network_weights, save_checkpoint
from mindcv.models import create_model, list_models
from mindcv.models import factory as model_factory
from mindcv.weights import find_weights, mindcv_names, timm_names, weight_records
from mindcv.weights import load as weight_loading
from mindcv.weights.load import adapt_input_channels, load_weights, num_classes, read_published, read_weights


def write_timm(path, weights, dtype=np.float32):
    state = foreign(weights, timm_names(weights), pointwise=True)
    save_file({name: array.astype(dtype) for name, array in state.items()}, path)
    return path


def write_mindcv(path, weights):
    entries = [{"name": n, "data": ms.Tensor(a)} for n, a in foreign(weights, mindcv_names(weights)).items()]
    ms.save_checkpoint(entries, str(path))
    return path


@pytest.fixture
def weights(tiny_network):
    return random_weights(tiny_network(num_classes=7))


HEAD = ("classifier.weight", "classifier.bias")
OWN_INFO = {"model": {"model": "tiny_sknet", "num_classes": 7, "in_channels": 3}, "config": {}, "class_names": []}


@pytest.mark.parametrize("suffix", [".safetensors", ".anything"])
def test_a_safetensors_file_loads_by_its_content(tmp_path, tiny_model, weights, suffix):
    path = write_timm(tmp_path / f"w{suffix}", weights)
    assert_same(create_model(tiny_model, num_classes=7, checkpoint_path=path), weights)
    assert num_classes(read_weights(path)) == 7


def test_own_checkpoints_load_with_and_without_a_description(tmp_path, tiny_model, weights):
    save_checkpoint(tmp_path / "own.ckpt", weights, OWN_INFO)
    assert_same(create_model(tiny_model, num_classes=7, checkpoint_path=tmp_path / "own.ckpt"), weights)
    ms.save_checkpoint([{"name": n, "data": ms.Tensor(a)} for n, a in weights.items()], str(tmp_path / "plain.ckpt"))
    assert_same(create_model(tiny_model, num_classes=7, checkpoint_path=tmp_path / "plain.ckpt"), weights)


def test_a_mindcv_checkpoint_builds_mindcvs_variant(tmp_path):
    weights = random_weights(create_model("skresnet18", num_classes=7))
    network = create_model("skresnet18", num_classes=7, checkpoint_path=write_mindcv(tmp_path / "mindcv.ckpt", weights))
    assert_same(network, weights)
    assert network.description["arch"] == {"stem_pool": "same"}
    assert network.pool.pad_mode.lower() == "same"


def test_a_checkpoint_of_another_model_is_an_error_with_its_name(tmp_path, weights):
    save_checkpoint(tmp_path / "own.ckpt", weights, OWN_INFO)
    with pytest.raises(ValueError, match="holds model=tiny_sknet, but model=resnet18"):
        create_model("resnet18", checkpoint_path=tmp_path / "own.ckpt")


def test_half_precision_is_widened_exactly_and_logged(tmp_path, tiny_model, weights, caplog):
    path = write_timm(tmp_path / "half.safetensors", weights, np.float16)
    rounded = {name: array.astype(np.float16).astype(np.float32) for name, array in weights.items()}
    assert_same(create_model(tiny_model, num_classes=7, checkpoint_path=path), rounded)
    assert re.search(rf"{path}: {len(weights)} arrays in half precision are widened", caplog.text)


def test_double_precision_is_an_error(tmp_path, tiny_model, weights):
    path = write_timm(tmp_path / "double.safetensors", weights, np.float64)
    with pytest.raises(ValueError, match="float64"):
        create_model(tiny_model, num_classes=7, checkpoint_path=path)


def test_another_number_of_classes_gives_a_new_classifier_and_one_log_line(tmp_path, tiny_model, weights, caplog):
    path = write_timm(tmp_path / "w.safetensors", weights)
    network = create_model(tiny_model, num_classes=4, checkpoint_path=path)
    fresh = create_model(tiny_model, num_classes=4)
    expected = {**weights, **{name: network_weights(fresh)[name] for name in HEAD}}
    assert_same(network, expected)
    [record] = caplog.records
    assert record.getMessage().endswith("its classifier of 7 classes is replaced by a new one of 4")


def test_loading_without_a_classifier_is_logged(tmp_path, tiny_model, weights, caplog):
    path = write_timm(tmp_path / "w.safetensors", weights)
    network = create_model(tiny_model, num_classes=0, checkpoint_path=path)
    assert_same(network, {name: array for name, array in weights.items() if name not in HEAD})
    assert "its classifier is left out" in caplog.text
    maps = create_model(tiny_model, features_only=True, num_classes=7, checkpoint_path=path)
    assert_same(maps.model, weights)


@pytest.mark.parametrize("channels", [1, 2, 4, 7])
def test_other_input_channels_adapt_the_first_convolution_and_log_one_line(
    tmp_path, tiny_model, weights, caplog, channels
):
    path = write_timm(tmp_path / "w.safetensors", weights)
    network = create_model(tiny_model, num_classes=7, in_channels=channels, checkpoint_path=path)
    first = network_weights(network)["stem.conv.weight"]
    original = weights["stem.conv.weight"]
    assert first.shape == (64, channels, 3, 3)
    if channels == 1:
        np.testing.assert_allclose(first[:, 0], original[:, 0] + original[:, 1] + original[:, 2], rtol=1e-6)
    for channel in range(channels if channels > 1 else 0):
        np.testing.assert_allclose(first[:, channel], original[:, channel % 3] * 3 / channels, rtol=1e-6)
    assert f"adapted from 3 input channels to {channels}" in caplog.text


def test_a_grey_image_gives_the_result_of_its_three_copies():
    rng = np.random.default_rng(1)
    weight, patch = rng.standard_normal((5, 3, 3, 3)), rng.standard_normal((3, 3))
    grey = np.einsum("ocij,ij->o", adapt_input_channels(weight, 1), patch)
    np.testing.assert_allclose(grey, np.einsum("ocij,ij->o", weight, patch))


def test_without_adapt_other_classes_or_channels_are_errors(tmp_path, tiny_network, weights):
    path = write_timm(tmp_path / "w.safetensors", weights)
    for options in ({"num_classes": 4}, {"num_classes": 7, "in_channels": 1}):
        network = tiny_network(**options)
        before = network_weights(network)
        with pytest.raises(ValueError, match="of another shape or type"):
            load_weights(network, read_weights(path))
        assert_same(network, before)


@pytest.mark.parametrize("bad", [np.nan, -np.inf])
def test_non_finite_weights_are_an_error_with_their_number(tmp_path, tiny_network, weights, bad):
    weights["stem.bn.gamma"][3:5] = bad
    weights["classifier.weight"][0, 0] = bad
    path = write_timm(tmp_path / "w.safetensors", weights)
    network = tiny_network(num_classes=7)
    before = network_weights(network)
    message = (
        rf"{path} holds NaN or infinity: 3 numbers in 2 of {len(weights)} arrays, the first of them stem\.bn\.gamma"
    )
    with pytest.raises(ValueError, match=message):
        load_weights(network, read_weights(path))
    assert_same(network, before)


def test_a_replaced_classifier_may_contain_nan(tmp_path, tiny_network, weights):
    weights["classifier.weight"][0, 0] = np.nan
    network = tiny_network(num_classes=7)
    load_weights(network, read_weights(write_timm(tmp_path / "w.safetensors", weights)), new_classifier=True)


def test_a_new_classifier_of_the_same_size_may_be_requested(tmp_path, tiny_network, weights, caplog):
    network = tiny_network(num_classes=7)
    load_weights(network, read_weights(write_timm(tmp_path / "w.safetensors", weights)), new_classifier=True)
    assert_same(network, weights, but=HEAD)
    assert "replaced by a new one of 7" in caplog.text


def test_differences_are_listed_for_both_sides_with_the_file(tmp_path, tiny_network, weights):
    state = foreign(weights, timm_names(weights), pointwise=True)
    del state["layer1.0.conv1.bn.bias"]
    state["layer9.strange"] = np.zeros(3, np.float32)
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(ValueError) as error:
        load_weights(tiny_network(num_classes=7), read_weights(tmp_path / "w.safetensors"), adapt=True)
    text = str(error.value)
    assert all(word in text for word in (str(tmp_path / "w.safetensors"), "layer9.strange", "layer1.0.conv1.bn.bias"))


@pytest.mark.parametrize("name", ["net.onnx", "net.mindir"])
def test_loading_weights_from_an_exported_network_is_an_error(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x08\x07")
    with pytest.raises(ValueError, match="is an exported network"):
        read_weights(tmp_path / name)


@pytest.mark.parametrize("name", ["x.ckpt", "x.pth", "x.safetensors"])
@pytest.mark.parametrize("content", [b"\x80", b"PK\x03\x04", b"{}", b"\xff" * 40, b"\x05\0\0\0\0\0\0\0{"])
def test_random_content_is_a_one_sentence_error(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(str(tmp_path / name))):
        read_weights(tmp_path / name)


def test_published_weights_describe_themselves(tmp_path, monkeypatch):
    record = dataclasses.replace(find_weights("skresnet18"), num_classes=7)
    weights = random_weights(create_model("skresnet18", num_classes=7))
    path = write_timm(tmp_path / "model.safetensors", weights)
    monkeypatch.setattr(weight_loading, "fetch_weights", lambda asked: path)
    checkpoint = read_published(record)
    assert checkpoint.info["model"] == {"model": "skresnet18", "num_classes": 7, "in_channels": 3, "arch": {}}
    assert checkpoint.info["weights"] == "timm ra_in1k"
    config = checkpoint.info["config"]
    assert (config["interpolation"], config["image_resize"], config["crop_pct"]) == ("bicubic", 224, 0.875)
    assert len(checkpoint.info["class_names"]) == 1000 and checkpoint.info["class_names"][0] == "n01440764"
    monkeypatch.setattr(model_factory, "find_weights", lambda model, name: record)
    assert_same(create_model("skresnet18", num_classes=7, pretrained=True), weights)
    assert_same(create_model("skresnet18", num_classes=7, pretrained="ra_in1k"), weights)


def test_pretrained_models_are_listed_and_every_one_has_weights():
    with_weights = list_models(pretrained=True)
    assert "sknet50" in with_weights and "sknet26" not in with_weights
    assert {record.model for record in weight_records()} == set(with_weights) <= set(list_models())
    assert list_models("sk*", pretrained=True) == [name for name in with_weights if name.startswith("sk")]


def test_a_model_without_published_weights_is_an_error():
    with pytest.raises(ValueError, match="no weights are published for 'sknet26'"):
        create_model("sknet26", pretrained=True)
    with pytest.raises(ValueError, match="give one of them"):
        create_model("sknet50", pretrained=True, checkpoint_path="x.pth")
