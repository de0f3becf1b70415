"""The command line: how words are interpreted, and the spelling that error messages suggest."""

import os
from pathlib import Path

import pytest
from config_lines import CIFAR, flat, train

from config import OPTIONS, load_config
from mindcv.options.other_names import OTHER_NAMES


def infer(*argv):
    return load_config(argv, prog="infer")


@pytest.mark.parametrize(
    ("argv", "key", "value"),
    [
        (["--opt", "momentum"], "opt", "momentum"),
        (["--ckpt_save_dir", "output"], "ckpt_save_dir", "output"),
        (["--data_dir", "data_dir"], "data_dir", "data_dir"),
        (["--auto_augment", "model", "--seed=3"], "auto_augment", "model"),
        (["--resume", "train"], "resume", "train"),
        (["--data_dir", "a=b"], "data_dir", "a=b"),
    ],
)
def test_a_bare_word_is_a_value_even_if_it_is_an_options_name(argv, key, value):
    assert flat(CIFAR, *argv)[key] == value


@pytest.mark.parametrize("following", ["lr=1", "--lr=1", "-c", "num-classes=3"])
def test_a_setting_after_an_option_without_value_is_not_its_value(following):
    with pytest.raises(ValueError, match="--ckpt_save_dir needs a value"):
        train("--ckpt_save_dir", following)


@pytest.mark.parametrize(
    ("argv", "images"),
    [
        (["--images", "images"], ("images",)),
        (["--images", "a/1.png", "a/2.png"], ("a/1.png", "a/2.png")),
        (["--images", "my photos/a, b.png", "x=1.png", "--topk=2"], ("my photos/a, b.png", "x=1.png")),
        (["--images=my photos/[ab].png"], ("my photos/[ab].png",)),
        (["--images", "a.png", "output=b.csv"], ("a.png",)),
    ],
)
def test_each_word_is_one_image_path(argv, images):
    assert infer(*argv).files.images == images


def test_a_recipe_lists_paths(recipe):
    assert infer("-c", recipe("images: [a b.png, c.png]")).files.images == ("a b.png", "c.png")
    assert infer("-c", recipe("images: a b.png")).files.images == ("a b.png",)


@pytest.mark.parametrize(
    ("prog", "argv", "spelling"),
    [
        ("infer", ["photo.png"], "--images=photo.png"),
        ("infer", ["PHOTO.JPG"], "--images=PHOTO.JPG"),
        ("infer", ["."], "--images=."),
        ("infer", ["--images=a.png", "b.png"], "List several as separate words: --images one b.png"),
        ("infer", ["--image_path", "a.png"], "'--image_path'; here it is --images=a.png"),
        ("infer", ["--image-path=a.png"], "here it is --images=a.png"),
        ("validate", ["ckpt/x.ckpt"], "--ckpt_path=ckpt/x.ckpt"),
        ("validate", ["x.onnx"], "--ckpt_path=x.onnx"),
        ("export", ["x.ckpt"], "--ckpt_path=x.ckpt"),
        ("export", ["--ckpt_path=x.ckpt", "y.onnx"], "--output=y.onnx"),
        ("convert", ["--ckpt_path=x.pth", "y.ckpt"], "--output=y.ckpt"),
        ("train", ["recipe.yaml"], "--config=recipe.yaml"),
        ("train", ["."], "--data_dir=."),
        ("train", ["-b", "64"], "'-b'; here it is --batch_size=64"),
        ("train", ["-b=64"], "here it is --batch_size=64"),
        ("train", ["-j", "4"], "here it is --num_parallel_workers=4"),
        ("train", ["--epochs", "3"], "here it is --epoch_size=3"),
        ("train", ["epochs=3"], "'epochs'; here it is --epoch_size=3"),
        ("train", ["--workers"], "here it is --num_parallel_workers=..."),
        ("train", ["-x", "3"], "unknown flag '-x'. The only short flags are -c and -h"),
        ("train", ["-b64"], "'-b'; here it is --batch_size=64"),
        ("train", ["-x64"], "unknown flag '-x64'"),
        ("infer", ["--images=a", "--images=b"], "given twice, as a and as b; several follow one flag: --images A B"),
    ],
)
def test_spellings_of_other_tools_are_errors_that_name_the_right_one(prog, argv, spelling):
    with pytest.raises(ValueError) as error:
        load_config(argv, prog=prog)
    assert spelling in str(error.value)


def test_names_of_other_tools_map_to_options_and_are_not_options():
    assert set(OTHER_NAMES.values()) <= set(OPTIONS)
    assert not set(OTHER_NAMES) & set(OPTIONS)


# Paths

PATHS = [name for name, o in OPTIONS.items() if o.is_path]


def test_the_options_that_are_paths():
    others = ["images", "output", "report", "confusion_matrix", "average", "peer_python", "out"]
    assert ["data_dir", "ckpt_path", "plot_schedule", "ckpt_save_dir", "show_augment", "resume", *others] == PATHS


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return str(tmp_path / "home")


def values_of(key, cfg):
    value = cfg.to_dict()[key]
    return value[0] if isinstance(value, tuple) else value


@pytest.mark.parametrize("key", PATHS)
def test_a_tilde_is_the_home_folder_in_every_path_from_any_source(key, home, recipe):
    prog = OPTIONS[key].scripts[0]
    for written, meant in (("~/x", f"{home}/x"), ("~root/x", os.path.expanduser("~root/x")), ("./~/x", "./~/x")):
        for cfg in (
            load_config([f"--{key}={written}", CIFAR][: 2 if prog == "train" else 1], prog=prog),
            load_config([f"--{key}", written], prog=prog),
            load_config(["-c", recipe(f"{key}: {written}")], prog=prog),
            load_config([], prog=prog).inherit({key: written}),
        ):
            assert values_of(key, cfg) == meant


def test_an_unknown_users_home_is_an_error_not_a_folder_of_that_name():
    with pytest.raises(ValueError, match=r"ckpt_save_dir: there is no user 'nobody-here'.*write \./~"):
        train("--ckpt_save_dir=~nobody-here/x")


def test_a_tilde_is_the_home_folder_for_recipes_and_their_bases(home, recipe):
    recipe("seed: 5", "home/base.yaml")
    recipe("base: ~/base.yaml\n", "home/recipe.yaml")
    for argv in (["-c=~/recipe.yaml"], ["--config=~/recipe.yaml"], ["-c", "~/recipe.yaml"]):
        assert train(*argv).runtime.seed == 5


def test_a_dollar_sign_is_part_of_a_name(monkeypatch):
    monkeypatch.setenv("DATA", "/elsewhere")
    assert train("--data_dir=$DATA/x").data.data_dir == "$DATA/x"


def test_a_name_that_is_not_a_path_keeps_its_tilde(recipe):
    assert Path(train("-c", recipe("val_split: ~x")).data.val_split) == Path("~x")
