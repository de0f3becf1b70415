"""`--data_dir` without `--dataset`: every script that reads a data set recognizes the one in the folder."""

import subprocess
import sys
from pathlib import Path

import fixtures_data
import pytest
from script_runs import fails, small_run

import config
import train
import validate
from config import load_config
from mindcv.checkpoint import read_checkpoint
from mindcv.data import create_dataset, list_datasets
from mindcv.folders import BUILT_IN, data_set_in


def resolved(*argv, prog="train"):
    return load_config(list(argv), prog=prog)


def line(*extra) -> list[str]:
    usual = {"data_dir": "flowers", "mode": 1, "num_samples": "none", "batch_size": 8, "epoch_size": 1}
    usual |= dict(word.removeprefix("--").partition("=")[::2] for word in extra)
    return small_run("out", *(f"--{key}={value}".rstrip("=") for key, value in usual.items()))


@pytest.fixture
def flowers(tmp_path, monkeypatch):
    """`flowers/<class>` of 20 images each, in the working folder."""
    monkeypatch.chdir(tmp_path)
    fixtures_data.write_image_folder(tmp_path, "flowers", ["rose", "tulip"], 20)
    return tmp_path / "flowers"


# What a folder holds


def test_the_names_of_the_built_in_data_sets_are_known_without_importing_them():
    assert sorted(BUILT_IN) == list_datasets()


@pytest.mark.parametrize(
    "write",
    [fixtures_data.write_cifar10, fixtures_data.write_cifar100, fixtures_data.write_mnist],
    ids=lambda f: f.__name__,
)
def test_known_layouts_are_recognized_in_and_above_their_folder(write, tmp_path):
    inner = write(tmp_path, 20, 10)
    name = write.__name__.removeprefix("write_")
    for folder in (tmp_path, inner):
        assert data_set_in(str(folder)) == (name, f"{name}, which {folder} holds")
        assert len(create_dataset(name, folder)) == 20


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("cifar10", "cifar-10-binary.tar.gz"),
        ("cifar100", "cifar-100-binary.tar.gz"),
        ("cifar10", "cifar-10-batches-py/data_batch_1"),
        ("cifar100", "cifar-100-python/meta"),
        ("mnist", "MNIST/raw/t10k-images-idx3-ubyte.gz"),
    ],
)
def test_archives_and_pickled_versions_are_recognized(name, file, tmp_path):
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).touch()
    assert data_set_in(str(tmp_path))[0] == name


@pytest.mark.parametrize(
    ("tree", "given", "name"),
    [
        ("flowers/rose", "flowers", "flowers"),
        ("flowers/train/rose", "flowers/", "flowers"),
        ("data/flowers/train/rose", "data", "flowers"),
        ("cifar10/train/rose", "cifar10", "cifar10_images"),
        ("flowers/rose", "absent", "absent"),
        ("rose", ".", "work"),
    ],
)
def test_an_image_folder_data_set_is_named_after_its_folder(tree, given, name, tmp_path, monkeypatch):
    (tmp_path / "work" / tree).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    assert data_set_in(given) == (name, f"the image folders in {given}")


# The configuration


@pytest.mark.parametrize("prog", ["train", "validate"])
def test_data_dir_alone_names_the_data_set_and_disables_the_digits_preset(prog, flowers):
    cfg = resolved("--data_dir=flowers", prog=prog)
    assert cfg.data.dataset == "flowers" and cfg.image.image_resize == 224
    assert cfg.notices == ("no --dataset given: the image folders in flowers (dataset 'flowers')",)
    named = resolved("--data_dir=flowers", "--dataset=flowers", prog=prog)
    assert named == cfg


def test_data_dir_in_a_recipe_also_names_the_data_set(flowers, recipe):
    assert resolved("-c", recipe("data_dir: flowers\n")).data.dataset == "flowers"
    assert resolved("-c", recipe("lr: 0.5\n"), "--data_dir=flowers").data.dataset == "flowers"
    assert resolved("-c", recipe("dataset: imagenet\n"), "--data_dir=flowers").data.dataset == "imagenet"
    assert resolved("-c", recipe("lr: 0.5\n")).data.dataset == "digits"


@pytest.mark.parametrize("prog", ["train", "validate"])
@pytest.mark.parametrize("option", ["--data_dir=flowers", "--dataset_download", "--val_fraction=0.5"])
def test_options_that_the_digits_do_not_use_are_reported(option, prog, flowers):
    notices = resolved("--dataset=digits", option, prog=prog).notices
    key = option.removeprefix("--").partition("=")[0]
    assert [line for line in notices if "no effect" in line] == [f"{key} has no effect with dataset=digits"]


def test_a_checkpoint_names_the_data_set_unless_it_needs_no_folder(flowers):
    saved = {"dataset": "cifar10", "data_dir": "./data"}
    elsewhere = resolved("--data_dir=flowers", prog="validate")
    assert elsewhere.inherit(saved, "a.ckpt").data.dataset == "cifar10"
    saved["dataset"] = "digits"
    assert resolved(prog="validate").inherit(saved, "a.ckpt").data.dataset == "digits"
    assert elsewhere.inherit(saved, "a.ckpt").data.dataset == "flowers"


