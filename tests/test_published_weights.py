"""The scripts with published weights, from mirrors on the loopback interface, and --list_models."""

import dataclasses
import hashlib
import re

import fixtures_data
import loopback
import numpy as np
import pytest
from safetensors.numpy import save
from script_runs import fails
from weight_lines import DIGITS, rows_of, timm_state

import convert
import infer
import train
import validate
from mindcv.checkpoint import network_weights, read_checkpoint
from mindcv.data import download as data_download
from mindcv.models import create_model
from mindcv.weights import catalog, find_weights


@pytest.fixture
def mirrors(tmp_path, monkeypatch):
    """A mirror of the hub and one of the data, on the loopback interface, and empty caches."""
    loopback.isolate(monkeypatch, tmp_path)
    with loopback.HubServer() as hub, loopback.FileServer() as data:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("MINDCV_DATA_MIRROR", data.url)
        yield hub, data


def publish(hub, model, num_classes=1000):
    """Put random weights where timm's default ones for `model` are; returns them."""
    record = find_weights(model)
    assert record.num_classes == num_classes
    weights = network_weights(create_model(model, num_classes=num_classes))
    state = {
        name: array[..., None, None] if ".se." in name and array.ndim == 2 else array
        for name, array in timm_state(weights).items()
    }
    hub.add(record.hub, record.file, save(state))
    return weights


def test_pretrained_loads_the_published_weights_and_their_preprocessing(mirrors, photos, tmp_path, capsys):
    hub, _ = mirrors
    publish(hub, "resnet18")
    line = ["--model=resnet18", "--pretrained", f"--images={photos}", f"--output={tmp_path / 'out.csv'}"]
    assert infer.main([*line, "--image_resize=64"]) == 0
    names = {name for _, name in catalog.imagenet_classes()}
    assert all(row["class_name"] in names for row in rows_of(tmp_path / "out.csv"))

    message = fails(validate.main, ["--model=resnet18", "--pretrained", *DIGITS[2:]], capsys)
    assert "has 10 classes that timm a1_in1k does not know: '0', " in message and "1,000 classes" in message
    convert.main(["--model=resnet18", "--pretrained", f"--output={tmp_path / 'r18.ckpt'}"])
    config = read_checkpoint(tmp_path / "r18.ckpt").info["config"]
    assert (config["image_resize"], config["crop_pct"], config["interpolation"]) == (288, 1.0, "bicubic")
    assert [request.status for request in hub.gets("timm/resnet18.a1_in1k/model.safetensors")] == [200]

    message = fails(train.main, ["--model=resnet18", "--pretrained=a4_in1k"], capsys)
    assert "no weights 'a4_in1k' are published for 'resnet18'" in message and "a1_in1k" in message
    assert "no weights are published for 'sknet26'" in fails(train.main, ["--model=sknet26", "--pretrained"], capsys)


def test_pretrained_weights_train_on_grey_images(mirrors, tmp_path, caplog):
    hub, _ = mirrors
    publish(hub, "resnet18")
    line = ["--model=resnet18", "--pretrained", "--in_channels=1", "--epoch_size=1", "--warmup_epochs=0"]
    train.main([*line, *DIGITS[2:], f"--ckpt_save_dir={tmp_path / 'out'}"])
    assert "adapted from 3 input channels to 1" in caplog.text and "1000 classes is replaced" in caplog.text
    config = read_checkpoint(tmp_path / "out" / "resnet18-last.ckpt").info["config"]
    assert config["mean"] == [pytest.approx((0.485 + 0.456 + 0.406) / 3)] and config["interpolation"] == "bicubic"


@pytest.mark.slow
def test_the_documented_finetuning_command_runs_against_mirrors(mirrors, tmp_path, monkeypatch, capsys, caplog):
    hub, data = mirrors
    weights = publish(hub, "sknet50")
    folder = fixtures_data.write_cifar10(tmp_path / "made", 16, 8)
    archive = fixtures_data.cifar_archive(folder)
    pinned = dataclasses.replace(data_download.CIFAR10_ARCHIVE, sha256=hashlib.sha256(archive).hexdigest())
    monkeypatch.setattr("mindcv.data.cifar.Cifar10.archive", pinned)
    data.files[pinned.name] = archive
    monkeypatch.chdir(tmp_path)

    literal = (
        "--model=sknet50 --pretrained --opt=momentum --lr=0.001 dataset=cifar10 --num_classes=10 --dataset_download"
    )
    train.main([*literal.split(), "--batch_size=8", "--epoch_size=1"])  # the recipe's 90 epochs of 64 would take hours

    printed = capsys.readouterr().out
    assert "its classifier of 1000 classes is replaced by a new one of 10" in caplog.text
    assert "cifar10: 16 images to train, 8 to validate" in printed
    trained = read_checkpoint(tmp_path / "ckpt" / "sknet50-best.ckpt")
    assert trained.info["config"]["image_resize"] == 224 and trained.info["config"]["interpolation"] == "bicubic"
    first = "stem.conv.weight"  # two steps at a rate of 0.001: near the published values, and not equal
    np.testing.assert_allclose(trained.weights[first], weights[first], atol=0.05)
    assert not np.array_equal(trained.weights[first], weights[first])
    assert validate.main([f"--ckpt_path={trained.path}", "--fold_bn=False"]).loss == trained.info["metrics"]["loss"]


@pytest.mark.parametrize("words", [["--list_models", "sk*"], ["--list-models=sk*"], ["--seed=1", "--list_models=sk*"]])
@pytest.mark.parametrize("script", [train, infer])
def test_list_models_shows_what_is_published(script, words, capsys):
    with pytest.raises(SystemExit) as stop:
        script.main(words)
    assert stop.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["model", "weights", "top-1", "top-5", "at", "source", "licence", "size"]
    assert any(re.match(r"sknet50 +ra_in1k +80\.17 +94\.64 +224 +timm +apache-2\.0 +110 MB", line) for line in lines)
    assert any(re.match(r"sknet26 +none published$", line) for line in lines)
    assert not any(line.startswith("resnet") for line in lines)


def test_list_models_without_a_pattern_lists_all_and_a_typo_is_an_error(capsys):
    with pytest.raises(SystemExit):
        train.main(["--list_models"])
    assert "resnet152" in capsys.readouterr().out
    assert "Did you mean 'sknet50'" in fails(train.main, ["--list_models=snet50"], capsys)
