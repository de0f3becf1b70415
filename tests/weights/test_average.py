"""Averages of checkpoints, and checkpoints without training state."""

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

import config
from mindcv.checkpoint import Checkpoint, load_exact, network_weights, read_checkpoint, save_checkpoint
from mindcv.weights.average import USE_CONFIG, average_checkpoints, strip_checkpoint

INFO = {
    "model": {"model": "sknet50", "num_classes": 2, "in_channels": 3},
    "config": {**config.load_config(["--dataset=mine"], prog="train").to_dict(), "lr": 0.5},
    "class_names": ["cat", "dog"],
    "versions": {"numpy": "1.26"},
    "epoch": 3,
    "metrics": {"top1": 98.75},
}


def checkpoint(name="a.ckpt", seed=0, weights=None, **info) -> Checkpoint:
    rng = np.random.default_rng(seed)
    own = {
        "conv.weight": rng.standard_normal((4, 3, 3, 3)).astype(np.float32),
        "bn.moving_mean": rng.standard_normal(4).astype(np.float32),
        "half": rng.standard_normal(5).astype(np.float16),
        "steps": np.array([7, 8], np.int64),
    }
    return Checkpoint(Path(name), {**own, **(weights or {})}, {**INFO, **info})


def test_the_average_is_computed_in_float64_and_rounded_once():
    checkpoints = [checkpoint(f"{seed}.ckpt", seed, epoch=seed) for seed in range(3)]
    weights, info = average_checkpoints(checkpoints)
    for name in ("conv.weight", "bn.moving_mean", "half"):
        arrays = [c.weights[name] for c in checkpoints]
        expected = np.mean(np.stack(arrays).astype(np.float64), axis=0).astype(arrays[0].dtype)
        assert weights[name].dtype == arrays[0].dtype
        np.testing.assert_array_equal(weights[name], expected)
    np.testing.assert_array_equal(weights["steps"], [7, 8])
    assert info["averaged_from"] == [{"path": f"{epoch}.ckpt", "epoch": epoch} for epoch in range(3)]
    assert info.keys() == INFO.keys() - {"epoch", "metrics"} | {"averaged_from"}


def test_large_float16_values_do_not_overflow():
    big = {"half": np.full(5, 60000, np.float16)}
    weights, _ = average_checkpoints([checkpoint(weights=big), checkpoint(weights=big)])
    np.testing.assert_array_equal(weights["half"], big["half"])


def test_the_average_of_equal_checkpoints_is_an_equal_copy():
    first = checkpoint()
    weights, _ = average_checkpoints([first, checkpoint("b.ckpt"), checkpoint("c.ckpt")])
    for name, array in weights.items():
        np.testing.assert_array_equal(array, first.weights[name])
        assert not np.shares_memory(array, first.weights[name])


@pytest.mark.parametrize(
    "other, message",
    [
        (
            checkpoint("b.ckpt", model={**INFO["model"], "model": "sknet101"}),
            r"From a\.ckpt\n  b\.ckpt has another network: .*sknet101",
        ),
        (
            checkpoint("b.ckpt", class_names=["cat", "cow"]),
            "another list of classes: ..cat., .cow.., not ..cat., .dog..",
        ),
        (checkpoint("b.ckpt", config={**INFO["config"], "mean": (0.5,)}), "another mean and std"),
        (checkpoint("b.ckpt", weights={"extra": np.ones(1)}), "has in addition extra"),
        (checkpoint("b.ckpt", weights={"half": np.ones(6, np.float16)}), "another shape or dtype of half"),
        (checkpoint("b.ckpt", weights={"half": np.ones(5, np.float32)}), "another shape or dtype of half"),
        (
            checkpoint("b.ckpt", weights={"steps": np.array([7, 9])}),
            r"steps is int64.*its values in b\.ckpt and a\.ckpt differ",
        ),
        (checkpoint("b.ckpt", weights={"half": np.full(5, np.nan, np.float16)}), r"b\.ckpt holds NaN .* half"),
        (Checkpoint(Path("b.ckpt"), {}, {}), r"b\.ckpt has no description"),
    ],
)
def test_differing_checkpoints_are_an_error_that_names_the_file(other, message):
    with pytest.raises(ValueError, match=message):
        average_checkpoints([checkpoint(), checkpoint("same.ckpt"), other])


