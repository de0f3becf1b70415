"""config.py: precedence, spellings, refusals, the digits preset, MindCV's recipes, help and the generated page."""

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import config
from config import OPTIONS, load_config, run_script
from mindcv.options.option import NONE

ROOT = Path(config.__file__).parent
RECIPES = sorted((ROOT / "configs").rglob("*.yaml"))
CIFAR = "dataset=cifar10"  # on the line where the digits preset is not wanted


def train(*argv, **keywords):
    return load_config(list(argv), prog="train", **keywords)


def flat(*argv, **keywords):
    return train(*argv, **keywords).to_dict()


@pytest.fixture
def recipe(tmp_path):
    """Writes a YAML file and returns its path."""

    def write(text, name="recipe.yaml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


# Schema


def test_defaults_are_those_of_the_schema_and_are_legal_values():
    values = flat(CIFAR)
    assert values.pop("dataset") == "cifar10"
    assert values == {name: o.default for name, o in OPTIONS.items() if name != "dataset"}
    for o in OPTIONS.values():
        assert o.parse(o.default, "here") == o.default


def test_option_names_are_unique_and_none_is_also_a_foreign_key():
    names = [f.name for kind in config.SECTIONS.values() for f in dataclasses.fields(kind)]
    assert len(names) == len(set(config.ALL_NAMES)) - len(config.UNAVAILABLE) - len(config.WITHOUT_EFFECT)


def test_config_and_its_sections_are_frozen():
    cfg = train(CIFAR)
    with pytest.raises(dataclasses.FrozenInstanceError):
        cfg.train = None
    with pytest.raises(dataclasses.FrozenInstanceError):
        cfg.schedule.lr = 1.0


def test_to_dict_keeps_the_order_of_the_schema():
    assert list(flat(CIFAR)) == list(OPTIONS)


# Precedence


def test_each_layer_wins_over_the_one_before(recipe):
    recipe("lr: 0.3\nseed: 3\nbatch_size: 3\n", "base.yaml")
    path = recipe("base: base.yaml\nseed: 4\nbatch_size: 4\n")
    cfg = train("-c", path, "--batch_size=5", inherited={"lr": 0.2, "seed": 2, "batch_size": 2, "momentum": 0.2})
    got = (cfg.optim.weight_decay, cfg.optim.momentum, cfg.schedule.lr, cfg.runtime.seed, cfg.data.batch_size)
    assert got == (1e-4, 0.2, 0.3, 4, 5)


def test_sources_and_given_tell_where_a_value_came_from(recipe):
    base = recipe("lr: 0.3\n", "base.yaml")
    path = recipe("base: base.yaml\nseed: 4\n")
    cfg = train("-c", path, "mode=1", inherited={"momentum": 0.2, "lr": 0.2}, inherited_from="a.ckpt")
    keys = ("weight_decay", "momentum", "lr", "seed", "mode")
    assert [cfg.sources[key] for key in keys] == ["default", "a.ckpt", base, path, "command line"]
    assert [cfg.given(key) for key in keys] == [False, False, True, True, True]


def test_base_is_relative_to_the_file_that_names_it_and_the_last_of_a_list_wins(recipe, tmp_path, monkeypatch):
    recipe("seed: 1\nlr: 0.1\n", "deep/one.yaml")
    recipe("seed: 2\nmode: 1\n", "deep/two.yaml")
    recipe("base: [one.yaml, two.yaml]\n", "deep/both.yaml")
    path = recipe("base: deep/both.yaml\n")
    monkeypatch.chdir(tmp_path.parent)
    cfg = train("-c", path)
    assert (cfg.runtime.seed, cfg.runtime.mode, cfg.schedule.lr) == (2, 1, 0.1)


# Spellings


@pytest.mark.parametrize(
    ("argv", "key", "value"),
    [
        (["--epoch_size", "5"], "epoch_size", 5),
        (["--epoch_size=5"], "epoch_size", 5),
        (["--epoch-size=5"], "epoch_size", 5),
        (["epoch_size=5"], "epoch_size", 5),
        (["--lr", "1e-4"], "lr", 1e-4),
        (["lr=1E-4"], "lr", 1e-4),
        (["--lr", "1"], "lr", 1.0),
        (["--warmup_epochs=0.5"], "warmup_epochs", 0.5),
        (["--pretrained"], "pretrained", True),
        (["--pretrained", "--lr=1"], "pretrained", True),
        (["--pretrained", "lr=1"], "pretrained", True),
        (["--pretrained", "True"], "pretrained", True),
        (["--pretrained=yes"], "pretrained", True),
        (["pretrained=ON"], "pretrained", True),
        (["--pretrained", "1"], "pretrained", True),
        (["--pretrained=false"], "pretrained", False),
        (["--no-shuffle"], "shuffle", False),
        (["--no_shuffle"], "shuffle", False),
        (["--shuffle", "0"], "shuffle", False),
        (["--shuffle=No"], "shuffle", False),
        (["--shuffle=off"], "shuffle", False),
        (["--scale", "0.1,1.0"], "scale", (0.1, 1.0)),
        (["--scale", "0.1", "1.0"], "scale", (0.1, 1.0)),
        (["--scale", "0.1", "1.0", "lr=1"], "scale", (0.1, 1.0)),
        (["--scale", "[0.1, 1.0]"], "scale", (0.1, 1.0)),
        (["--scale", "[0.1,", "1.0]"], "scale", (0.1, 1.0)),
        (["--scale=(0.1, 1.0)"], "scale", (0.1, 1.0)),
        (["scale=0.1 1"], "scale", (0.1, 1.0)),
        (["--multi_step_decay_milestones", "3", "6"], "multi_step_decay_milestones", (3, 6)),
        (["--multi_step_decay_milestones=(7,)"], "multi_step_decay_milestones", (7,)),
        (["--color_jitter", "0.2"], "color_jitter", 0.2),
        (["--color_jitter", "0.1,0.2,0.3"], "color_jitter", (0.1, 0.2, 0.3)),
        (["--color_jitter", "None"], "color_jitter", None),
        (["--num_samples=null"], "num_samples", None),
        (["--val_split=none"], "val_split", None),
        (["--val_split=test"], "val_split", "test"),
        (["--opt=AdamW"], "opt", "adamw"),
        (["--device_target=cpu"], "device_target", "CPU"),
        (["--re_value", "0"], "re_value", 0),
        (["--re_value", "random"], "re_value", "random"),
        (["--ckpt_path="], "ckpt_path", ""),
        (["--data_dir", "/data/a=b"], "data_dir", "/data/a=b"),
        (["--data_dir", "x=1"], "data_dir", "x=1"),
        (["--lr", "0.1", "--lr=1e-1"], "lr", 0.1),
    ],
)
def test_command_line_spelling(argv, key, value):
    got = flat(*argv, CIFAR)[key]
    assert (got, type(got)) == (value, type(value))
    assert flat(CIFAR, *argv)[key] == value


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("lr: 1e-4", "lr", 1e-4),
        ("lr: 1", "lr", 1.0),
        ("epoch-size: 5", "epoch_size", 5),
        ("batch_size: 010", "batch_size", 10),
        ("pretrained: yes", "pretrained", True),
        ("pretrained: 'False'", "pretrained", False),
        ("scale: [0.1, 1]", "scale", (0.1, 1.0)),
        ("scale: (0.1, 1)", "scale", (0.1, 1.0)),
        ("scale:\n- 0.1\n- 1", "scale", (0.1, 1.0)),
        ("num_samples:", "num_samples", None),
        ("num_samples: None", "num_samples", None),
        ("color_jitter: ~", "color_jitter", None),
        ("mode: 1", "mode", 1),
        ("loss: ce", "loss", "CE"),
        ('model: "resnet50"', "model", "resnet50"),
        ("data_dir: 2024-01-01", "data_dir", "2024-01-01"),
        ("# nothing\n", "seed", 42),
        ("", "seed", 42),
    ],
)
def test_yaml_spelling(text, key, value, recipe):
    got = flat("-c", recipe(text))[key]
    assert (got, type(got)) == (value, type(value))


