"""Prefixes that wrappers add to all names: removed and logged, or reported in the error message."""

import re

import mindspore as ms
import numpy as np
import pytest
import torch_format
from safetensors.numpy import save_file
from script_runs import fails
from tool_weights import assert_same, foreign, random_weights

import convert
from mindcv.checkpoint import read_checkpoint
from mindcv.models import create_model
from mindcv.weights import mindcv_names, timm_names
from mindcv.weights.load import load_weights, num_classes, read_weights
from mindcv.weights.prefix import without_prefix

WRAPPERS = {
    **{"Lightning": "model.", "Lightning with a name": "net.", "DDP": "module.", "Sequential": "0.", "average": "ema."},
    **{"torch.compile": "_orig_mod.", "several": "module._orig_mod.model."},
}


def same(names):
    return {name: name for name in names}


def save(path, weights):
    if path.suffix == ".safetensors":
        save_file({name: np.ascontiguousarray(array) for name, array in weights.items()}, path)
    elif path.suffix == ".pth":
        torch_format.write_pth(path, weights)
    else:
        ms.save_checkpoint([{"name": n, "data": ms.Tensor(a)} for n, a in weights.items()], str(path))
    return path


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("suffix", [".ckpt", ".pth", ".safetensors"])
@pytest.mark.parametrize("names", [same, timm_names], ids=["own names", "timm's names"])
def test_a_prefix_of_all_names_is_removed_and_logged(names, suffix, wrapper, tiny_network, tmp_path, caplog):
    weights = random_weights(tiny_network(num_classes=7))
    renamed = foreign(weights, names(weights), pointwise=names is timm_names)
    prefix = WRAPPERS[wrapper]
    path = save(tmp_path / f"w{suffix}", {f"{prefix}{name}": array for name, array in renamed.items()})
    checkpoint = read_weights(path)
    assert num_classes(checkpoint) == 7
    network = tiny_network(num_classes=7)
    load_weights(network, checkpoint)
    assert_same(network, weights)
    assert [r.getMessage() for r in caplog.records] == [
        f"weights of {path}: the prefix {prefix} is removed from their names"
    ]


def test_wrapped_mindcv_weights_are_recognised(tmp_path, caplog):
    weights = random_weights(create_model("resnet18", num_classes=7))
    renamed = foreign(weights, mindcv_names(weights))
    path = save(tmp_path / "w.ckpt", {f"network.{name}": array for name, array in renamed.items()})
    assert_same(create_model("resnet18", num_classes=7, checkpoint_path=path), weights)
    assert "the prefix network. is removed" in caplog.text


@pytest.mark.parametrize("outer", ["", "model."])
def test_both_prefixes_of_mmpretrain_are_removed(tmp_path, outer, caplog):
    weights = random_weights(create_model("resnet18", num_classes=7))
    renamed = foreign(weights, timm_names(weights))
    parts = {f"{outer}{'head' if name.startswith('fc') else 'backbone'}.{name}": a for name, a in renamed.items()}
    path = save(tmp_path / "w.pth", parts)
    assert_same(create_model("resnet18", num_classes=7, checkpoint_path=path), weights)
    assert f"the prefix {outer}backbone. and {outer}head. is removed" in caplog.text


@pytest.mark.parametrize(
    "names",
    [
        ["conv1.weight", "layer1.0.conv1.weight"],
        ["layer1.0.conv1.weight", "layer1.1.conv1.weight"],  # shared, and known as it is
        ["model.conv1.weight", "teacher.conv1.weight"],  # which of the two?
        ["model.conv1.weight", "extra"],
        ["model.encoder.weight", "model.encoder.bias"],
        ["backbone.fc.weight", "head.fc.weight"],  # would collide
        ["weight"],
        [],
    ],
)
def test_names_are_unchanged_without_a_common_prefix_or_known_names(names):
    assert without_prefix(names) == (names, "")


def test_convert_removes_a_prefix_and_logs_it(tiny_model, tmp_path, caplog):
    weights = random_weights(create_model(tiny_model, num_classes=7))
    renamed = foreign(weights, timm_names(weights), pointwise=True)
    path = save(tmp_path / "w.pth", {f"model.{name}": array for name, array in renamed.items()})
    convert.main([f"--model={tiny_model}", f"--ckpt_path={path}", f"--output={tmp_path / 'own.ckpt'}"])
    assert "the prefix model. is removed" in caplog.text
    assert_same(create_model(tiny_model, num_classes=7, checkpoint_path=tmp_path / "own.ckpt"), weights)
    assert read_checkpoint(tmp_path / "own.ckpt").info["model"]["num_classes"] == 7


def test_convert_does_not_report_a_missing_classifier_for_unknown_names(tiny_model, tmp_path, capsys):
    path = save(tmp_path / "w.pth", dict.fromkeys(["vit.blocks.0.weight", "vit.head.bias"], np.ones(3, np.float32)))
    argv = [f"--model={tiny_model}", f"--ckpt_path={path}", f"--output={tmp_path / 'own.ckpt'}"]
    message = fails(convert.main, argv, capsys)
    assert re.search(r"its names look like vit\.blocks\.0\.weight, .*expected names like layer1\.0\.conv1", message)
    assert "classifier" not in message


def test_a_classifier_of_another_form_is_reported(tiny_network, tmp_path):
    weights = random_weights(tiny_network(num_classes=7))
    renamed = foreign(weights, timm_names(weights), pointwise=True)
    path = save(tmp_path / "w.pth", {name.replace("fc.b", "last.1.b"): array for name, array in renamed.items()})
    with pytest.raises(ValueError, match=r"no classifier \(fc\.bias is missing; unknown: last\.1\.bias\)"):
        num_classes(read_weights(path))
