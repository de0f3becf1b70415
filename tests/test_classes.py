"""Classes are matched by name: in validation, resuming and fine-tuning, in every script."""

import fixtures_data
import numpy as np
import pytest
from script_runs import fails, small_run

import train
import validate
from mindcv.checkpoint import read_checkpoint
from mindcv.data import UnknownClassError, create_dataset
from mindcv.script import run_script


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes class folders: `write("train", "abc")`."""
    monkeypatch.chdir(tmp_path)
    return lambda split, classes, count=8: fixtures_data.write_image_folder(
        tmp_path / "mine", split, list(classes), count
    )


def line(*extra) -> list[str]:
    usual = {"dataset": "mine", "data_dir": "mine", "mode": 1, "num_samples": "none", "batch_size": 8, "epoch_size": 1}
    usual |= dict(word.removeprefix("--").partition("=")[::2] for word in extra)
    return small_run("out", *(f"--{key}={value}".rstrip("=") for key, value in usual.items()))


def names_of(dataset) -> list[str]:
    """The class of every example by its folder's name, from its label."""
    assert [dataset.class_names[k] for k in dataset.labels] == [
        dataset.where(i).split("/")[-2] for i in range(len(dataset))
    ]
    return sorted({dataset.class_names[label] for label in dataset.labels})


# create_dataset


def test_folders_are_labelled_by_the_classes_given(write):
    write("val", "bc", 2)
    dataset = create_dataset("mine", "mine", "val", class_names=["c", "a", "b"])
    assert dataset.class_names == ("c", "a", "b") and dataset.labels.tolist() == [2, 2, 0, 0]
    assert names_of(dataset) == ["b", "c"]
    assert dataset.remarks == ["1 of 3 classes have no image in split 'val' of 'mine': 'a'"]


def test_an_unknown_class_is_an_error_with_both_lists(write):
    write("val", "bdA", 1)
    with pytest.raises(UnknownClassError) as caught:
        create_dataset("mine", "mine", "val", class_names=list("abc"))
    assert "split 'val' of data set 'mine' has 2 classes that the training split does not know: 'A', 'd'" in str(
        caught.value
    )
    assert "The 3 classes of the training split: 'a', 'b', 'c'." in str(caught.value)


def test_long_lists_are_shortened(write):
    write("val", "x", 1)
    with pytest.raises(UnknownClassError, match=r"1,000 classes of the training split: 'k0', .* and 992 more"):
        create_dataset("mine", "mine", "val", class_names=[f"k{k}" for k in range(1000)])


def test_an_empty_folder_is_a_missing_class_in_validation_and_an_error_in_training(write):
    write("val", "a", 1)
    (write("train", "a", 1).parent / "val" / "b").mkdir()
    assert create_dataset("mine", "mine", "val", class_names=["a", "b"]).remarks
    with pytest.raises(ValueError, match="class folder mine/val/b has no images"):
        create_dataset("mine", "mine", "val")
    with pytest.raises(UnknownClassError, match="'b'"):
        create_dataset("mine", "mine", "val", class_names=["a"])


def test_a_class_without_any_sample_left_is_a_remark(write):
    write("train", "abcdefgh", 1)
    (remark,) = create_dataset("mine", "mine", num_samples=3).remarks
    assert remark.startswith("5 of 8 classes have no image in split 'train'")


def test_both_unicode_spellings_of_an_accent_are_one_name(write):
    write("val", ["Mo\u0308we"], 1)
    dataset = create_dataset("mine", "mine", "val", class_names=["Amsel", "M\u00f6we"])
    assert dataset.labels.tolist() == [1]
    assert dataset.has_exactly(["Amsel", "M\u00f6we"])


@pytest.mark.parametrize("name", ["digits", "synthetic"])
def test_data_sets_with_fixed_classes_are_also_labelled_by_name(name):
    own = create_dataset(name, split="test")
    names = [*reversed(own.class_names), "more"]
    other = create_dataset(name, split="test", class_names=names)
    assert np.array_equal(other.labels, len(own.class_names) - 1 - own.labels)
    with pytest.raises(UnknownClassError):
        create_dataset(name, split="test", class_names=names[1:])


# The scripts


@pytest.mark.parametrize("classes", ["bcd", "abcd"])
def test_an_unknown_class_in_validation_is_an_error_before_training(classes, write, tiny_model, capsys, tmp_path):
    write("train", "abc"), write("val", classes)
    message = fails(train.main, line(), capsys)
    assert "has 1 class that the training split does not know: 'd'" in message
    assert "'a', 'b', 'c'" in message and not (tmp_path / "out").exists()