# Refusals: every message names the place, the key, the value and what is legal


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--epcoh_size=3"], "command line: unknown option 'epcoh_size'; did you mean epoch_size"),
        (["epcoh_size=3"], "unknown option 'epcoh_size'; did you mean epoch_size"),
        (["--milestones=3"], "did you mean multi_step_decay_milestones"),
        (["--epoch=3"], "unknown option 'epoch'"),
        (["-lr", "3"], "write --lr, with two dashes"),
        (["--lr"], "--lr needs a value"),
        (["--lr", "--seed=1"], "--lr needs a value"),
        (["--data_dir", "lr=1"], "--data_dir needs a value"),
        (["-c"], "--config needs a value"),
        (["5"], "unexpected '5'; write --key=value"),
        (["--"], "unexpected '--'"),
        (["--no-pretrained", "1"], "unexpected '1'"),
        (["--batch_size=12.5"], "command line: batch_size: '12.5' is not an integer >= 1"),
        (["--batch_size=12.0"], "not an integer"),
        (["--batch_size=0"], "not an integer >= 1"),
        (["--batch_size=1_0"], "not an integer"),
        (["--batch_size=true"], "not an integer"),
        (["--batch_size=none"], "not an integer"),
        (["--batch_size=" + "9" * 5000], "not an integer"),
        (["--lr=nan"], "lr: 'nan' is not a number > 0"),
        (["--lr=1e999"], "not a number"),
        (["--lr", "-1e-4"], "'-1e-4' is not a number > 0"),
        (["--hflip=1.5"], r"hflip: '1.5' is not a number in \[0, 1\]"),
        (["--crop_pct=0"], r"not a number in \(0, 1\]"),
        (["--label_smoothing=1"], r"not a number in \[0, 1\)"),
        (["--drop_rate=1"], r"not a number in \[0, 1\)"),
        (["--betas=0.9,1"], r"not 2 numbers in \[0, 1\)"),
        (["--clip_value=0"], "not a number > 0"),
        (["--val_interval=0"], "not an integer >= 1"),
        (["--image_resize=0"], "not an integer >= 1"),
        (["--epoch_size=0"], "not an integer >= 1"),
        (["--decay_epochs=0"], "decay_epochs: '0' is not a number > 0 or none"),
        (["--scale=0.5"], "not 2 increasing numbers"),
        (["--scale=0.5,0.1"], "not 2 increasing numbers"),
        (["--scale=0.5,,1"], "not 2 increasing numbers"),
        (["--scale", "0.5", "1", "x"], "'0.5 1 x' is not 2 increasing numbers"),
        (["--scale="], "not 2 increasing numbers"),
        (["--color_jitter=1,1"], "not a number >= 0 or 3 or 4 numbers or none"),
        (["--multi_step_decay_milestones=30,30"], "not increasing integers >= 1"),
        (["--multi_step_decay_milestones=1.5"], "not increasing integers"),
        (["--pretrained="], "pretrained: '' is not true or false or a text"),
        (["--freeze=stem"], "freeze: 'stem' is not an integer >= 1 or backbone or none"),
        (["--opt=adma"], "opt: 'adma' is not one of sgd, momentum, adam, adamw; did you mean adam"),
        (["--mode=2"], "mode: '2' is not one of 0, 1"),
        (["--in_channels=2"], "in_channels: '2' is not one of 3, 1"),
        (["--model="], "model: '' is not a text"),
        (["--seed=1", "--seed=2"], "seed is given twice, as 1 and as 2"),
        (["-c", "a.yaml", "--config=b.yaml"], "config is given twice, as a.yaml and as b.yaml"),
        (["--warmup_epochs=90"], r"warmup_epochs=90 \(command line\) leaves nothing of epoch_size=90 \(default\)"),
        (["--use_nesterov", "--opt=adam"], "use_nesterov=true .* needs opt=sgd or momentum"),
        (["--use_nesterov", "--momentum=0"], "momentum above 0"),
        (["--min_lr=1"], "min_lr=1.0 .* is above lr=0.01"),
        (["--scheduler=step_decay"], "needs decay_epochs"),
        (["--mean=0.5"], "mean=0.5 .* must have one value per channel"),
        (["--in_channels=1", "--std=0.2,0.2,0.2"], "std=0.2,0.2,0.2 .* must have one value per channel"),
    ],
)
def test_command_line_refusal(argv, message):
    with pytest.raises(ValueError, match=message):
        train(*argv, CIFAR)


