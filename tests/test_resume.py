"""train.py --resume as a user runs it: an interrupted run ends bit-identical to an uninterrupted one."""

import csv
import re
import signal

import pytest
from resumed_runs import ONE_EPOCH, assert_same_run, last, quick_run
from script_runs import fails, small_run
from tiers import full

import resume
import train
from mindcv.checkpoint import read_checkpoint
from mindcv.engine import Evaluation, multi_label

DROPS = ["--drop_rate=0.2", "--drop_path_rate=0.2", "--re_prob=0.5", "--mixup=0.8", "--cutmix=1.0", "--aug_repeats=2"]
STEP = ["--ema", "--ema_decay=0.8", "--ema_warmup=0", "--clip_grad", "--clip_mode=agc"]


@pytest.mark.parametrize("mode_flag", full(["--mode=0", "--mode=1"], by_default=["--mode=1"]))
def test_a_run_interrupted_twice_ends_like_an_uninterrupted_one(tmp_path, tiny_model, interrupt, capsys, mode_flag):
    assert train.main(small_run(tmp_path / "whole", mode_flag, *DROPS, *STEP)) == 0
    out = tmp_path / "out"
    line = small_run(out, mode_flag, *DROPS, *STEP, "--resume=auto")
    interrupt(2, signal.SIGTERM)
    assert train.main(line) == 128 + signal.SIGTERM
    printed = capsys.readouterr()
    assert "SIGTERM: finishing the current step" in printed.err
    assert "interrupted by SIGTERM at epoch 1, step 2 of 4" in printed.out
    command = re.search(r"continue with: .*train.py (.+)", printed.out)[1]
    interrupt(4, signal.SIGINT)
    assert train.main(command.split()) == 128 + signal.SIGINT
    printed = capsys.readouterr().out
    assert "resumed from" in printed and "at epoch 2, step 2 of 4" in printed
    assert train.main(line) == 0
    assert_same_run(tmp_path / "whole", out)