def test_a_missing_class_to_validate_is_a_remark_and_the_others_keep_their_numbers(write, tiny_model, capsys):
    write("train", "abc"), write("val", "ac")
    train.main(line("--epoch_size=4", "--lr=0.05"))
    assert "1 of 3 classes have no image in split 'val' of 'mine': 'b'" in capsys.readouterr().out
    checkpoint = read_checkpoint("out/tiny_sknet-last.ckpt")
    result = validate.main(["--ckpt_path=out/tiny_sknet-last.ckpt"])
    assert result.top1 == pytest.approx(checkpoint.info["metrics"]["top1"])
    assert "classes have no image in split 'val'" in capsys.readouterr().out


def test_validating_uses_the_classes_of_the_checkpoint(write, tiny_model, capsys):
    write("train", "abc"), write("val", "abc")
    train.main(line())
    fixtures_data.write_image_folder("other", "val", ["b", "c"], 4)
    result = validate.main(["--ckpt_path=out/tiny_sknet-last.ckpt", "--data_dir=other"])
    assert result.num_examples == 8
    fixtures_data.write_image_folder("more", "val", ["b", "z"], 4)
    message = fails(validate.main, ["--ckpt_path=out/tiny_sknet-last.ckpt", "--data_dir=more"], capsys)
    assert "1 class that out/tiny_sknet-last.ckpt does not know: 'z'" in message


def check(*extra) -> int:
    with pytest.raises(SystemExit) as caught:
        run_script(validate.main, ["--check_data", "--dataset=mine", "--data_dir=mine", *extra])
    return caught.value.code


def test_check_data_compares_the_classes_of_both_splits(write, capsys):
    write("train", "abc", 2), write("val", "bd", 2)
    assert check() == 1
    printed = capsys.readouterr().out
    assert "has 1 class that the training split does not know: 'd'" in printed
    assert "train: 6 images, 0 bad" in printed and "val: 4 images, 0 bad" in printed


def test_check_data_accepts_a_missing_class(write, capsys):
    write("train", "abc", 2), write("val", "b", 2)
    assert check() == 0
    assert "2 of 3 classes have no image in split 'val' of 'mine': 'a', 'c'" in capsys.readouterr().out


def test_resuming_needs_exactly_the_classes_of_the_run(write, tiny_model, capsys):
    split = write("train", "abc")
    write("val", "abc")
    train.main(line())
    (split / "b").rename(split / "x")
    (split.parent / "val" / "b").rename(split.parent / "val" / "x")
    message = fails(train.main, line("--epoch_size=2", "--resume"), capsys)
    assert "only in the data set: 'x'" in message and "only in the checkpoint: 'b'" in message


def test_fine_tuning_keeps_the_order_of_the_checkpoint(write, tiny_model, tmp_path, monkeypatch):
    write("train", "abc"), write("val", "abc")
    train.main(line())
    checkpoint = reorder(monkeypatch, "cab")
    train.main(line("--ckpt_path=out/tiny_sknet-last.ckpt", "--ckpt_save_dir=next", "--lr=1e-9"))
    after = read_checkpoint("next/tiny_sknet-last.ckpt")
    assert after.info["class_names"] == ["c", "a", "b"]
    np.testing.assert_allclose(
        after.weights["classifier.weight"], checkpoint.weights["classifier.weight"], rtol=0, atol=1e-6
    )


def reorder(monkeypatch, classes):
    """Reorder the class names in the run's checkpoint, as another tool might write them."""
    import assemble_weights
    from mindcv.weights.load import read_weights

    def read(path):
        checkpoint = read_weights(path)
        checkpoint.info["class_names"] = list(classes)
        return checkpoint

    monkeypatch.setattr(assemble_weights, "read_weights", read)
    return read("out/tiny_sknet-last.ckpt")


def test_fine_tuning_on_other_classes_makes_and_reports_a_new_classifier(write, tiny_model, tmp_path, caplog):
    write("train", "abc"), write("val", "abc")
    train.main(line())
    for split in ("train", "val"):
        fixtures_data.write_image_folder(tmp_path / "theirs", split, ["a", "b", "x"], 8)
    other = ["--dataset=theirs", "--data_dir=theirs", "--ckpt_save_dir=next"]
    train.main(line("--ckpt_path=out/tiny_sknet-last.ckpt", *other))
    assert read_checkpoint("next/tiny_sknet-last.ckpt").info["class_names"] == ["a", "b", "x"]
    assert "its classifier of 3 classes is replaced by a new one of 3" in caplog.text