def test_one_channel_takes_one_mean_or_the_default():
    assert train(CIFAR, "--in_channels=1").image.mean == OPTIONS["mean"].default
    assert train(CIFAR, "--in_channels=1", "--mean=0.5", "--std=0.5").image.mean == (0.5,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\nepcoh_size: 3", "recipe.yaml, line 2: unknown key 'epcoh_size'; did you mean epoch_size"),
        ("batch_size: 12.5", "recipe.yaml, line 1: batch_size: '12.5' is not an integer >= 1"),
        ("opt: adan", "one of sgd, momentum, adam, adamw"),
        ("lr:", "lr: '' is not a number > 0"),
        ("lr: [0.1, 0.2]", "not a number > 0"),
        ("seed: 1\nlr: 1\nseed: 1", "line 3: 'seed' is given twice, first in line 1"),
        ("val_split: a\nval-split: b", "'val_split' is given twice"),
        ("optim: {lr: 0.1}", "line 1: expected a plain value or a list of plain values"),
        ("scale: [[0.1], 1]", "expected a plain value"),
        ("scale: &a [*a]", "expected a plain value"),
        ("? [a]\n: 1", "expected a plain value"),
        ("model: !!python/name:os.system", "expected a plain value"),
        ("<<: {lr: 0.1}", "expected a plain value"),
        ("- lr: 0.1", "must hold lines of the form key: value"),
        ("lr", "must hold lines of the form key: value"),
        ("lr: 0.1\n lr: [", "line 2: is not valid YAML"),
        ("a: 1\n---\nb: 1", "single document"),
        ("[" * 500, "is not valid YAML"),
        ('model: "\\UFFFFFFFF"', "is not valid YAML"),
        ("base: recipe.yaml", "goes in a circle: .*recipe.yaml -> .*recipe.yaml"),
        ("base:", "base: '' is not a path"),
        ("base: []", r"base: \[\] is not a path"),
        ("base: other.yaml", "recipe.yaml: base: .*other.yaml: no such file"),
    ],
)
def test_yaml_refusal(text, message, recipe):
    with pytest.raises(ValueError, match=message):
        train("-c", recipe(text))


