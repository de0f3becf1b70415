"""train.py and validate.py as a user runs them: end to end on small real data, and every kind of bad input."""

import csv
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import fixtures_data
import numpy as np
import pytest
import tiny
from script_runs import fails, small_run
from tiers import full

import train
import validate
from config import SCRIPTS, load_config
from mindcv.checkpoint import read_checkpoint

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("mode_flag", full(["--mode=0", "--mode=1"], by_default=["--mode=1"]))
def test_validate_reports_the_metrics_of_training_to_the_last_digit(tmp_path, tiny_model, capsys, mode_flag):
    out = tmp_path / "out"
    train.main(small_run(out, mode_flag))
    printed = capsys.readouterr().out
    assert "no --dataset given: training on scikit-learn's digits" in printed
    assert max(len(line) for line in printed.splitlines() if str(tmp_path) not in line) <= 100
    assert f"validate.py --ckpt_path={out}/tiny_sknet-best.ckpt" in printed
    checkpoints = [f"tiny_sknet-{kind}.ckpt" for kind in ("best", "last", "previous")]
    assert sorted(os.listdir(out)) == ["config.yaml", "metrics.csv", *checkpoints]

    with (out / "metrics.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    best = read_checkpoint(out / "tiny_sknet-best.ckpt")
    row = rows[best.info["epoch"] - 1]
    assert best.info["metrics"]["top1"] == float(row["val_top1"]) == max(float(r["val_top1"]) for r in rows)

    for kind in ("best", "last"):
        checkpoint = read_checkpoint(out / f"tiny_sknet-{kind}.ckpt")
        saved = checkpoint.info["metrics"]
        expected = (saved["top1"], saved["top5"], saved["loss"])
        exact = validate.main([f"--ckpt_path={checkpoint.path}", "--fold_bn=False"])
        assert (exact.top1, exact.top5, exact.loss) == expected
        capsys.readouterr()
        folded = validate.main([f"--ckpt_path={checkpoint.path}"])
        assert (folded.top1, folded.top5, folded.loss) == pytest.approx(expected, rel=1e-5)
        assert folded.loss != exact.loss  # different rounding: it was folded
        assert folded.num_examples == exact.num_examples == 70
        figures = re.findall(r"top-1 \d+\.\d\d %  top-5 \d+\.\d\d %  loss \d+\.\d{4}", capsys.readouterr().out)
        assert len(figures) == 2 and figures[0] == figures[1]  # of this run and of training: both are the same


def test_validation_has_its_own_image_and_batch_size(tmp_path, tiny_model, capsys):
    train.main(
        small_run(tmp_path, "--epoch_size=1", "--warmup_epochs=0", "--val_image_resize=24", "--val_batch_size=9")
    )
    checkpoint = read_checkpoint(tmp_path / "tiny_sknet-best.ckpt")
    saved = checkpoint.info["metrics"]["loss"]
    line = [f"--ckpt_path={checkpoint.path}", "--fold_bn=False"]
    assert validate.main(line).loss == saved
    assert validate.main([*line, "--batch_size=70"]).loss == pytest.approx(saved, rel=1e-6)
    assert validate.main([*line, "--image_resize=16"]).loss != pytest.approx(saved, rel=1e-3)


def test_views_change_the_loss_and_the_logits_but_nothing_else(tmp_path, tiny_model, capsys):
    train.main(small_run(tmp_path, "--epoch_size=1", "--warmup_epochs=0", "--num_samples=40"))
    line = [f"--ckpt_path={tmp_path / 'tiny_sknet-best.ckpt'}"]
    alone = validate.main(line)
    for tta, crop in (("hflip", []), ("ten_crop", ["--crop_pct=0.8"])):
        result = validate.main([*line, *crop, f"--tta={tta}"])
        assert f", split test (tta={tta}): 40 images in" in capsys.readouterr().out
        assert result.num_examples == 40 and result.loss != alone.loss and result.loss < 2 * alone.loss
    assert "crop_pct being 1: all views would be the same" in fails(validate.main, [*line, "--tta=five_crop"], capsys)


def test_the_same_seed_gives_the_same_run_and_another_seed_another(tmp_path, tiny_model):
    losses = []
    for run, seed in enumerate((1, 1, 2)):
        train.main(small_run(tmp_path / str(run), f"--seed={seed}"))
        with (tmp_path / str(run) / "metrics.csv").open(newline="") as lines:
            losses.append([row["train_loss"] for row in csv.DictReader(lines)])
    assert losses[0] == losses[1] != losses[2]


def test_the_saved_configuration_repeats_the_run(tmp_path, tiny_model):
    train.main(small_run(tmp_path / "one", "--lr=0.02", "--opt=adamw"))
    train.main(["-c", str(tmp_path / "one" / "config.yaml"), f"--ckpt_save_dir={tmp_path / 'two'}"])
    one, two = (read_checkpoint(tmp_path / name / "tiny_sknet-last.ckpt") for name in ("one", "two"))
    for name, array in one.weights.items():
        np.testing.assert_array_equal(array, two.weights[name])


@pytest.mark.parametrize("mode_flag", full(["--mode=0", "--mode=1"], by_default=["--mode=1"]))
def test_cifar10_binaries_train_and_validate_as_in_the_readme(tmp_path, tiny_model, mode_flag):
    fixtures_data.write_cifar10(tmp_path / "data", 64, 40)
    line = ["--opt=momentum", "--lr=0.001", "dataset=cifar10", "--num_classes=10"]
    train.main(small_run(tmp_path / "out", mode_flag, *line, f"--data_dir={tmp_path / 'data'}"))
    result = validate.main([f"--ckpt_path={tmp_path / 'out' / 'tiny_sknet-best.ckpt'}"])
    assert result.num_examples == 40


def test_own_images_in_folders_train_and_validate(tmp_path, tiny_model):
    for split in ("train", "val"):
        fixtures_data.write_image_folder(tmp_path / "flowers", split, ["daisy", "rose", "tulip"], 12, "jpg")
    line = ["--dataset=flowers", f"--data_dir={tmp_path / 'flowers'}", "--num_samples=none"]
    train.main(small_run(tmp_path / "out", *line))
    checkpoint = read_checkpoint(tmp_path / "out" / "tiny_sknet-last.ckpt")
    assert checkpoint.info["class_names"] == ["daisy", "rose", "tulip"]
    assert validate.main([f"--ckpt_path={checkpoint.path}"]).num_examples == 36


def test_training_can_start_from_a_checkpoint(tmp_path, tiny_model):
    train.main(small_run(tmp_path / "one"))
    start = tmp_path / "one" / "tiny_sknet-last.ckpt"
    # A learning rate this small changes nothing in float32, so the result shows the initial weights.
    train.main(small_run(tmp_path / "two", f"--ckpt_path={start}", "--lr=1e-30", "--weight_decay=0"))
    one, two = (read_checkpoint(tmp_path / name / "tiny_sknet-last.ckpt").weights for name in ("one", "two"))
    np.testing.assert_array_equal(one["classifier.weight"], two["classifier.weight"])


def test_options_reach_the_training_step_and_the_store(tmp_path, tiny_model):
    options = ["--gradient_accumulation_steps=2", "--clip_grad", "--clip_value=0.5", "--keep_checkpoint_max=1"]
    train.main(small_run(tmp_path, *options, "--val_interval=2", "--drop_rate=0.1", "--drop_path_rate=0.1"))
    assert "tiny_sknet-2.ckpt" in os.listdir(tmp_path) and "tiny_sknet-1.ckpt" not in os.listdir(tmp_path)
    with (tmp_path / "metrics.csv").open(newline="") as lines:
        assert [row["val_top1"] != "" for row in csv.DictReader(lines)] == [False, True]


@pytest.mark.slow  # of its parts, EMA and mixed precision, each has shorter tests
def test_averages_in_mixed_precision_are_validated_saved_and_measured_again(tmp_path, tiny_model, capsys):
    options = [
        "--ema",
        "--ema_decay=0.5",
        "--ema_warmup=0",
        "--amp_level=O2",
        "--val_amp_level=O1",
        "--num_samples=150",
    ]
    train.main(small_run(tmp_path, *options, "--lr=0.05", "--epoch_size=1", "--warmup_epochs=0"))
    printed = capsys.readouterr().out
    assert printed.count("% (without EMA ") == 1
    with (tmp_path / "metrics.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert all(0 <= float(row["val_top1_without_ema"]) <= 100 for row in rows)
    last = read_checkpoint(tmp_path / "tiny_sknet-last.ckpt")
    trained = {name for name in last.state if name.startswith("trained.")}
    assert trained == {f"trained.{name}" for name in last.weights}
    name = "stem.conv.weight"
    assert not np.array_equal(last.weights[name], last.state[f"trained.{name}"])
    result = validate.main([f"--ckpt_path={last.path}", "--mode=1"])
    assert result.top1 == last.info["metrics"]["top1"] == float(rows[-1]["val_top1"])
    np.testing.assert_allclose(result.loss, last.info["metrics"]["loss"], rtol=1e-3)
    message = fails(train.main, [f"--resume={tmp_path}", "--epoch_size=3", "--no-ema"], capsys)
    assert "this run cannot be resumed with another ema (ema true -> false)" in message


def test_bfloat16_on_a_cpu_is_an_error(tmp_path, tiny_model, capsys):
    message = fails(train.main, small_run(tmp_path, "--amp_level=O2", "--amp_dtype=bfloat16"), capsys)
    assert "amp_dtype=bfloat16: MindSpore has no such convolutions on a CPU. Use --amp_dtype=float16." in message


def test_without_validation_there_is_no_best_checkpoint(tmp_path, tiny_model, capsys):
    train.main(small_run(tmp_path, "--val_while_train=false"))
    assert "tiny_sknet-best.ckpt" not in os.listdir(tmp_path)
    assert f"--ckpt_path={tmp_path}/tiny_sknet-last.ckpt" in capsys.readouterr().out


@pytest.mark.parametrize(
    "extra, message",
    [
        (["--model=sknet5O"], r"unknown model 'sknet5O'.*Did you mean 'sknet50'"),
        (["--epoch_sise=3"], r"epoch_sise.*epoch_size"),
        (["batch_size=12.5"], r"batch_size.*12\.5.*integer"),
        (["--opt=adamv"], r"opt.*adamv.*adamw?"),
        (["--pretrained"], r"no weights are published for 'tiny_sknet'"),
        (["--ckpt_path=nowhere.ckpt"], r"no checkpoint at nowhere.ckpt"),
        (["--num_classes=3"], r"num_classes=3.*10 classes"),
        (["--num_classes=30"], r"num_classes=30.*10 classes"),
        (["--device_target=Ascend"], r"device Ascend is not available here; present: CPU"),
        (["--dataset=cifar10", "--data_dir=missing"], r"missing.*cifar"),
        (["--gradient_accumulation_steps=50"], r"gradient_accumulation_steps=50 is more than the 4 batches"),
        (["-c", "configs/sknet/sknet50_digit.yaml"], r"sknet50_digits.yaml"),
        (["--train_split=validation"], r"validation.*train.*test"),
        (["--num_parallel_workers=4096"], r"num_parallel_workers.*4096"),
    ],
)
def test_bad_input_to_train_is_a_one_line_error_and_creates_nothing(tmp_path, tiny_model, capsys, extra, message):
    out = tmp_path / "out"
    assert re.search(message, fails(train.main, small_run(out, *extra), capsys), re.DOTALL)
    assert not out.exists()


def test_an_output_folder_that_cannot_be_written_is_named(tmp_path, tiny_model, capsys):
    (tmp_path / "file").write_text("")
    message = fails(train.main, small_run(tmp_path / "file" / "out"), capsys)
    assert f"cannot write checkpoints to {tmp_path}/file/out" in message


def test_missing_and_wrong_folders_show_the_expected_tree(tmp_path, tiny_model, capsys):
    data = tmp_path / "pictures"
    line = ["--dataset=pictures", f"--data_dir={data}", "--num_samples=none"]
    assert str(data) in fails(train.main, small_run(tmp_path / "out", *line), capsys)
    fixtures_data.write_image_folder(data, "training", ["a", "b"], 2, "png")
    message = fails(train.main, small_run(tmp_path / "out", *line), capsys)
    assert "train" in message and "training" in message and "class" in message
    (data / "training").rename(data / "train")
    (data / "train" / "empty").mkdir()
    message = fails(train.main, small_run(tmp_path / "out", *line), capsys)
    assert str(data / "train" / "empty") in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("length", full([0, 30, 400, -200], by_default=[0, -200]))
def test_the_error_names_an_unreadable_image(tmp_path, tiny_model, capsys, length):
    data = tmp_path / "pictures"
    for split in ("train", "val"):
        fixtures_data.write_image_folder(data, split, ["a", "b"], 10, "jpg")
    broken = sorted((data / "train" / "b").iterdir())[3]
    broken.write_bytes(broken.read_bytes()[:length])
    line = ["--dataset=pictures", f"--data_dir={data}", "--num_samples=none"]
    message = fails(train.main, small_run(tmp_path / "out", *line), capsys)
    assert str(broken) in message


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory):
    """The best checkpoint of a small run; tests only read it."""
    folder = tmp_path_factory.mktemp("trained")
    tiny.register()
    train.main(small_run(folder))
    tiny.unregister()
    return folder / "tiny_sknet-best.ckpt"


@pytest.fixture
def trained(trained_once, tiny_model):
    return trained_once


@pytest.mark.parametrize(
    "extra, message",
    [
        (["--model=resnet18"], r"holds model=tiny_sknet, but model=resnet18 is wanted"),
        (["--num_classes=12"], r"holds num_classes=10, but num_classes=12 is wanted"),
        (["--in_channels=1"], r"holds in_channels=3, but in_channels=1 is wanted"),
        (["--val_split=valid"], r"valid.*train.*test"),
        (["--epoch_size=3"], r"epoch_size.*train"),
        (["--ckpt_pth=x"], r"ckpt_pth.*ckpt_path"),
    ],
)
def test_bad_input_to_validate_is_a_one_line_error(trained, capsys, extra, message):
    assert re.search(message, fails(validate.main, [f"--ckpt_path={trained}", *extra], capsys), re.DOTALL)


def test_a_mistyped_checkpoint_is_never_replaced_by_random_weights(trained, capsys):
    message = fails(validate.main, [f"--ckpt_path={trained.parent}/tiny_sknet-bets.ckpt"], capsys)
    assert "Did you mean" in message and str(trained) in message


def test_validate_needs_weights(capsys):
    assert "--ckpt_path" in fails(validate.main, ["--model=sknet50"], capsys)


def test_a_class_unknown_to_the_checkpoint_is_an_error(trained, tmp_path, capsys):
    names = [str(k) for k in range(9)] + ["nine"]
    fixtures_data.write_image_folder(tmp_path / "other", "val", names, 2, "png")
    line = [f"--ckpt_path={trained}", "--dataset=other", f"--data_dir={tmp_path / 'other'}", "--val_split=val"]
    assert "has 1 class that " + str(trained) + " does not know: 'nine'" in fails(validate.main, line, capsys)


def script(*argv, **environment) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *argv], cwd=ROOT, capture_output=True, text=True, env={**os.environ, **environment}
    )