@pytest.mark.slow
@pytest.mark.parametrize("mode_flag", ["--mode=0", "--mode=1"])
def test_either_guard_gives_the_same_run_and_continues_the_others(tmp_path, tiny_model, interrupt, mode_flag):
    options = [mode_flag, *DROPS, *STEP, "--gradient_accumulation_steps=2"]
    assert train.main(small_run(tmp_path / "host", *options)) == 0
    line = small_run(tmp_path / "out", *options, "--resume=auto")
    for guard, step in (("device", 2), ("host", 3)):
        interrupt(step)
        assert train.main([*line, f"--guard={guard}"]) == 143
    assert train.main([*line, "--guard=device"]) == 0
    assert_same_run(tmp_path / "host", tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("mode_flag", ["--mode=0", "--mode=1"])
def test_plateau_goes_on_with_the_same_rates(tmp_path, tiny_model, interrupt, monkeypatch, capsys, mode_flag):
    def script_scores():
        scores = iter([50.0, 40.0, 40.0, 40.0])
        monkeypatch.setattr(
            multi_label, "evaluate", lambda *_, **__: Evaluation(next(scores), 100.0, 1.0, num_examples=70, seconds=0.1)
        )

    # The classifier has rates of its own.
    options = ["--scheduler=plateau", "--patience_epochs=0", "--decay_rate=0.5", "--head_lr_scale=2"]
    options += [mode_flag, "--epoch_size=4", "--num_samples=32", "--warmup_epochs=0", "--lr=0.5"]
    script_scores()
    assert train.main(small_run(tmp_path / "whole", *options)) == 0
    assert capsys.readouterr().out.count("no better top-1 for too long: the learning rate is multiplied by 0.5") == 2
    script_scores()
    line = small_run(tmp_path / "out", *options, "--resume=auto")
    interrupt(5)  # the first of two steps of epoch 3, after one drop and before another
    assert train.main(line) == 143
    assert train.main(line) == 0
    assert_same_run(tmp_path / "whole", tmp_path / "out")
    with (tmp_path / "out" / "metrics.csv").open(newline="") as lines:
        assert [float(row["lr"]) for row in csv.DictReader(lines)] == [0.5, 0.5, 0.25, 0.125]


@pytest.mark.slow
def test_an_accumulation_that_gives_way_to_the_epoch_is_continued_and_repeated(
    tmp_path, tiny_model, interrupt, capsys, recipe
):
    path = recipe("dataset: digits\nin_channels: 1\ngradient_accumulation_steps: 50\nlr_base: 0.1\n")
    gives_way = "gives way to the 4 batches of an epoch: lr=0.025"  # 0.1 * 16 * 4 / 256
    train.main(quick_run(tmp_path / "whole", "-c", path))
    assert gives_way in capsys.readouterr().out
    line = quick_run(tmp_path / "out", "-c", path, "--resume=auto")
    interrupt(2)  # inside an epoch, where another accumulation is an error
    assert train.main(line) == 143
    assert train.main(line) == 0
    assert "resumed with changes" not in capsys.readouterr().out
    assert_same_run(tmp_path / "whole", tmp_path / "out")
    with (tmp_path / "out" / "metrics.csv").open(newline="") as lines:
        assert next(csv.DictReader(lines))["lr"] == "0.025"
    train.main(["-c", str(tmp_path / "whole" / "config.yaml"), f"--ckpt_save_dir={tmp_path / 'again'}"])
    assert gives_way in capsys.readouterr().out
    assert_same_run(tmp_path / "whole", tmp_path / "again")


def test_the_same_command_starts_continues_and_reports_a_complete_run(tmp_path, tiny_model, interrupt, capsys):
    line = quick_run(tmp_path / "out", "--resume=auto")
    interrupt(6)
    assert train.main(line) == 143
    assert "resumed" not in capsys.readouterr().out
    assert train.main(line) == 0
    assert "resumed from" in capsys.readouterr().out
    before = {entry.name: entry.read_bytes() for entry in (tmp_path / "out").iterdir()}
    assert train.main(line) == 0
    assert f"the run in {tmp_path / 'out'} is complete: 2 epochs, best top-1" in capsys.readouterr().out
    assert {entry.name: entry.read_bytes() for entry in (tmp_path / "out").iterdir()} == before


def test_a_longer_run_continues_the_shorter_one(tmp_path, tiny_model, capsys):
    constant = ["--scheduler=constant", "--warmup_epochs=0"]
    train.main(quick_run(tmp_path / "whole", *constant, "--epoch_size=3"))
    train.main(quick_run(tmp_path / "out", *constant, "--epoch_size=1"))
    capsys.readouterr()
    assert train.main([f"--resume={tmp_path / 'out'}", "--model=tiny_sknet", "--epoch_size=3"]) == 0
    printed = capsys.readouterr().out
    assert "so not identical to an uninterrupted run: epoch_size 1 -> 3; the learning rates" in printed
    assert_same_run(tmp_path / "whole", tmp_path / "out")


def test_another_batch_size_between_epochs_continues_at_the_right_update(tmp_path, tiny_model, capsys):
    train.main(quick_run(tmp_path, *ONE_EPOCH))
    assert train.main(["--model=tiny_sknet", f"--resume={tmp_path}", "--epoch_size=2", "--batch_size=8"]) == 0
    assert "batch_size 16 -> 8" in capsys.readouterr().out
    assert read_checkpoint(last(tmp_path)).state["global_step"] == [16]  # two epochs of 8 updates


@pytest.mark.parametrize(
    "extra, message",
    [
        (["--opt=adamw"], r"cannot be resumed with another opt \(opt momentum -> adamw\).*that optimizer's"),
        (["--freeze=1"], r"cannot be resumed with another freeze \(freeze none -> 1\)"),
        (["--batch_size=8"], r"in the middle of an epoch and would lose its position there: batch_size 16 -> 8"),
        (["--seed=1"], r"in the middle of an epoch.*seed 42 -> 1"),
        (["--drop_remainder=false"], r"in the middle of an epoch.*drop_remainder true -> false"),
        (["--num_samples=90"], r"in the middle of an epoch.*num_samples 70 -> 90"),
        (["--drop_rate=0.5"], r"do not fit this run.*missing from the file: .*draws"),
    ],
)
def test_changes_that_break_a_run_are_errors_and_change_no_file(stopped, capsys, extra, message):
    before = {entry.name: entry.read_bytes() for entry in stopped.iterdir()}
    line = ["--model=tiny_sknet", f"--resume={stopped}", *extra]
    assert re.search(message, fails(train.main, line, capsys), re.DOTALL)
    assert {entry.name: entry.read_bytes() for entry in stopped.iterdir()} == before


@pytest.mark.parametrize("mode_flag", full(["--mode=0", "--mode=1"], by_default=["--mode=1"]))
def test_a_run_with_a_diverging_loss_stops_skips_or_rolls_back(tmp_path, tiny_model, capsys, mode_flag):
    line = small_run(tmp_path / "out", mode_flag, "--lr=1e30", "--warmup_epochs=0", "--ckpt_save_steps=1")
    message = fails(train.main, line, capsys)
    assert re.search(r"(NaN or infinite in|became \w+ in|infinity after) epoch 1, step \d.*Try a lower --lr", message)
    for policy in ("skip", "rollback"):
        message = fails(train.main, [*line, f"--on_nan={policy}", "--nan_limit=2"], capsys)
        assert "nan_limit is 2" in message or "holds NaN or infinity" in message


def test_options_without_effect_may_change_where_others_may_not():
    used = {"amp_level": "O1", "folds": 5, "freeze": 1}
    saved = {"amp_dtype": "float16", "loss_scale_type": "auto", "fold": 0, "freeze_bn": "frozen", **used}
    for key, value in (("amp_dtype", "bfloat16"), ("loss_scale_type", "fixed"), ("fold", 1), ("freeze_bn", "none")):
        with pytest.raises(ValueError, match=f"cannot be resumed with another {key}"):
            resume.compare(saved, {**saved, key: value}, inside_epoch=False)


@pytest.mark.parametrize(
    "kind, before, now", [("auto", None, 1024.0), ("auto", 1024.0, None), ("dynamic", 1024.0, 8.0)]
)
def test_a_dynamic_loss_scale_goes_on_from_the_saved_one(kind, before, now):
    saved = {"amp_level": "O2", "loss_scale_type": kind, "loss_scale": before}
    with pytest.raises(ValueError, match=r"another loss_scale .*: a dynamic scale is part of the saved state"):
        resume.compare(saved, {**saved, "loss_scale": now}, inside_epoch=False)
    fixed = {**saved, "loss_scale_type": "fixed"}
    assert len(resume.compare(fixed, {**fixed, "loss_scale": 2.0}, inside_epoch=False)) == 1


@pytest.mark.parametrize(
    "saved, now, reported",
    [
        ({"lr": 0.1}, {"lr": 0.1}, []),
        ({"lr": 0.1}, {"lr": 0.2}, ["lr 0.1 -> 0.2; the learning rates are those of the new schedule"]),
        ({"mean": [0.5, 0.5]}, {"mean": (0.5, 0.5)}, []),
        ({"hflip": 0.5}, {"hflip": 0.0}, ["hflip 0.5 -> 0.0"]),
        ({}, {"hflip": 0.0}, []),
        ({"keep_checkpoint_max": 1}, {"keep_checkpoint_max": 2}, []),
        ({"clip_value": 1.0}, {"clip_value": 2.0}, []),
        ({"clip_value": 1.0}, {"clip_value": 2.0, "clip_grad": True}, ["clip_value 1.0 -> 2.0"]),
        ({"clip_grad": False, "clip_value": 1.0}, {"clip_grad": True, "clip_value": 1.0}, ["clip_grad false -> true"]),
        ({"amp_dtype": "float16", "fold": 0}, {"amp_dtype": "bfloat16", "fold": 1}, []),
        ({"loss_scale_type": "auto", "freeze_bn": "frozen"}, {"loss_scale_type": "fixed", "freeze_bn": "none"}, []),
        ({"val_interval": 1}, {"val_interval": 2, "scheduler": "cosine_decay"}, []),
        ({"val_interval": 1}, {"val_interval": 2, "scheduler": "plateau"}, ["val_interval 1 -> 2"]),
    ],
)
def test_differences_are_reported_unless_they_cannot_change_the_result(saved, now, reported):
    remarks = resume.compare(saved, now, inside_epoch=True)
    assert [remark.partition(": ")[2] for remark in remarks] == reported