def test_a_longer_circle_of_bases_is_refused(recipe):
    recipe("base: recipe.yaml", "b.yaml")
    with pytest.raises(ValueError, match=r"circle: .*recipe.yaml -> .*b.yaml -> .*recipe.yaml"):
        train("-c", recipe("base: b.yaml"))


def test_an_error_in_a_base_names_the_base(recipe):
    recipe("\nlr: x", "b.yaml")
    with pytest.raises(ValueError, match=r"b.yaml, line 2: lr: 'x' is not a number"):
        train("-c", recipe("base: b.yaml"))


def test_unreadable_files_are_refused_in_one_sentence(tmp_path, recipe):
    recipe("seed: 1", "sknet50.yaml")
    binary = tmp_path / "weights.ckpt"
    binary.write_bytes(bytes(range(256)))
    for path, message in (
        (tmp_path / "sknet5.yaml", "no such file; did you mean sknet50.yaml"),
        (tmp_path / "nowhere" / "a.yaml", "no such file"),
        (tmp_path, "cannot be read"),
        (binary, "is not a text file"),
        ("", "'': no such file"),
        ("a\0b", "is not valid"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            train("-c", str(path))
        assert "\n" not in str(error.value)


def test_illegal_and_unknown_inherited_values_name_their_origin():
    with pytest.raises(ValueError, match=r"a\.ckpt: lr: -1 is not a number"):
        train(inherited={"lr": -1}, inherited_from="a.ckpt")
    with pytest.raises(ValueError, match=r"a\.ckpt: unknown key 'lrr'"):
        train(inherited={"lrr": 1}, inherited_from="a.ckpt")


def test_inherited_values_may_be_python_values():
    kept = {"lr": 0.5, "scale": [0.5, 1], "pretrained": True, "num_samples": None, "batch_size": 3, "color_jitter": 0.0}
    cfg = flat(CIFAR, inherited=kept)
    assert {key: cfg[key] for key in kept} == {**kept, "scale": (0.5, 1.0)}


@pytest.mark.parametrize(
    ("argv", "notice"),
    [
        (["--random_crop_padding=4", "--scale=0.5,1"], "scale has no effect with random_crop_padding=4"),
        (["--clip_value=1"], "clip_value has no effect with clip_grad=false"),
        (["--decay_rate=0.5"], "decay_rate has no effect with scheduler=cosine_decay"),
        (["--betas=0.5,0.5"], "betas has no effect with opt=momentum"),
        (["--warmup_epochs=2", "--scheduler=multi_step_decay"], "count from the start of training"),
    ],
)
def test_a_flag_without_effect_is_noticed(argv, notice):
    assert [notice in line for line in train(*argv, CIFAR).notices] == [True]


# Saving


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_loads_and_survives_saving(path, tmp_path):
    cfg = train("-c", str(path))
    assert not cfg.notices
    cfg.save(tmp_path / "new" / "config.yaml")
    assert train("-c", str(tmp_path / "new" / "config.yaml")) == cfg


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_says_where_it_comes_from_and_changes_its_base(path):
    text = path.read_text(encoding="utf-8")
    if path.parent.name == "sknet":
        for word in ("# Source:", "# Command:", "# Expect:"):
            assert word in text
        assert re.search(r"python train\.py( -c (\S+))?", text)[2] in (None, path.relative_to(ROOT).as_posix())
        assert path.stem in (ROOT / "configs/README.md").read_text(encoding="utf-8")
    for base in filter(None, [(yaml.safe_load(text) or {}).pop("base", None)]):
        inherited = train("-c", str(path.parent / base)).to_dict()
        mine = train("-c", str(path)).to_dict()
        repeated = [key for key in yaml.safe_load(text) if key != "base" and inherited[key] == mine[key]]
        spelled_out = {key for key in repeated if train("-c", str(path.parent / base)).sources[key] != "default"}
        assert not spelled_out, "a recipe holds only what differs from its base"


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "data_dir": st.text(min_size=1),
            "ckpt_path": st.text(),
            "val_split": st.none() | st.text(min_size=1).filter(lambda t: t.strip().lower() not in NONE),
            "lr": st.floats(1e-300, 1e300),
            "seed": st.integers(0, 2**32 - 1),
            "color_jitter": st.none() | st.floats(0, 1) | st.tuples(*[st.floats(0, 1e9)] * 3),
            "decay_epochs": st.none() | st.integers(1) | st.floats(1e-9, 1e9),
        },
    )
)
@example({"data_dir": "none", "ckpt_path": "~", "val_split": " 1e5: # [", "lr": 1e-5})
def test_saving_keeps_every_value(tmp_path, values):
    cfg = train(CIFAR, inherited=values)
    assert {key: cfg.to_dict()[key] for key in values} == values
    cfg.save(tmp_path / "config.yaml")
    assert train("-c", str(tmp_path / "config.yaml")) == cfg


