"""Defects of MindCV that no other test looks for; the comment behind a test is its number in test_known_defects.py."""

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import fixtures_data
import mindspore as ms
import numpy as np
import pytest
import tiny
from config_lines import CIFAR, train
from mindspore import Parameter, Tensor
from PIL import Image
from script_runs import fails, small_run

import export
import infer
import train as train_script
import validate
from assemble import build_to_infer
from assemble_data import build_measuring_loader, build_training_loader, build_validation_loader
from assemble_training import build_rates, build_step, build_to_train
from assemble_weights import weights_to_start, weights_to_use
from config import OPTIONS, SCRIPTS, load_config
from mindcv.checkpoint import network_weights, read_checkpoint
from mindcv.data.transforms import create_batch_transforms
from mindcv.engine import RunLength, evaluate
from mindcv.optim import OPTIMIZERS, create_optimizer
from mindcv.optim.param_groups import create_param_groups
from mindcv.runtime import present_devices, setup_runtime

ROOT = Path(__file__).parent.parent

# config.py


def test_false_turns_every_switch_off():  # 2
    for option in OPTIONS.values():
        if option.kinds == (bool,):
            config = load_config([f"--{option.name}", "False"], prog=option.scripts[0])
            assert config.to_dict()[option.name] is False, option.name


@pytest.mark.parametrize(
    "key, value",
    [
        ("batch_size", "12.5"),
        ("opt", "kron"),
        ("loss", "MSE"),
        ("scheduler", "poly"),
        ("ckpt_save_policy", "None"),
        ("mixup_mode", "row"),
        ("amp_level", "O4"),
        ("sampler", "none"),
        ("class_weights", "[1, -1]"),
    ],
)
def test_a_recipe_obeys_the_rules_of_the_command_line(key, value, recipe):  # 4
    messages = []
    for line in (["-c", recipe(f"{key}: {value}")], [f"--{key}={value}"]):
        with pytest.raises(ValueError) as error:
            train(*line)
        messages.append(str(error.value).partition(f"{key}: ")[2])
    assert messages[0].partition(" is not ")[2] == messages[1].partition(" is not ")[2] != ""


def test_a_recipe_is_read_as_utf8_in_every_locale(recipe):  # 5
    path = recipe("dataset: flowers\ndata_dir: Blüten\n")
    code = f"from config import load_config; print(ascii(load_config(['-c', {path!r}], prog='train').data.data_dir))"
    environment = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    line = [sys.executable, "-c", code]
    assert subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True).stdout == "'Bl\\xfcten'\n"


# train.py


@pytest.fixture
def plain_weights(tmp_path, tiny_network):
    """Makes a file of weights without a description, under a name."""

    def save(name):
        network = tiny_network(in_channels=1)
        path = tmp_path / name
        ms.save_checkpoint(network, str(path))
        return path, network_weights(network)

    return save


def test_device_target_reaches_every_script_and_is_auto_by_default(tmp_path, plain_weights, capsys):  # 7
    for prog in SCRIPTS:
        assert load_config(["--check_data"] * (prog == "validate"), prog=prog).runtime.device_target == "auto"
    absent = next(device for device in ("Ascend", "GPU") if device not in present_devices())
    path, _ = plain_weights("a.ckpt")
    Image.new("L", (16, 16)).save(tmp_path / "a.png")
    common = ["--model=tiny_sknet", f"--ckpt_path={path}", "--in_channels=1", f"--device_target={absent}"]
    for script, more in (
        (train_script, [f"--ckpt_save_dir={tmp_path / 'out'}"]),
        (validate, []),
        (infer, [f"--images={tmp_path / 'a.png'}"]),
        (export, [f"--output={tmp_path / 'a.onnx'}"]),
    ):
        assert f"device {absent} is not available here" in fails(script.main, [*common, *more], capsys)


