"""config.py: schema, precedence, saving, the digits preset, and arbitrary text."""

import dataclasses
import os
import re
from pathlib import Path

import pytest
import yaml
from config_lines import CIFAR, flat, train
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import config
from config import OPTIONS, load_config
from mindcv.options.option import NONE

ROOT = Path(config.__file__).parent
RECIPES = sorted((ROOT / "configs").rglob("*.yaml"))


# Schema


def test_defaults_are_those_of_the_schema_and_are_legal_values():
    values = flat(CIFAR)
    assert values.pop("dataset") == "cifar10"
    assert values == {name: o.default for name, o in OPTIONS.items() if name != "dataset"}
    for o in OPTIONS.values():
        assert o.parse(o.default, "here") == o.default


def test_option_names_are_unique_and_differ_from_mindcvs_other_keys():
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
    cfg = train("-c", path, "--batch_size=5").inherit({"lr": 0.2, "seed": 2, "batch_size": 2, "momentum": 0.2})
    got = (cfg.optim.weight_decay, cfg.optim.momentum, cfg.schedule.lr, cfg.runtime.seed, cfg.data.batch_size)
    assert got == (1e-4, 0.2, 0.3, 4, 5)


def test_sources_and_given_report_where_a_value_came_from(recipe):
    base = recipe("lr: 0.3\n", "base.yaml")
    path = recipe("base: base.yaml\nseed: 4\n")
    cfg = train("-c", path, "mode=1").inherit({"momentum": 0.2, "lr": 0.2}, "a.ckpt")
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


# Saving


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_loads_and_is_saved_and_read_back_unchanged(path, tmp_path):
    cfg = train("-c", str(path))
    assert not cfg.notices
    cfg.save(tmp_path / "new" / "config.yaml")
    assert train("-c", str(tmp_path / "new" / "config.yaml")) == cfg


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_states_its_command_and_differs_from_its_base(path):
    text = path.read_text(encoding="utf-8")
    if not path.name.startswith("base_"):
        assert re.search(r"python train\.py( -c (\S+))?", text)[2] in (None, path.relative_to(ROOT).as_posix())
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
            "data_dir": st.text(min_size=1).filter(lambda t: t[0] != "~"),
            "ckpt_path": st.text().filter(lambda t: t[:1] != "~"),
            "val_split": st.none() | st.text(min_size=1).filter(lambda t: t.strip().lower() not in NONE),
            "lr": st.floats(1e-300, 1e300),
            "seed": st.integers(0, 2**32 - 1),
            "color_jitter": st.none() | st.floats(0, 1) | st.tuples(*[st.floats(0, 1e9)] * 3),
            "decay_epochs": st.none() | st.integers(1, 2**53) | st.floats(1e-9, 1e9),  # 2**53: exact as a float
        },
    )
)
@example({"data_dir": "none", "ckpt_path": "./~", "val_split": " 1e5: # [", "lr": 1e-5})
def test_saving_keeps_every_value(tmp_path, values):
    cfg = train(CIFAR).inherit(values)
    assert {key: cfg.to_dict()[key] for key in values} == values
    cfg.save(tmp_path / "config.yaml")
    assert train("-c", str(tmp_path / "config.yaml")) == cfg


# The digits preset


def test_without_data_set_the_digits_preset_is_used_below_the_command_line():
    cfg = train("--epoch_size=2")
    assert (cfg.data.dataset, cfg.image.image_resize, cfg.train.epoch_size) == ("digits", 32, 2)
    assert cfg.notices == (
        "no --dataset given: training on scikit-learn's digits, preset configs/sknet/sknet50_digits.yaml",
    )
    assert cfg.sources["image_resize"] == "configs/sknet/sknet50_digits.yaml"


@pytest.mark.parametrize("spelling", [["--dataset=digits"], ["--dataset", "digits"], ["dataset=digits"]])
def test_naming_digits_uses_and_reports_the_preset(spelling):
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
        train().inherit({"dataset": "mnist"}),
        load_config([], prog="validate").inherit({"model": "sknet50"}),
        load_config(["--dataset=digits"], prog="validate").inherit({"image_resize": 224}),
    ):
        assert cfg.image.image_resize == 224
        assert not cfg.notices


# validate.py


def test_validate_takes_training_keys_from_files_and_checkpoints(recipe):
    path = recipe("lr: 0.5\nopt: adam\nema: True\nmixup: 0.2\nlog_interval: 3\ndataset: mnist\n")
    cfg = load_config(["-c", path], prog="validate").inherit({"epoch_size": 3, "warmup_epochs": 3})
    assert (cfg.schedule.lr, cfg.optim.opt, cfg.train.epoch_size, cfg.data.dataset) == (0.5, "adam", 3, "mnist")
    assert not cfg.notices


@pytest.mark.parametrize("flag", ["--lr=0.1", "lr=0.1", "--no-shuffle", "--epoch_size=3", "--hflip=0"])
def test_validate_rejects_training_flags(flag):
    with pytest.raises(ValueError, match=r"belongs to train\.py"):
        load_config([flag], prog="validate")


def test_validate_rejects_illegal_values_and_unsupported_settings_that_affect_it(recipe):
    for text, message in (("lr: x", "lr: 'x'"), ("lrr: 1", "unknown key"), ("eval_shuffle: true", "not available")):
        with pytest.raises(ValueError, match=message):
            load_config(["-c", recipe(text)], prog="validate")


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
def test_any_command_line_gives_a_config_or_a_one_line_error(argv, prog):
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
def test_any_yaml_gives_a_config_or_a_one_line_error(tmp_path, text):
    path = tmp_path / "fuzz.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        assert isinstance(train("-c", os.fspath(path)), config.Config)
    except ValueError as error:
        assert str(error)