# The digits preset


def test_without_data_set_the_digits_preset_is_used_below_the_command_line():
    cfg = train("--epoch_size=2")
    assert (cfg.data.dataset, cfg.image.image_resize, cfg.train.epoch_size) == ("digits", 32, 2)
    assert cfg.notices == (
        "no --dataset given: training on scikit-learn's handwritten digits, preset configs/sknet/sknet50_digits.yaml",
    )
    assert cfg.sources["image_resize"] == "configs/sknet/sknet50_digits.yaml"


@pytest.mark.parametrize("spelling", [["--dataset=digits"], ["--dataset", "digits"], ["dataset=digits"]])
def test_naming_digits_uses_the_preset_and_says_so(spelling):
    cfg = train(*spelling)
    assert cfg.image.image_resize == 32
    assert len(cfg.notices) == 1
    assert cfg.notices[0].startswith("--dataset=digits without -c")


def test_the_preset_is_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert train().image.image_resize == 32


def test_the_preset_is_not_used_with_a_recipe_another_data_set_or_a_checkpoint(recipe):
    path = recipe("seed: 1")
    for cfg in (
        train(CIFAR),
        train("-c", path),
        train("-c", path, "--dataset=digits"),
        train(inherited={"dataset": "mnist"}),
        load_config([], prog="validate", inherited={"model": "sknet50"}),
        load_config(["--dataset=digits"], prog="validate", inherited={"image_resize": 224}),
    ):
        assert cfg.image.image_resize == 224
        assert not cfg.notices


