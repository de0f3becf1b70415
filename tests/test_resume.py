"""train.py --resume as a user runs it: an interrupted run ends bit-identical to an uninterrupted one."""

import csv
import os
import re
import signal

import numpy as np
import pytest
from script_runs import fails, small_run
from tiers import full

import resume
import train
from mindcv.checkpoint import CheckpointStore, read_checkpoint
from mindcv.engine import Evaluation, multi_label
from mindcv.engine import trainer as trainer_module

DROPS = ["--drop_rate=0.2", "--drop_path_rate=0.2", "--re_prob=0.5", "--mixup=0.8", "--cutmix=1.0", "--aug_repeats=2"]
STEP = ["--ema", "--ema_decay=0.8", "--ema_warmup=0", "--clip_grad", "--clip_mode=agc"]


ONE_EPOCH = ["--epoch_size=1", "--warmup_epochs=0"]


def quick_run(folder, *extra):
    """`small_run` in Pynative mode, for tests that do not depend on the mode."""
    return small_run(folder, "--mode=1", *extra)


def last(folder):
    return folder / "tiny_sknet-last.ckpt"


def assert_same_run(one, other):
    """Weights, optimizer and history of two finished runs are the same."""
    for name in ("last", "best"):
        a, b = (read_checkpoint(folder / f"tiny_sknet-{name}.ckpt") for folder in (one, other))
        assert a.info["epoch"] == b.info["epoch"] and a.info["metrics"] == b.info["metrics"]
        for these, those in ((a.weights, b.weights), (a.state, b.state)):
            assert these.keys() == those.keys()
            for key, array in these.items():
                assert array.tobytes() == those[key].tobytes(), key
    rows = []
    for folder in (one, other):
        with (folder / "metrics.csv").open(newline="") as lines:
            columns = ("epoch", "train_loss", "lr", "val_top1", "val_loss")
            rows.append([[row[column] for column in columns] for row in csv.DictReader(lines)])
    assert rows[0] == rows[1]


@pytest.fixture
def interrupt(monkeypatch):
    """`interrupt(n, signum)` sends this process a signal at the n-th training step from now on."""

    def arrange(step, signum=signal.SIGTERM):
        left = [2 * step]  # images and labels of each step become Tensors

        def to_tensor(array):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signum)
            return tensor(array)

        tensor = trainer_module.Tensor
        monkeypatch.setattr(trainer_module, "Tensor", to_tensor)

    return arrange


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


@pytest.mark.parametrize("mode_flag", full(["--mode=0", "--mode=1"], by_default=["--mode=1"]))
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


@pytest.fixture
def stopped(tmp_path, tiny_model, interrupt, capsys):
    """A run that was interrupted inside its first epoch."""
    interrupt(2)
    train.main(quick_run(tmp_path / "out"))
    capsys.readouterr()
    return tmp_path / "out"


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


def test_resuming_needs_no_other_flag_and_keeps_the_original_command_line(stopped, capsys):
    assert train.main([f"--resume={last(stopped)}"]) == 0
    printed = capsys.readouterr().out
    assert "resumed with changes" not in printed and f"written to {stopped}" in printed
    assert read_checkpoint(last(stopped)).info["config"]["num_parallel_workers"] == 1


def test_the_saved_configuration_still_repeats_the_whole_run(tmp_path, tiny_model, interrupt):
    train.main(quick_run(tmp_path / "first", *ONE_EPOCH))
    interrupt(2)
    train.main(quick_run(tmp_path / "out", f"--ckpt_path={last(tmp_path / 'first')}"))
    before = (tmp_path / "out" / "config.yaml").read_text()
    assert str(last(tmp_path / "first")) in before
    assert train.main([f"--resume={tmp_path / 'out'}", "--model=tiny_sknet"]) == 0
    assert (tmp_path / "out" / "config.yaml").read_text() == before


def test_the_model_need_not_be_named_if_the_folder_holds_one(stopped, monkeypatch, capsys):
    monkeypatch.chdir(stopped.parent)
    assert train.main(["--resume", "--ckpt_save_dir=out"]) == 0
    assert "resumed from out/tiny_sknet-last.ckpt: epoch 1, step 2 of 4" in capsys.readouterr().out