def test_recognizing_the_data_set_imports_neither_mindspore_nor_numpy(flowers):
    load = "import sys, config; config.load_config(['--data_dir=.'], prog='train')"
    code = load + "; print({'mindspore', 'numpy'} & set(sys.modules))"
    environment = {"PYTHONPATH": str(Path(config.__file__).parent)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# The scripts


def test_an_undivided_folder_trains_and_its_checkpoint_validates_on_the_held_out_images(flowers, tiny_model, capsys):
    train.main(line())
    told = capsys.readouterr().out
    assert "flowers (2 classes, 'rose', 'tulip') is not divided into train and val: 32 images to train, 8 held" in told
    assert told.count("not divided") == 1 and "32 images to train, 8 to validate" in told
    checkpoint = read_checkpoint("out/tiny_sknet-last.ckpt")
    result = validate.main(["--ckpt_path=out/tiny_sknet-last.ckpt", "--seed=7"])
    assert (result.num_examples, result.top1) == (8, checkpoint.info["metrics"]["top1"])
    assert "8 held out to validate (val_fraction=0.2, seed=42)" in capsys.readouterr().out


def test_no_training_image_is_validated_on_after_images_were_added(flowers, tiny_model):
    train.main(line())
    trained = create_dataset("flowers", flowers, "train")
    before = {trained.where(i) for i in range(len(trained))}
    for number in range(30):
        (flowers / "rose" / f"more{number}.png").write_bytes((flowers / "rose" / "000.png").read_bytes())
    held_out = read_checkpoint("out/tiny_sknet-last.ckpt").info["held_out"]
    val = create_dataset("flowers", flowers, "val", held_out=held_out)
    assert not before & {val.where(i) for i in range(len(val))}
    assert validate.main(["--ckpt_path=out/tiny_sknet-last.ckpt"]).num_examples == len(val)


def test_a_resumed_run_keeps_its_division(flowers, tiny_model, capsys):
    train.main(line())
    train.main(line("--epoch_size=2", "--resume", "--seed=5"))
    first, second = (read_checkpoint(f"out/tiny_sknet-{kind}.ckpt").info["held_out"] for kind in ("best", "last"))
    assert first == second and second["seed"] == 42
    assert "another val_fraction" in fails(train.main, line("--resume", "--val_fraction=0.5"), capsys)


def test_fine_tuning_on_the_same_data_holds_the_same_images_out(flowers, tiny_model):
    train.main(line())
    train.main(line("--ckpt_path=out/tiny_sknet-last.ckpt", "--ckpt_save_dir=next", "--seed=5"))
    first, second = (read_checkpoint(f"{f}/tiny_sknet-last.ckpt").info["held_out"] for f in ("out", "next"))
    assert first == second


def test_weights_without_a_run_are_validated_on_all_images_unless_a_share_is_given(flowers, tiny_model, capsys):
    train.main(line())
    other = flowers.parent / "other"
    for split in ("train", "val"):
        (other / split).mkdir(parents=True)
        for name in ("rose", "tulip"):
            (other / split / name).symlink_to(flowers / name)
    train.main(line("--data_dir=other", "--ckpt_save_dir=next"))
    weights = "--ckpt_path=next/tiny_sknet-last.ckpt"
    assert validate.main([weights, "--data_dir=flowers"]).num_examples == 40
    assert "all 40 images are used to validate" in capsys.readouterr().out
    assert validate.main([weights, "--data_dir=flowers", "--val_fraction=0.5"]).num_examples == 20


def test_a_share_that_differs_from_the_runs_is_a_warning(flowers, tiny_model, capsys):
    train.main(line())
    result = validate.main(["--ckpt_path=out/tiny_sknet-last.ckpt", "--val_fraction=1"])
    assert result.num_examples == 40
    assert "may have been trained on some of the images to validate" in capsys.readouterr().out


def test_check_data_reads_both_parts_of_an_undivided_folder(flowers, capsys):
    assert validate.main(["--check_data", "--data_dir=flowers"]) == 0
    printed = capsys.readouterr().out
    assert "train: 32 images, 0 bad" in printed and "val: 8 images, 0 bad" in printed


def test_a_folder_test_replaces_a_missing_val_and_is_reported(tmp_path, monkeypatch, tiny_model, capsys):
    monkeypatch.chdir(tmp_path)
    for split in ("train", "test"):
        fixtures_data.write_image_folder(tmp_path / "flowers", split, ["rose", "tulip"], 8)
    train.main(line())
    assert "flowers has no split 'val': validating on 'test'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("make", "argument", "message"),
    [
        (lambda p: None, "absent", "data_dir=absent (command line): there is no such folder"),
        (lambda p: (p / "here").mkdir(), "here", "Found in here: nothing"),
        (lambda p: (p / "a.zip").touch(), "a.zip", "data_dir must be a folder; a.zip is a file"),
        (
            lambda p: (fixtures_data.write_mnist(p / "d"), fixtures_data.write_cifar10(p / "d", 20, 10)),
            "d",
            "It holds cifar10 and mnist: use --dataset=cifar10",
        ),
    ],
)
def test_a_folder_without_a_data_set_is_an_error_that_says_what_is_there(
    make, argument, message, tmp_path, monkeypatch, tiny_model, capsys
):
    monkeypatch.chdir(tmp_path)
    make(tmp_path)
    assert message in fails(train.main, line(f"--data_dir={argument}"), capsys)


def test_imagenet_without_its_folders_is_not_reported_as_unknown(tmp_path):
    with pytest.raises(ValueError) as caught:
        create_dataset("imagenet", tmp_path)
    assert "has no folder 'train'" in str(caught.value) and "cifar10" not in str(caught.value)