def test_no_source_sets_a_jit_level():  # 8: MindSpore documents O2 for Ascend only
    for path in [*ROOT.glob("*.py"), *(ROOT / "mindcv").rglob("*.py")]:
        assert not re.search(r"jit_level\s*=", path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize("name", ["tiny-868228e5.ckpt", "x_best.ckpt", "-.ckpt"])
def test_the_name_of_a_checkpoint_says_nothing_about_its_epoch(name, plain_weights):  # 9
    path, expected = plain_weights(name)
    _, weights = weights_to_start(train("--model=tiny_sknet", f"--ckpt_path={path}", "--in_channels=1"))
    assert weights.weights.keys() == expected.keys()


def test_averages_start_from_the_weights_of_a_plain_checkpoint(plain_weights):  # 15
    setup_runtime(mode=1, device_target="CPU")
    path, expected = plain_weights("a.ckpt")
    config, weights = weights_to_start(
        train("--model=tiny_sknet", f"--ckpt_path={path}", "--in_channels=1", "--ema", "--seed=3")
    )
    network = build_to_train(config, [str(digit) for digit in range(10)], weights)
    step, _ = build_step(config, network, RunLength(2, 4, 1))
    ms.set_context(mode=ms.GRAPH_MODE)
    for name, average in step.measured.items():
        np.testing.assert_array_equal(average.asnumpy(), expected[name], name)


@pytest.fixture(scope="module")
def short_run(tmp_path_factory):
    """A run with label smoothing on grey images: its folder, what it printed, what it left in the current folder."""
    folder, here, printed = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("here"), io.StringIO()
    tiny.register()
    line = small_run(folder, "--epoch_size=1", "--in_channels=1", "--label_smoothing=0.3")
    with contextlib.chdir(here), contextlib.redirect_stdout(printed):
        assert train_script.main(line) == 0
    tiny.unregister()
    return folder, printed.getvalue(), os.listdir(here)


def test_a_run_writes_into_its_folder_only(short_run):  # 18
    folder, _, left = short_run
    assert (folder / "metrics.csv").exists() and left == []


def test_the_parameters_shown_are_those_that_are_trained(short_run):  # 19
    folder, printed, _ = short_run
    weights = read_checkpoint(folder / "tiny_sknet-last.ckpt").weights
    trained = sum(array.size for name, array in weights.items() if "moving_" not in name)
    assert f"tiny_sknet: {trained:,} parameters" in printed and trained < sum(map(np.size, weights.values()))


# mindcv/data, loss, optim, scheduler

PLAIN = ["--scale=1,1", "--ratio=1,1", "--hflip=0", "--color_jitter=none", "--image_resize=40", "--crop_pct=1"]
CHANGES = [
    *("--hflip=1", "--vflip=1", "--auto_augment=randaug", "--re_prob=1", "--mean=0.3,0.3,0.3", "--std=0.3,0.3,0.3"),
    *("--interpolation=nearest", "--color_jitter=0.9", "--random_crop_padding=9", "--mixup=0.5"),
]


@pytest.mark.parametrize("dataset", ["cifar10", "mnist"])
def test_augmentation_and_preprocessing_act_on_every_data_set(tmp_path, dataset):  # 33
    getattr(fixtures_data, f"write_{dataset}")(tmp_path, 8, 8)

    def images(*changes, training=True):
        line = [f"--dataset={dataset}", f"--data_dir={tmp_path}", "--batch_size=8", "--num_parallel_workers=1"]
        replaced = {word.partition("=")[0] for word in changes}
        usual = [word for word in PLAIN if word.partition("=")[0] not in replaced]
        config = train(*line, *usual, "--no-shuffle", *changes)
        loader = build_training_loader(config, None, resumes=False)
        loader = loader if training else build_validation_loader(config, loader.dataset)
        with contextlib.closing(loader.epoch(1)) as epoch:
            return next(epoch)[0]

    plain = images()
    for change in CHANGES:
        assert not np.allclose(images(change), plain, atol=0.01), change
    np.testing.assert_array_equal(images("--hflip=1"), plain[..., ::-1])
    evaluated = images(training=False)
    for change in ("--crop_pct=0.7", "--interpolation=nearest", "--mean=0.3,0.3,0.3", "--std=0.3,0.3,0.3"):
        assert not np.allclose(images(change, training=False), evaluated, atol=0.01), change


@pytest.mark.parametrize("mode", ["batch", "pair", "elem"])
@pytest.mark.parametrize("count", [1, 5])
def test_batches_of_odd_size_are_mixed(mode, count):  # 36
    rng = np.random.default_rng(0)
    images, labels = rng.random((count, 3, 8, 8), np.float32), np.arange(count, dtype=np.int32)
    for step in create_batch_transforms(mixup=0.8, cutmix=1.0, mixup_mode=mode, num_classes=count)(1):
        images, labels = step(images, labels, rng)
    assert images.shape == (count, 3, 8, 8) and labels.shape == (count, count)
    np.testing.assert_allclose(labels.sum(axis=1), 1, rtol=1e-6)


def test_layer_decay_and_the_filter_of_norms_act_together(tiny_network):  # 37
    groups = create_param_groups(tiny_network(), 0.1, "auto", lr=1.0, layer_decay=0.5)[:-1]
    found = {p.name: (group.get("lr", 1.0), group["weight_decay"]) for group in groups for p in group["params"]}
    assert found["classifier.weight"] == found["classifier.bias"] == (1.0, 0.1)
    assert found["stem.conv.weight"][0] == min(rate for rate, _ in found.values()) < 0.5
    for name, (_, decay) in found.items():
        assert decay == (0.0 if name.endswith((".gamma", ".beta")) else 0.1), name


@pytest.mark.parametrize("opt", [*OPTIMIZERS])
def test_betas_and_eps_reach_each_optimizer_that_has_them(opt):  # 37
    def updated(**options):
        weight = Parameter(Tensor([1.0, -2.0], ms.float32), name="weight")
        optimizer = create_optimizer([weight], opt, lr=0.1, weight_decay=0.1, **options)
        for gradient in ([0.5, 1.0], [-0.25, 2.0]):
            optimizer((Tensor(gradient, ms.float32),))
        return weight.asnumpy()

    setup_runtime(mode=1, device_target="CPU")
    used, usual = OPTIMIZERS.options(opt), updated()
    betas = (0.9, 0.1, 0.2) if opt == "adan" else (0.9, 0.1)
    for key, value in (("betas", betas), ("eps", 0.3)):
        assert key not in used or not np.allclose(updated(**{key: value}), usual, rtol=1e-5), key
    ms.set_context(mode=ms.GRAPH_MODE)


def test_a_cosine_ends_with_the_run_and_its_first_rate_is_above_0():  # 38
    rates = build_rates(train(CIFAR, "--epoch_size=30", "--warmup_epochs=5", "--lr=0.1"), RunLength(30, 4, 1))
    assert len(rates) == 120 and rates[0] > 0 and rates[20] == max(rates) == 0.1 and rates[-1] == 0


# validate.py


def test_validation_keeps_the_batch_size_and_reads_every_image():  # 40
    config = train("--num_samples=71", "--batch_size=16", "--num_parallel_workers=1", "--image_resize=8")
    training = build_training_loader(config, None, resumes=False)
    with contextlib.closing(build_validation_loader(config, training.dataset).epoch(1)) as epoch:
        assert [len(labels) for _, labels in epoch] == [16, 16, 16, 16, 7]


def test_validation_reports_the_cross_entropy_without_label_smoothing(short_run, tiny_model):  # 41
    path = short_run[0] / "tiny_sknet-last.ckpt"
    config, weights = weights_to_use(load_config([f"--ckpt_path={path}", "--no-fold_bn"], prog="validate"))
    setup_runtime(mode=1, device_target="CPU")
    assert config.image.in_channels == 1 and config.loss.label_smoothing == 0.3
    loader, losses = build_measuring_loader(config, weights), []

    def observe(logits, labels):
        logits = logits.astype(np.float64)
        losses.extend(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels])

    result = evaluate(build_to_infer(config, weights, loader.dataset.class_names), loader, observe=observe)
    ms.set_context(mode=ms.GRAPH_MODE)
    assert len(losses) == result.num_examples == 70
    assert result.loss == weights.info["metrics"]["loss"] == pytest.approx(np.mean(losses), rel=1e-6)