def test_a_process_ends_with_code_2_and_one_line_or_with_debug_a_traceback():
    ended = script("validate.py", "--ckpt_path=nowhere/x.ckpt")
    assert ended.returncode == 2
    assert ended.stderr == "error: no checkpoint at nowhere/x.ckpt: the folder nowhere does not exist.\n"
    assert "Traceback" in script("validate.py", "--ckpt_path=nowhere/x.ckpt", "--debug").stderr


def test_help_does_not_import_mindspore():
    started = time.perf_counter()
    ended = script("-X", "importtime", "train.py", "--help")
    seconds = time.perf_counter() - started
    assert ended.returncode == 0 and "--epoch_size" in ended.stdout
    assert not re.search(r"\| +mindspore", ended.stderr)
    assert seconds < 10  # benchmarks/startup.py measures it; this only catches an import by another name


def test_the_documented_commands_are_accepted():
    text = "\n".join(path.read_text() for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")))
    lines = re.findall(rf"^python ({'|'.join(SCRIPTS)})\.py(.*)$", text, re.MULTILINE)
    assert len(lines) >= 15 and {prog for prog, _ in lines} == set(SCRIPTS)
    for prog, arguments in lines:
        words = arguments.split("#")[0].replace("'", "").split()
        if "--list_models" not in words:  # prints and exits
            load_config(words, prog=prog)


@pytest.mark.parametrize("options", [["--batch_size=1"], ["--num_samples=33", "--drop_remainder=no"]])
def test_a_batch_of_one_image_is_an_error_before_training_starts(tmp_path, tiny_model, capsys, options):
    message = fails(train.main, small_run(tmp_path / "out", *options), capsys)
    assert "a batch of one image cannot train this network" in message
    assert not (tmp_path / "out").exists()


def test_a_batch_of_one_image_trains_where_batch_norms_are_frozen(tmp_path, tiny_model):
    train.main(small_run(tmp_path, "--batch_size=1", "--num_samples=3", "--freeze_bn=all"))
    assert read_checkpoint(tmp_path / "tiny_sknet-last.ckpt").info["epoch"] == 2


def test_a_batch_larger_than_the_data_set_becomes_one_smaller_batch_with_a_notice(tmp_path, tiny_model, capsys):
    line = small_run(tmp_path, "--num_samples=12", "--batch_size=64", "--epoch_size=1", "--mode=1")
    assert train.main(line) == 0
    printed = capsys.readouterr().out
    assert "batch_size=64 is more than the 12 training images: an epoch is one batch of 12" in printed
    assert "warmup_epochs=1 (configs/sknet/sknet50_digits.yaml) gives way to epoch_size=1" in printed
    assert train.main(["-c", f"{tmp_path}/config.yaml"]) == 0, "what was saved repeats the run"
    assert train.main([f"--resume={tmp_path}", "--epoch_size=2"]) == 0


def test_a_recipes_accumulation_gives_way_to_a_short_epoch(tmp_path, tiny_model, capsys, recipe):
    path = recipe("dataset: digits\nin_channels: 1\ngradient_accumulation_steps: 50\n")
    assert train.main(small_run(tmp_path / "out", "-c", path, "--epoch_size=1", "--mode=1")) == 0
    assert f"gradient_accumulation_steps=50 ({path}) gives way to the 4 batches" in capsys.readouterr().out
    assert read_checkpoint(tmp_path / "out" / "tiny_sknet-last.ckpt").info["training"]["updates_per_epoch"] == 1


def test_drop_remainder_on_the_command_line_is_an_error_without_a_full_batch(tmp_path, tiny_model, capsys):
    line = small_run(tmp_path, "--num_samples=12", "--batch_size=64", "--drop_remainder")
    assert "no full batch" in fails(train.main, line, capsys)
