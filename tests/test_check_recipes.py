"""Recipes with MindCV's keys are accepted and train; tools/check_recipes.py counts what is refused in a folder."""

import check_recipes
import pytest
from mindcv_recipes import FAMILIES, KINDS
from tiers import full

import train
from config import load_config
from mindcv.checkpoint import read_checkpoint


@pytest.mark.parametrize("name", [*FAMILIES, *KINDS])
def test_a_recipe_is_accepted_unchanged(name, recipe, tmp_path):
    recipe({**FAMILIES, **KINDS}[name])
    reading = check_recipes.read(tmp_path / "recipe.yaml")
    assert reading.is_ours
    assert not reading.refusals


def test_distribute_is_remarked(recipe):
    cfg = load_config(["-c", recipe(FAMILIES["resnet"]), "--amp_level=O0"], prog="train")
    assert any(
        "distribute has no effect here: --processes=N or msrun starts several processes" in notice
        for notice in cfg.notices
    )


@pytest.mark.parametrize("family", full(FAMILIES, by_default=["senet"]))
def test_a_recipe_trains(family, recipe, tmp_path, capsys):
    line = ["-c", recipe(FAMILIES[family]), "--mode=1", "--dataset=synthetic", "--num_samples=16"]
    line += ["--epoch_size=1", "--warmup_epochs=0", f"--ckpt_save_dir={tmp_path / 'run'}", "--amp_level=O0"]
    train.main(line)
    (last,) = (tmp_path / "run").glob("*-last.ckpt")
    used = read_checkpoint(last).info["config"]
    assert (used["momentum"], used["label_smoothing"], used["hflip"]) == (0.8, 0.05, 0.5)
    assert "distribute has no effect here" in capsys.readouterr().out


def test_refusals_are_counted_by_key_and_value(recipe, tmp_path, capsys):
    recipe("model: skresnet18\ndataset: cifar10\ndistribute: True", "a/good.yaml")
    recipe("model: skresnet18\nloss: XE\nmomentum: 2\nspeed: 1", "a/bad.yaml")
    recipe("model: vit_b_32_224\nloss: XE", "a/b/other.yaml")
    recipe("model: resnet18\nloss: hinge\nepoch_size: 3\nmin_lr: 1\nlr: 0.1", "a/b/worse.yaml")
    assert check_recipes.main([str(tmp_path / "a")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "4 recipes: 1 are accepted unchanged",
        "3 of them for networks of this package: 1 are accepted unchanged",
    ]
    assert set(lines[5:]) == {
        "| loss | 3 | XE 2, hinge 1 |",
        "| momentum | 1 | 2 1 |",
        "| speed | 1 | 1 1 |",
        "| model | 1 | vit_b_32_224 1 |",
    }
    assert lines[5] == "| loss | 3 | XE 2, hinge 1 |"


def test_flags_override_the_recipes_and_a_contradiction_is_shown(recipe, tmp_path, capsys):
    recipe("model: resnet18\namp_cast_list: conv\nmin_lr: 1\nlr: 0.1", "a/one.yaml")
    assert check_recipes.main([str(tmp_path / "a"), "--messages", "--amp_cast_list=none"]) == 1
    out = capsys.readouterr().out
    assert "| several keys together | 1 |" in out
    assert "min_lr=1.0" in out
    assert check_recipes.main([str(tmp_path / "a"), "--amp_cast_list=none", "--min_lr=0"]) == 0
    with pytest.raises(SystemExit):
        check_recipes.main([str(tmp_path / "nothing")])
