"""train.py --resume: which run in which folder is continued, and what is said if there is none."""

import os
import re

import numpy as np
from resumed_runs import ONE_EPOCH, assert_same_run, last, quick_run
from script_runs import fails

import train
from mindcv.checkpoint import CheckpointStore, read_checkpoint


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