# validate.py


def test_validate_takes_training_keys_from_files_and_checkpoints(recipe):
    path = recipe("lr: 0.5\nopt: adam\nema: True\nmixup: 0.2\nlog_interval: 3\ndataset: mnist\n")
    cfg = load_config(["-c", path], prog="validate", inherited={"epoch_size": 3, "warmup_epochs": 3})
    assert (cfg.schedule.lr, cfg.optim.opt, cfg.train.epoch_size, cfg.data.dataset) == (0.5, "adam", 3, "mnist")
    assert not cfg.notices


@pytest.mark.parametrize("flag", ["--lr=0.1", "lr=0.1", "--no-shuffle", "--epoch_size=3", "--hflip=0"])
def test_validate_refuses_training_flags(flag):
    with pytest.raises(ValueError, match=r"belongs to train\.py"):
        load_config([flag], prog="validate")


def test_validate_still_refuses_bad_values_and_what_would_change_its_result(recipe):
    for text, message in (("lr: x", "lr: 'x'"), ("lrr: 1", "unknown key"), ("val_amp_level: O2", "not available")):
        with pytest.raises(ValueError, match=message):
            load_config(["-c", recipe(text)], prog="validate")


# MindCV

MINDCV_KEYS = """
mode: 0
distribute: {distribute}
num_parallel_workers: 8
val_while_train: True
val_interval: 1
dataset: "imagenet"
data_dir: "/path/to/imagenet"
shuffle: True
dataset_download: False
batch_size: 64
drop_remainder: True
image_resize: 224
scale: [0.08, 1.0]
ratio: [0.75, 1.333]
hflip: 0.5
interpolation: "bicubic"
crop_pct: 0.875
re_prob: 0.1
model: "{model}"
num_classes: 1000
pretrained: False
ckpt_path: ""
keep_checkpoint_max: 30
ckpt_save_policy: 'latest_k'
ckpt_save_dir: "./ckpt"
epoch_size: 200
dataset_sink_mode: True
amp_level: "{amp_level}"
loss: "CE"
label_smoothing: 0.1
scheduler: "{scheduler}"
min_lr: 0.0
lr: 0.1
warmup_epochs: 5
warmup_factor: 0.01
decay_epochs: 195
opt: "momentum"
momentum: 0.9
weight_decay: 0.00004
loss_scale: 1024
use_nesterov: False
"""


