"""Cross-validation: every image is in exactly one fold, classes are divided evenly, images keep their fold."""

import json

import fixtures_data
import numpy as np
import pytest

from mindcv.data import create_dataset
from mindcv.data.holdout import Fold

COUNTS = {"a": 13, "b": 5, "c": 2}


@pytest.fixture
def flat(tmp_path):
    for name, count in COUNTS.items():
        fixtures_data.write_image_folder(tmp_path, "flat", [name], count)
    return tmp_path / "flat"


def places(dataset) -> list[str]:
    return [dataset.where(i) for i in range(len(dataset))]


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_each_image_is_held_out_once_and_trained_on_in_all_other_folds(folds, flat):
    held = []
    for fold in range(folds):
        train, val = (create_dataset("x", flat, split, folds=folds, fold=fold) for split in ("train", "val"))
        assert not set(places(train)) & set(places(val)) and len(train) + len(val) == 20
        counts = np.bincount(val.labels, minlength=3)
        assert all(abs(counts[k] - count / folds) < 1 for k, count in enumerate(COUNTS.values()))
        assert np.bincount(train.labels, minlength=3).all()
        held += places(val)
    assert sorted(held) == sorted(map(str, flat.rglob("*.png")))


def test_a_fold_is_repeated_from_what_a_checkpoint_holds(flat):
    train = create_dataset("x", flat, "train", folds=3, fold=1)
    val = create_dataset("x", flat, "val", folds=3, fold=1)
    held_out = json.loads(json.dumps(train.held_out))
    assert {key: held_out[key] for key in ("folds", "fold", "seed")} == {"folds": 3, "fold": 1, "seed": 42}
    assert places(create_dataset("x", flat, "val", held_out=held_out)) == places(val)
    before = set(places(train))
    for number in range(30):
        (flat / "a" / f"new{number}.png").write_bytes((flat / "a" / "000.png").read_bytes())
    later_train, later_val = (create_dataset("x", flat, split, held_out=held_out) for split in ("train", "val"))
    assert before <= set(places(later_train)) and not before & set(places(later_val))
    assert len(later_train) + len(later_val) == 50


def test_the_division_depends_on_names_and_seed_only(flat, tmp_path):
    first = places(create_dataset("x", flat, "val", folds=3, fold=2))
    assert places(create_dataset("x", flat, "val", folds=3, fold=2, seed=1)) != first
    flat.rename(tmp_path / "moved")
    moved = places(create_dataset("y", tmp_path / "moved", "val", folds=3, fold=2))
    assert moved == [path.replace("/flat/", "/moved/") for path in first]


def test_only_the_training_split_is_divided(tmp_path):
    for split, count in (("train", 6), ("val", 3)):
        fixtures_data.write_image_folder(tmp_path, split, ["a", "b"], count)
    train, val = (create_dataset("x", tmp_path, split, folds=3, fold=0) for split in ("train", "val"))
    assert (len(train), len(val)) == (8, 4)
    assert all("/train/" in place for place in [*places(train), *places(val)])
    (remark,) = train.remarks
    assert remark == val.remarks[0]
    assert remark.startswith(f"{tmp_path} (2 classes, 'a', 'b') is divided into 3 folds: 8 images to train, 4 held out")
    assert remark.endswith("(fold=0 of folds=3, seed=42)")


def test_every_data_set_has_folds():
    parts = [create_dataset("digits", split="val", folds=5, fold=fold) for fold in range(5)]
    assert parts[0].remarks[0].startswith("the digits (10 classes")  # in no folder
    whole = create_dataset("digits")
    assert sorted(place for part in parts for place in places(part)) == sorted(places(whole))
    assert all(abs(np.bincount(part.labels) - np.bincount(whole.labels) / 5).max() < 1 for part in parts)
    few = create_dataset("digits", split="train", folds=5, fold=0, num_samples=100)
    assert len(few) == 100 and not set(places(few)) & set(places(parts[0]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": 1}, "folds must be a number >= 2; got 1"),
        ({"folds": 3, "fold": 3}, "fold must be from 0 to folds - 1 = 2; got 3"),
        ({"folds": 3, "fold": -1}, "fold must be a number >= 0; got -1"),
        ({"folds": 3, "split": "test"}, "has no split 'test'; it has 'train' and 'val'"),
    ],
)
def test_an_impossible_fold_is_an_error(options, message, flat):
    with pytest.raises(ValueError, match=message):
        create_dataset("x", flat, **options)


def test_a_class_of_one_image_is_an_error_and_one_without_limits_is_held_out(flat, tmp_path):
    fold = Fold.choose({"a": ["1", "2"]}, 2, 0, seed=0)
    assert fold.holds("a", "1") != fold.holds("a", "2") and fold.holds("later", "1")
    fixtures_data.write_image_folder(tmp_path, "flat", ["one"], 1)
    with pytest.raises(ValueError, match="class 'one' has a single image"):
        create_dataset("x", flat, folds=2)
