"""The graph keys of the scripts: every option counts or cannot change a graph, and a second start reuses all."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import programs
import pytest
from mindspore import Tensor, nn
from PIL import Image
from script_runs import small_run

import config
from assemble import describe_graphs
from mindcv.checkpoint import read_checkpoint
from mindcv.compile_cache.key import graph_key
from mindcv.models import create_model
from mindcv.runtime import setup_runtime

ROOT = Path(__file__).parents[2]
COUNTED = {
    *("mode", "device_target", "seed", "in_channels"),
    *("model", "drop_rate", "drop_path_rate", "freeze", "freeze_bn", "fold_bn", "loss", "label_smoothing"),
    *("opt", "momentum", "weight_decay", "weight_decay_filter", "use_nesterov", "betas", "eps"),
    *("layer_decay", "head_lr_scale", "clip_grad", "clip_value", "gradient_accumulation_steps", "recompute"),
}


def test_the_options_in_the_key_are_these():
    assert {option.name for option in config.OPTIONS.values() if option.in_graph} == COUNTED


def another(value):
    """A value other than the present one."""
    return not value if isinstance(value, bool) else (value, "other")


@pytest.mark.parametrize("name", config.OPTIONS)
def test_an_option_changes_the_key_unless_it_cannot_change_a_graph(name):
    before = config.load_config(["--dataset=cifar10"], prog="train")
    section = getattr(before, config.OPTIONS[name].section)
    changed = replace(section, **{name: another(getattr(section, name))})
    after = replace(before, **{config.OPTIONS[name].section: changed})
    keys = {graph_key(describe_graphs(c, nn.ReLU()), nn.ReLU(), (Tensor([1.0]),)) for c in (before, after)}
    assert len(keys) == (2 if name in COUNTED else 1)


def test_the_network_its_variant_and_its_classes_change_the_key(tiny_model):
    setup_runtime(device_target="CPU")
    settings = config.load_config(["--dataset=cifar10"], prog="train")
    networks = [
        create_model("resnet18"),
        create_model("resnet18", num_classes=9),
        create_model("resnet18", stem_pool="same"),
        create_model("resnet18", in_channels=1),
        create_model(tiny_model),
    ]
    cell = nn.ReLU()
    keys = {graph_key(describe_graphs(settings, network), cell, (Tensor([1.0]),)) for network in networks}
    assert len(keys) == len(networks)


def test_a_second_start_reuses_every_graph_with_identical_results(tmp_path):
    graphs = tmp_path / "cache" / "graphs"
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "image.png")
    environment = os.environ | programs.ENVIRONMENT
    environment["MINDCV_CACHE"] = str(graphs.parent)

    def start(*argv) -> tuple[int, int]:
        """How many graphs were reused, and how many were added."""
        before = len([*graphs.glob("*.graph")])
        line = programs.command("run_with_tiny", *argv)
        result = subprocess.run(line, cwd=tmp_path, env=environment, text=True, capture_output=True, timeout=300)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout.splitlines()[-1])["reused"], len([*graphs.glob("*.graph")]) - before

    def train(name, *extra) -> tuple[int, int]:
        dropping = ("--drop_rate=0.2", "--label_smoothing=0.1", "--gradient_accumulation_steps=2", "--warmup_epochs=0")
        return start("train", *small_run(tmp_path / name, "--mode=0", *dropping, *extra))

    def weights(name):
        return {k: v.tobytes() for k, v in read_checkpoint(tmp_path / name / "tiny_sknet-last.ckpt").weights.items()}

    # the training step and the evaluation
    assert train("first") == (0, 2)
    assert train("second") == (2, 0)
    assert weights("second") == weights("first")
    # Learning rates are an input of the step; augmentation does not affect graphs.
    changed = ("--lr=0.02", "--hflip=0.5")
    assert train("changed", *changed) == (2, 0)
    train("without", *changed, "--no-compile_cache")
    assert weights("changed") == weights("without") != weights("first")

    checkpoint = f"--ckpt_path={tmp_path / 'first' / 'tiny_sknet-last.ckpt'}"
    assert start("validate", checkpoint) == (0, 1)
    assert start("validate", checkpoint) == (1, 0)
    assert start("infer", checkpoint, f"--images={tmp_path / 'image.png'}", "--batch_size=2") == (0, 1)
    assert start("infer", checkpoint, f"--images={tmp_path / 'image.png'}", "--batch_size=2") == (1, 0)