@pytest.mark.parametrize(
    ("model", "scheduler"),
    [
        ("skresnet18", "cosine_decay"),
        ("resnet50", "cosine_decay"),
        ("resnext50_32x4d", "cosine_decay"),
        ("seresnet50", "warmup_cosine_decay"),
    ],
)
def test_a_recipe_with_the_keys_of_mindcv_is_understood(model, scheduler, recipe):
    names = {"model": model, "scheduler": scheduler}
    cfg = train("-c", recipe(MINDCV_KEYS.format(distribute=False, amp_level="O0", **names)))
    assert (cfg.model.model, cfg.schedule.scheduler, cfg.schedule.decay_epochs) == (model, "cosine_decay", 195)
    assert (cfg.optim.weight_decay, cfg.augment.ratio) == (4e-5, (0.75, 1.333))
    assert [re.search(r"\w+ has no effect", line)[0].split()[0] for line in cfg.notices] == [
        "dataset_sink_mode",
        "loss_scale",
    ]
    for features, named in (((True, "O0"), "distribute: 'True'"), ((False, "O2"), "amp_level: 'O2'")):
        distribute, amp_level = features
        path = recipe(MINDCV_KEYS.format(distribute=distribute, amp_level=amp_level, **names))
        with pytest.raises(ValueError, match=rf"recipe.yaml, line \d+: {named} is not available in this version"):
            train("-c", path)


@pytest.mark.parametrize("key", config.UNAVAILABLE)
def test_a_missing_feature_is_accepted_while_off_and_named_otherwise(key, recipe):
    off_values, _ = config.UNAVAILABLE[key]
    for off in off_values:
        assert not train("-c", recipe(f"{key}: {off}")).notices
        assert not train(CIFAR, f"--{key}={off}").notices
    with pytest.raises(ValueError, match=rf"line 1: {key}: 'on-7' is not available .* set it to \w+$"):
        train("-c", recipe(f"{key}: on-7"))
    with pytest.raises(ValueError, match=rf"command line: {key}: 'true' is not available"):
        train(CIFAR, f"--{key}") if off_values != (0, 1) else train(CIFAR, f"{key}=true")


def test_the_command_line_turns_a_missing_feature_of_a_recipe_off(recipe):
    path = recipe("distribute: True\namp_level: O2\nseed: 3\n")
    cfg = train("-c", path, "--distribute=False", "--amp_level", "O0")
    assert cfg.runtime.seed == 3
    assert set(cfg.sources) == set(OPTIONS)
    with pytest.raises(ValueError, match="line 2: amp_level"):
        train("-c", path, "--no-distribute")
    with pytest.raises(ValueError, match=r"line 1: distribute: .*\n.*line 2: amp_level"):
        train("-c", path)
    with pytest.raises(ValueError, match="ema is given twice, as true and as false"):
        train(CIFAR, "--ema", "--ema=false")


@pytest.mark.parametrize("text", ["auto_augment: ''", "auto_augment:", "mixup: 0.0", "ema: no", "cycle_decay: 1.0"])
def test_off_has_more_than_one_spelling(text, recipe):
    assert not train("-c", recipe(text)).notices


def test_mindcv_top_k_policy_is_refused(recipe):
    with pytest.raises(ValueError, match="ckpt_save_policy: 'top_k' is not available"):
        train("-c", recipe("ckpt_save_policy: top_k"))


# Help, page, start-up time


@pytest.mark.parametrize("prog", config.SCRIPTS)
@pytest.mark.parametrize("columns", ["80", "100"])
def test_help_lists_what_the_script_uses_and_fits_the_terminal(prog, columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    with pytest.raises(SystemExit) as stop:
        load_config(["--seed=1", "--help"], prog=prog)
    assert stop.value.code == 0
    text = capsys.readouterr().out
    listed = set(re.findall(r"^  --(\w+)", text, re.MULTILINE)) - {"version", "list_models"}
    assert listed == {name for name, o in OPTIONS.items() if prog in o.scripts}
    assert text.index(f"python {prog}.py") < text.index("--seed")
    assert max(map(len, text.splitlines())) <= int(columns)
    for line in re.findall(rf"^  python {prog}\.py(.*)", text, re.MULTILINE):
        load_config(line.split(), prog=prog)


def test_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit):
        train("--version")
    assert f'"{capsys.readouterr().out.strip()}"' in (ROOT / "mindcv/version.py").read_text(encoding="utf-8")


def test_the_committed_page_is_current():
    page = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    assert page == config.reference_page(), "run: python config.py > docs/configuration.md"


def test_the_readme_of_the_recipes_names_only_files_that_exist():
    text = (ROOT / "configs/README.md").read_text(encoding="utf-8")
    for path in re.findall(r"\]\((\S+)\)", text):
        assert (ROOT / "configs" / path).exists(), path


