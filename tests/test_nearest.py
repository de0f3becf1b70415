"""Suggestions for mistyped names: near ones only."""

import re
from pathlib import Path

import pytest

import mindcv
from mindcv.models import list_models
from mindcv.nearest import did_you_mean, nearest

ROOT = Path(mindcv.__file__).parent.parent
LOSSES, OPTIMIZERS = ["CE", "JSD", "focal"], ["sgd", "momentum", "adam", "adamw"]
OPTIONS = ["lr", "opt", "loss", "epoch_size", "batch_size", "image_resize", "multi_step_decay_milestones", "ema"]


@pytest.mark.parametrize(
    ("word", "names", "expected"),
    [
        ("adma", OPTIMIZERS, ["adam"]),
        ("ADAMWW", OPTIMIZERS, ["adamw"]),
        ("momentun", OPTIMIZERS, ["momentum"]),
        ("epcoh_size", OPTIONS, ["epoch_size"]),
        ("image_size", OPTIONS, ["image_resize"]),
        ("epochs", OPTIONS, ["epoch_size"]),
        ("milestones", OPTIONS, ["multi_step_decay_milestones"]),
        ("sknet5O", list_models(), ["sknet50"]),
        ("resnext50-32x4d", list_models(), ["resnext50_32x4d"]),
        ("SKNET50", list_models(), ["sknet50"]),
        ("skresnet", list_models(), ["skresnet18", "skresnet34", "skresnet50"]),
    ],
)
def test_a_typo_or_a_part_of_a_name_finds_it(word, names, expected):
    assert nearest(word, names) == expected


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("BCE", LOSSES),
        ("l1", ["lr"]),
        ("lion", OPTIMIZERS),
        ("rmsprop", OPTIMIZERS),
        ("densenet121", list_models()),
        ("vgg16", list_models()),
        ("mobilenet_v3", list_models()),
        ("convnext_tiny", list_models()),
        ("flowers", ["cifar10", "cifar100", "mnist", "digits", "synthetic"]),
        ("", ["sgd"]),
        ("x" * 100_000, ["sgd"]),
    ],
)
def test_a_different_word_has_no_suggestion(word, names):
    assert nearest(word, names) == []
    assert did_you_mean(word, names) == ""


def test_the_sentence_quotes_the_names():
    assert did_you_mean("adma", OPTIMIZERS) == " Did you mean 'adam'?"


def test_no_module_uses_difflib_for_suggestions():
    paths = [*ROOT.glob("*.py"), *(ROOT / "mindcv").rglob("*.py")]
    assert not [path for path in paths if re.search(r"difflib|get_close_matches", path.read_text(encoding="utf-8"))]


def test_a_part_of_a_file_name_is_not_a_suggestion():
    assert did_you_mean("data", ["assemble_data.py", "photos/"], parts=False) == ""
    assert did_you_mean("photso", ["assemble_data.py", "photos/"], parts=False) == " Did you mean 'photos/'?"