def test_mindcvs_resume_opt_resumes_as_well(stopped, capsys):
    assert train.main([f"--ckpt_path={last(stopped)}", "--resume_opt", "--model=tiny_sknet"]) == 0
    assert "resumed from" in capsys.readouterr().out
    assert "resume_opt=true (command line) needs ckpt_path" in fails(train.main, ["--resume_opt"], capsys)


def test_a_run_resumes_into_another_folder_with_its_best_and_leaves_the_old_one(tmp_path, tiny_model, capsys):
    train.main(quick_run(tmp_path / "whole", "--epoch_size=2"))
    train.main(quick_run(tmp_path / "old", "--epoch_size=2", "--keep_checkpoint_max=2"))
    before = {entry.name: entry.read_bytes() for entry in (tmp_path / "old").iterdir()}
    line = [f"--resume={tmp_path / 'old' / 'tiny_sknet-1.ckpt'}", f"--ckpt_save_dir={tmp_path / 'new'}"]
    assert train.main(line) == 0
    assert "resumed from" in capsys.readouterr().out
    assert_same_run(tmp_path / "whole", tmp_path / "new")
    assert {entry.name: entry.read_bytes() for entry in (tmp_path / "old").iterdir()} == before


def test_a_run_that_ended_early_is_complete(tmp_path, tiny_model, capsys):
    options = ["--epoch_size=4", "--lr=1e-30", "--early_stop_patience=1"]
    assert train.main(quick_run(tmp_path, *options, "--ckpt_save_interval=4")) == 0
    printed = capsys.readouterr().out
    assert "ended after epoch 2: the last validation did not raise the best top-1\n" in printed
    assert "best: epoch 1" in printed and read_checkpoint(last(tmp_path)).info["epoch"] == 2
    before = {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()}
    assert train.main(quick_run(tmp_path, *options, "--resume")) == 0
    assert "is complete: 2 epochs" in capsys.readouterr().out
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == before
    assert train.main(quick_run(tmp_path, *options[:2], "--early_stop_patience=none", "--resume")) == 0
    assert read_checkpoint(last(tmp_path)).info["epoch"] == 4


def test_nothing_to_resume_is_an_error_and_creates_nothing(tmp_path, tiny_model, capsys):
    message = fails(train.main, quick_run(tmp_path / "out", "--resume"), capsys)
    assert "nothing to resume in" in message and "--resume=auto starts a new run" in message
    assert not (tmp_path / "out").exists()


def test_the_best_checkpoint_cannot_be_resumed(tmp_path, tiny_model, capsys):
    train.main(quick_run(tmp_path, *ONE_EPOCH))
    message = fails(train.main, [f"--resume={tmp_path / 'tiny_sknet-best.ckpt'}"], capsys)
    assert "holds weights, but no training state" in message and "--ckpt_path=" in message


def test_auto_starts_from_scratch_if_there_are_only_weights_and_keeps_them(tmp_path, tiny_model, capsys):
    train.main(quick_run(tmp_path, *ONE_EPOCH))
    run = read_checkpoint(last(tmp_path))
    for path in (last(tmp_path), tmp_path / "tiny_sknet-previous.ckpt"):
        path.unlink(missing_ok=True)
    capsys.readouterr()
    assert train.main(quick_run(tmp_path, *ONE_EPOCH, "--resume=auto")) == 0
    assert "moved to" in capsys.readouterr().out
    best = read_checkpoint(tmp_path / "earlier-1" / "tiny_sknet-best.ckpt")
    np.testing.assert_array_equal(best.weights["classifier.weight"], run.weights["classifier.weight"])


def test_a_second_run_in_the_folder_is_an_error_that_names_the_first(tmp_path, tiny_model, capsys):
    store = CheckpointStore(tmp_path / "out", "tiny_sknet")
    with store.lock():
        message = fails(train.main, quick_run(tmp_path / "out"), capsys)
    assert re.search(rf"process {os.getpid()} on host \S+, started 20\d\d-\d\d-\d\d", message)


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