def test_importing_config_imports_neither_mindspore_nor_numpy():
    code = "import sys, config; config.load_config([], prog='train'); print({'mindspore', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# run_script


def _raise(error):
    raise error


@pytest.mark.parametrize(
    ("main", "argv", "code", "stderr"),
    [
        (lambda argv: None, [], 0, ""),
        (lambda argv: "a result", [], 0, ""),
        (lambda argv: _raise(ValueError("lr: bad")), [], 2, "error: lr: bad\n"),
        (lambda argv: _raise(ValueError("lr: bad")), ["--debug=false"], 2, "error: lr: bad\n"),
        (lambda argv: _raise(ValueError("lr: bad")), ["--debug", "off"], 2, "error: lr: bad\n"),
        (lambda argv: _raise(FileNotFoundError(2, "No such file", "x")), [], 2, "error: [Errno 2] No such file: 'x'\n"),
        (lambda argv: _raise(KeyboardInterrupt()), [], 130, "interrupted\n"),
    ],
)
def test_run_script_turns_mistakes_into_sentences_and_exit_codes(main, argv, code, stderr, capsys):
    with pytest.raises(SystemExit) as stop:
        run_script(main, argv)
    assert (stop.value.code, capsys.readouterr().err) == (code, stderr)


@pytest.mark.parametrize("argv", [["--debug"], ["debug=true"], ["--debug", "--lr=1"], ["--debug=1"], ["--debug", "on"]])
def test_run_script_shows_the_traceback_with_debug(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        run_script(lambda argv: _raise(ValueError("lr: bad")), argv)
    assert stop.value.code == 2
    assert "Traceback" in capsys.readouterr().err


def test_run_script_does_not_hide_our_own_mistakes():
    with pytest.raises(ZeroDivisionError):
        run_script(lambda argv: 1 / 0, [])


# Fuzz: a Config, a ValueError or SystemExit, nothing else

_names = st.sampled_from([*config.ALL_NAMES, "config", "base", "help", "c", "x"])
_values = st.sampled_from(["1", "0.5", "-1", "true", "none", "", "0.1,1", "[", "(1,2)", "1e-4", "9" * 400, "O2"])
_tokens = st.builds(
    "{}{}{}{}".format, st.sampled_from(["", "-", "--", "--no-"]), _names, st.sampled_from(["", "="]), _values
)


@settings(deadline=None, max_examples=200)
@given(st.lists(_tokens | _values | st.text(), max_size=6), st.sampled_from(config.SCRIPTS))
@example(["--config", "\0"], "train")
@example(["-"], "train")
def test_any_command_line_gives_a_config_or_a_sentence(argv, prog):
    try:
        assert isinstance(load_config(argv, prog=prog), config.Config)
    except ValueError as error:
        assert str(error)
    except SystemExit:
        pass


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text()
    | st.lists(st.builds("{}{} {}".format, _names, st.sampled_from([":", ": ", "=", ""]), _values | st.text())).map(
        "\n".join
    )
    | st.dictionaries(_names, st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists)).map(
        yaml.dump
    )
)
@example("%YAML " + "9" * 5000 + ".1\n---\na: 1")
@example('a: "\\UFFFFFFFF"')
@example("lr: !!timestamp x")
def test_any_yaml_gives_a_config_or_a_sentence(tmp_path, text):
    path = tmp_path / "fuzz.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        assert isinstance(train("-c", os.fspath(path)), config.Config)
    except ValueError as error:
        assert str(error)


def test_another_optimizer_on_the_command_line_turns_the_recipes_nesterov_off():
    config = load_config(["--opt=adamw"], prog="train")  # the digits preset uses momentum with Nesterov
    assert config.optim.use_nesterov is False
    assert any("use_nesterov" in notice and "adamw" in notice for notice in config.notices)
    with pytest.raises(ValueError, match="use_nesterov"):
        load_config(["--opt=adamw", "--use_nesterov"], prog="train")
