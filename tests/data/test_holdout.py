"""One folder per class without train and val: the division is stratified, reproducible and stable."""

import math
from pathlib import Path

import fixtures_data
import pytest

from mindcv.data import create_dataset, default_splits
from mindcv.data.holdout import Holdout


@pytest.fixture
def flat(tmp_path):
    """Folders `flat/<class>` of 10, 5 and 2 images."""
    for name, count in (("a", 10), ("b", 5), ("c", 2)):
        fixtures_data.write_image_folder(tmp_path, "flat", [name], count)
    return tmp_path / "flat"


def paths(dataset) -> list[str]:
    return [dataset.where(i) for i in range(len(dataset))]


def both(root, **options):
    train = create_dataset("x", root, "train", **options)
    return train, create_dataset("x", root, "val", class_names=train.class_names, held_out=train.held_out)


def counts(dataset) -> list[int]:
    return [int((dataset.labels == k).sum()) for k in range(len(dataset.class_names))]


def test_the_division_is_stratified_disjoint_and_complete(flat):
    train, val = both(flat)
    assert (counts(train), counts(val)) == ([8, 4, 1], [2, 1, 1])
    assert not set(paths(train)) & set(paths(val))
    assert sorted(paths(train) + paths(val)) == sorted(map(str, flat.rglob("*.png")))


@pytest.mark.parametrize(("fraction", "held"), [(0.5, [5, 2, 1]), (0.01, [1, 1, 1]), (0.99, [9, 4, 1])])
def test_every_class_has_an_image_on_both_sides(fraction, held, flat):
    train, val = both(flat, val_fraction=fraction)
    assert counts(val) == held and counts(train) == [10 - held[0], 5 - held[1], 2 - held[2]]


def test_the_division_depends_on_names_and_seed_only(flat, tmp_path):
    first = paths(create_dataset("x", flat, "val"))
    assert paths(create_dataset("x", flat, "val")) == first
    assert paths(create_dataset("x", flat, "val", seed=1)) != first
    flat.rename(tmp_path / "moved")
    moved = paths(create_dataset("y", tmp_path / "moved", "val"))
    assert moved == [path.replace("/flat/", "/moved/") for path in first]


def test_adding_or_removing_images_moves_no_other_image(flat):
    train, val = both(flat)
    for number in range(40):
        (flat / "a" / f"new{number}.png").write_bytes((flat / "a" / "000.png").read_bytes())
    (flat / "b" / Path(paths(val)[2]).name).unlink()
    options = {"held_out": train.held_out}
    later_train, later_val = (create_dataset("x", flat, split, **options) for split in ("train", "val"))
    assert set(paths(train)) <= set(paths(later_train))
    assert not set(paths(train)) & set(paths(later_val))
    assert len(later_train) + len(later_val) == 56


def test_the_choice_survives_json(flat):
    import json

    train, val = both(flat)
    held_out = json.loads(json.dumps(train.held_out))
    assert paths(create_dataset("x", flat, "val", held_out=held_out)) == paths(val)


def test_a_class_added_later_is_divided_too(flat, tmp_path):
    train, _ = both(flat)
    fixtures_data.write_image_folder(tmp_path, "flat", ["d"], 5)
    assert counts(create_dataset("x", flat, "train", held_out=train.held_out)) == [8, 4, 1, 4]


def test_a_class_of_one_image_is_an_error(flat, tmp_path):
    fixtures_data.write_image_folder(tmp_path, "flat", ["one"], 1)
    with pytest.raises(ValueError, match="class 'one' has a single image"):
        create_dataset("x", flat)


def test_the_division_is_reported(flat):
    train, val = both(flat)
    line = f"{flat} (3 classes, 'a', 'b', 'c') is not divided into train and val: 13 images to train, 4 held out"
    assert train.remarks == val.remarks == [f"{line} to validate (val_fraction=0.2, seed=42)"]


def test_everything_may_be_held_out_for_validation_but_not_for_training(flat):
    dataset = create_dataset("x", flat, "val", val_fraction=1.0)
    assert len(dataset) == 17 and "all 17 images are used to validate" in dataset.remarks[0]
    with pytest.raises(ValueError, match="val_fraction=1, seed=42 leaves no image"):
        create_dataset("x", flat, val_fraction=1.0)
    for fraction in (0.0, 1.5, math.nan):
        with pytest.raises(ValueError, match=r"val_fraction must be a number in \(0, 1\]"):
            create_dataset("x", flat, val_fraction=fraction)


def test_requested_splits_may_have_any_name(tmp_path):
    for split in ("2012", "2013"):
        fixtures_data.write_image_folder(tmp_path, split, ["a", "b"], 3)
    assert create_dataset("x", tmp_path, "2013").class_names == ("a", "b")


def test_an_undivided_folder_has_no_other_split(flat):
    with pytest.raises(ValueError, match="has no split 'test'; it has 'train' and 'val'"):
        create_dataset("x", flat, "test")


def test_a_folder_with_train_only_is_divided_if_a_fraction_is_given(tmp_path):
    fixtures_data.write_image_folder(tmp_path, "train", ["a", "b"], 10)
    assert len(create_dataset("x", tmp_path)) == 20
    with pytest.raises(ValueError, match=r"(?s)has no folder .val. for that split.*--val_fraction=0.2 holds out"):
        create_dataset("x", tmp_path, "val")
    train, val = both(tmp_path, val_fraction=0.2)
    assert (len(train), len(val)) == (16, 4)


def test_a_fraction_has_no_effect_beside_split_folders_and_is_reported(tmp_path):
    for split in ("train", "val"):
        fixtures_data.write_image_folder(tmp_path, split, ["a", "b"], 4)
    train, val = (create_dataset("x", tmp_path, split, val_fraction=0.5) for split in ("train", "val"))
    assert (len(train), len(val)) == (8, 8)
    assert train.remarks == val.remarks == [f"{tmp_path} has folders for its splits: val_fraction has no effect"]


def test_the_undivided_folder_may_be_below_the_data_sets_name(flat):
    assert len(create_dataset("flat", flat.parent)) == 13


@pytest.mark.parametrize("splits", [["Train", "Val"], ["training_set", "test_set"], ["flowers/train", "pets/train"]])
def test_other_split_names_and_neighbouring_data_sets_are_not_classes(splits, tmp_path):
    for split in splits:
        fixtures_data.write_image_folder(tmp_path, split, ["a", "b"], 3)
    with pytest.raises(ValueError, match="has no folder 'train'"):
        create_dataset("x", tmp_path)


def test_a_class_may_be_called_train(tmp_path):
    fixtures_data.write_image_folder(tmp_path, "vehicles", ["bus", "train"], 5)
    assert create_dataset("x", tmp_path / "vehicles").class_names == ("bus", "train")


def test_another_folder_is_used_if_there_is_no_val(tmp_path):
    for split in ("train", "test"):
        fixtures_data.write_image_folder(tmp_path, split, ["a", "b"], 1)
    assert default_splits("x", tmp_path) == ("train", "test")
    assert default_splits("x") == ("train", "val")
    fixtures_data.write_image_folder(tmp_path, "val", ["a", "b"], 1)
    assert default_splits("x", tmp_path) == ("train", "val")


def test_an_accent_in_either_encoding_keeps_its_part():
    composed, decomposed = "M\u00f6we", "Mo\u0308we"
    images = {composed: [f"{composed}{k}.jpg" for k in range(10)]}
    holdout = Holdout.choose(images, 0.5, 0)
    for image in images[composed]:
        other = image.replace(composed, decomposed)
        assert holdout.holds(composed, image) == holdout.holds(decomposed, other)
