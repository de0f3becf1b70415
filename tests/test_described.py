"""The description in a converted or exported file: that of its source, updated by the command line."""

import pytest
from script_runs import fails

import assemble_weights
import convert
from config import load_config
from mindcv.checkpoint import network_weights, read_checkpoint, save_checkpoint


@pytest.fixture
def own(tmp_path, tiny_network):
    """A checkpoint of this package, with a description."""
    network = tiny_network()
    image = {"model": "tiny_sknet", "image_resize": 16, "crop_pct": 1.0, "mean": [0.1, 0.2, 0.3]}
    info = {"model": network.description, "config": image, "class_names": [str(k) for k in range(10)]}
    save_checkpoint(tmp_path / "own.ckpt", network_weights(network), info)
    return tmp_path / "own.ckpt"


def test_a_converted_checkpoint_describes_the_given_options(own, tmp_path):
    convert.main([f"--ckpt_path={own}", "--crop_pct=0.5", f"--output={tmp_path / 'new.ckpt'}"])
    kept = read_checkpoint(tmp_path / "new.ckpt").info["config"]
    assert (kept["crop_pct"], kept["image_resize"], kept["mean"]) == (0.5, 16, [0.1, 0.2, 0.3])


def test_an_exported_network_describes_the_given_size(own):
    argv = [f"--ckpt_path={own}", "--image_resize=24", "--output=x.onnx"]
    config, weights = assemble_weights.weights_to_start(load_config(argv, prog="export"))
    assert assemble_weights.as_own_checkpoint(config, weights).info["config"]["image_resize"] == 24


def test_an_exported_network_describes_the_size_that_its_run_validated_at(own):
    described = read_checkpoint(own)
    described.info["config"]["val_image_resize"] = 20
    for flags, size in ([], 20), (["--image_resize=24"], 24):
        asked = load_config([f"--ckpt_path={own}", *flags, "--output=x.onnx"], prog="export")
        config = asked.inherit(described.info["config"], str(own))
        written = assemble_weights.as_own_checkpoint(config, described).info["config"]
        assert config.eval_image.image_resize == written["image_resize"] == size and written["val_image_resize"] is None


def test_an_average_is_of_the_model_that_was_named(own, tmp_path, capsys):
    line = ["--average", str(own), str(own), f"--output={tmp_path / 'mean.ckpt'}"]
    assert "holds model=tiny_sknet, but model=resnet18" in fails(convert.main, [*line, "--model=resnet18"], capsys)
    convert.main([*line, "--model=tiny_sknet", "--interpolation=bicubic"])
    assert read_checkpoint(tmp_path / "mean.ckpt").info["config"]["interpolation"] == "bicubic"


@pytest.mark.parametrize(
    "flags, size, mean",
    [
        (["--model=sknet29"], 32, (0.4914, 0.4822, 0.4465)),
        (["--model=sknet29", "--image_resize=48"], 48, (0.4914, 0.4822, 0.4465)),
        (["--model=sknet29", "--in_channels=1"], 32, (pytest.approx((0.4914 + 0.4822 + 0.4465) / 3),)),
        (["--model=sknet50"], 224, (0.485, 0.456, 0.406)),
    ],
)
def test_a_network_trains_with_its_own_image_size_unless_another_is_given(flags, size, mean):
    config, _ = assemble_weights.weights_to_start(load_config([*flags, "--dataset=cifar10"], prog="train"))
    assert (config.image.image_resize, config.image.mean) == (size, mean)