def test_all_differences_are_listed_with_their_files():
    other = checkpoint("b.ckpt", class_names=["cow"])
    del other.weights["half"]
    with pytest.raises(ValueError) as caught:
        average_checkpoints([checkpoint(), other, checkpoint("c.ckpt", class_names=["ant"])])
    lines = str(caught.value).split("\n")[1:]
    assert [line.split()[0] for line in lines] == ["b.ckpt", "b.ckpt", "c.ckpt"]
    assert "lacks half" in lines[1]


def test_descriptions_from_a_file_and_from_memory_are_equal():
    read = checkpoint("b.ckpt", **json.loads(json.dumps(INFO)))
    assert read.info["config"]["mean"] != INFO["config"]["mean"]
    average_checkpoints([checkpoint(), read])


@pytest.mark.parametrize("count", [0, 1])
def test_an_average_needs_two_checkpoints(count):
    with pytest.raises(ValueError, match=f"at least two checkpoints; got {count}"):
        average_checkpoints([checkpoint()] * count)


def test_stripping_keeps_the_entries_needed_to_use_the_weights():
    whole = checkpoint(averaged_from=[], source="elsewhere")
    weights, info = strip_checkpoint(whole)
    assert weights.keys() == whole.weights.keys()
    assert info.keys() == {"model", "config", "class_names", "source"}
    assert info["model"] == INFO["model"]
    assert info["config"] == {key: INFO["config"][key] for key in USE_CONFIG}
    assert strip_checkpoint(Checkpoint(whole.path, weights, info))[1] == info
    with pytest.raises(ValueError, match="has no description"):
        strip_checkpoint(Checkpoint(Path("x.ckpt"), weights, {}))


def test_the_options_of_images_and_validation_data_are_all_kept():
    needed = {
        field.name
        for section in (config.Image, config.Data)
        for field in fields(section)
        if "validate" in config.OPTIONS[field.name].scripts
    }
    of_a_run = {"dataset_download", "num_parallel_workers", "on_bad_image", "bad_image_limit", "check_data"}
    assert needed - of_a_run <= set(USE_CONFIG)
    assert set(USE_CONFIG) <= set(config.OPTIONS)


def test_a_stripped_description_resolves_to_the_same_validation():
    def resolved(info):
        own = {key: value for key, value in info["config"].items() if key not in ("dataset_download", "pretrained")}
        resolved = config.load_config([], prog="validate").inherit(own, "x.ckpt")
        return resolved.image, resolved.data.dataset, resolved.data.data_dir, resolved.data.val_split

    whole = checkpoint(config={**INFO["config"], "image_resize": 64, "mean": (0.1, 0.2, 0.3), "data_dir": "elsewhere"})
    assert resolved(strip_checkpoint(whole)[1]) == resolved(whole.info)


def test_results_load_into_a_network_and_survive_a_file(tiny_network, tmp_path):
    weights = network_weights(tiny_network())
    doubled = {name: array * 3 for name, array in weights.items()}
    average, info = average_checkpoints(
        [Checkpoint(Path(f"{k}.ckpt"), w, INFO) for k, w in enumerate((weights, doubled))]
    )
    save_checkpoint(tmp_path / "average.ckpt", average, info)
    stripped, info = strip_checkpoint(read_checkpoint(tmp_path / "average.ckpt"))
    save_checkpoint(tmp_path / "small.ckpt", stripped, info)
    read = read_checkpoint(tmp_path / "small.ckpt")
    network = tiny_network()
    load_exact(network, read.weights, str(read.path))
    for parameter in network.get_parameters():
        np.testing.assert_allclose(parameter.asnumpy(), weights[parameter.name] * 2, rtol=1e-6)
