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
    *("mode", "device_target", "seed", "deterministic", "tf32", "in_channels"),
    *("model", "drop_rate", "drop_path_rate", "drop_block_rate", "freeze", "freeze_bn", "fold_bn"),
    *("loss", "label_smoothing"),
    *("reduction", "aux_factor", "class_weights", "bce_target_thresh", "bce_sum", "focal_gamma", "focal_alpha"),
    *("asl_gamma_pos", "asl_gamma_neg", "asl_clip"),
    *("opt", "momentum", "weight_decay", "weight_decay_filter", "use_nesterov", "betas", "eps"),
    *("rmsprop_rho", "trust_coeff"),
    *("layer_decay", "head_lr_scale", "gradient_accumulation_steps", "recompute", "channels_last"),
    "guard",
    *("clip_grad", "clip_mode", "clip_value", "ema", "ema_decay", "ema_warmup"),
    *("amp_level", "amp_dtype", "val_amp_level", "loss_scale_type", "loss_scale", "drop_overflow_update"),
    "aug_splits",
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


@pytest.fixture
def scripts(tmp_path):
    """Starts scripts in processes of their own, with one cache folder."""
    graphs = tmp_path / "cache" / "graphs"
    environment = os.environ | programs.ENVIRONMENT | {"MINDCV_CACHE": str(graphs.parent)}

    class Scripts:
        def start(self, *argv) -> tuple[int, int]:
            """How many graphs were reused, and how many were added."""
            before = len([*graphs.glob("*.graph")])
            line = programs.command("run_with_tiny", *argv)
            result = subprocess.run(line, cwd=tmp_path, env=environment, text=True, capture_output=True, timeout=300)
            assert result.returncode == 0, result.stderr
            return json.loads(result.stdout.splitlines()[-1])["reused"], len([*graphs.glob("*.graph")]) - before

        def train(self, name, *extra) -> tuple[int, int]:
            options = ("--mode=0", "--drop_rate=0.2", "--label_smoothing=0.1", "--gradient_accumulation_steps=2")
            return self.start("train", *small_run(tmp_path / name, *options, "--warmup_epochs=0", *extra))

        def weights(self, name):
            checkpoint = read_checkpoint(tmp_path / name / "tiny_sknet-last.ckpt")
            return {key: array.tobytes() for key, array in checkpoint.weights.items()}

    return Scripts()


def test_a_second_start_reuses_both_graphs_with_identical_results(scripts):
    assert scripts.train("first") == (0, 2)  # the training step and the evaluation
    assert scripts.train("second") == (2, 0)
    assert scripts.weights("second") == scripts.weights("first")


@pytest.mark.slow
def test_other_options_and_scripts_reuse_the_graphs_that_they_do_not_change(scripts, tmp_path):
    assert scripts.train("first") == (0, 2)
    # Learning rates are an input of the step; augmentation does not affect graphs.
    changed = ("--lr=0.02", "--hflip=0.5")
    assert scripts.train("changed", *changed) == (2, 0)
    scripts.train("without", *changed, "--no-compile_cache")
    assert scripts.weights("changed") == scripts.weights("without") != scripts.weights("first")

    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "image.png")
    checkpoint = f"--ckpt_path={tmp_path / 'first' / 'tiny_sknet-last.ckpt'}"
    images = (checkpoint, f"--images={tmp_path / 'image.png'}", "--batch_size=2")
    for argv in (("validate", checkpoint), ("infer", *images)):
        assert [scripts.start(*argv), scripts.start(*argv)] == [(0, 1), (1, 0)]
