"""`train.py --processes=2`, as a user runs it."""

import os
import signal
import socket
import subprocess
import sys

import pytest
from fixtures_data import write_image_folder
from programs import ENVIRONMENT, command
from resumed_runs import assert_same_run, last
from script_runs import small_run

import validate
from mindcv.checkpoint import read_checkpoint

OPTIONS = ["--epoch_size=3", "--batch_size=8", "--drop_path_rate=0.2", "--ema", "--mixup=0.2", "--warmup_epochs=0"]


def environment(**variables):
    path = os.pathsep.join((os.path.dirname(sys.executable), os.environ["PATH"]))  # msrun starts its `python`
    return {**os.environ, **ENVIRONMENT, "PATH": path, **variables}


def run(folder, *options, processes=2, before=(), **variables):
    """Train in a process of its own, started by `before` if there is one; returns what `subprocess.run` does."""
    usual = [option for option in OPTIONS if option.partition("=")[0] not in {o.partition("=")[0] for o in options}]
    line = small_run(folder, *usual, *([f"--processes={processes}"] if processes else []), *options)
    program = command("run_together", *line)
    return subprocess.run(
        [*before, *program[1:]] if before else program,
        env=environment(**variables),
        cwd=folder.parent,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run of two processes, and what it printed."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    ended = run(folder)
    assert ended.returncode == 0, ended.stderr
    return folder, ended


def test_two_processes_print_and_save_like_one(whole):
    folder, ended = whole
    assert ended.stderr == ""
    lines = ended.stdout.splitlines()
    assert "on CPU, Pynative mode, 2 processes with batches of 8" in ended.stdout
    assert len([line for line in lines if line.startswith("epoch ")]) == 3
    assert len(lines) == len(set(lines))
    files = {path.name for path in folder.iterdir()}
    assert files == {
        "config.yaml",
        "metrics.csv",
        *(f"tiny_sknet-{kind}.ckpt" for kind in ("best", "last", "previous")),
    }
    assert read_checkpoint(last(folder)).info["config"]["processes"] == 2


def test_the_figures_are_those_of_one_process(whole, tiny_model, capsys):
    """Each image of the validation split counts once, although 70 do not divide into two shards of whole batches."""
    best = whole[0] / "tiny_sknet-best.ckpt"
    validate.main([f"--ckpt_path={best}", "--no-fold_bn", "--mode=1"])
    metrics = read_checkpoint(best).info["metrics"]
    out = capsys.readouterr().out
    assert f"top-1 {metrics['top1']:.2f} %" in out and f"top-5 {metrics['top5']:.2f} %" in out
    assert "70 images" in out


@pytest.mark.parametrize("mode", [1, pytest.param(0, marks=pytest.mark.slow)])
def test_a_signal_to_one_stops_all_and_the_resumed_run_ends_like_an_uninterrupted_one(whole, tmp_path, mode):
    expected, folder = whole[0], tmp_path / "run"
    if mode == 0:
        expected = tmp_path / "whole"
        assert run(expected, "--mode=0").returncode == 0
    ended = run(folder, f"--mode={mode}", SIGNAL_AT=f"1,6,{int(signal.SIGTERM)}")
    assert ended.returncode == 143, ended.stderr
    assert "interrupted by SIGTERM at epoch 2, step 3 of 4" in ended.stdout  # both after the step that told the other
    assert ended.stdout.count("continue with: ") == 1
    resumed = run(folder, f"--resume={folder}", processes=None)
    assert resumed.returncode == 0, resumed.stderr
    assert_same_run(folder, expected)


@pytest.mark.slow
def test_a_killed_process_ends_the_run_which_then_resumes(whole, tmp_path):
    folder = tmp_path / "run"
    ended = run(folder, "--ckpt_save_steps=1", SIGNAL_AT=f"1,7,{int(signal.SIGKILL)}")
    assert ended.returncode == 137
    assert "error: process 1 of 0 to 1 was ended by SIGKILL; the others were ended" in ended.stderr
    resumed = run(folder, f"--resume={folder}", processes=None)
    assert resumed.returncode == 0 and "epoch 2, step 2 of 4" in resumed.stdout
    assert_same_run(folder, whole[0])


@pytest.mark.slow
def test_the_number_of_processes_may_change_between_epochs_only(tmp_path):
    folder = tmp_path / "run"
    assert run(folder, "--epoch_size=1").returncode == 0
    alone = run(folder, f"--resume={folder}", "--epoch_size=2", processes=1)
    assert alone.returncode == 0 and "processes 2 -> 1" in alone.stdout
    ended = run(folder, f"--resume={folder}", processes=1)
    assert ended.returncode == 0
    inside = tmp_path / "inside"
    assert run(inside, SIGNAL_AT=f"0,2,{int(signal.SIGTERM)}").returncode == 143
    refused = run(inside, f"--resume={inside}", processes=1)
    assert refused.returncode == 2 and "in the middle of an epoch" in refused.stderr
    assert "processes 2 -> 1" in refused.stderr


def msrun(folder):
    """The beginning of a command line that starts two processes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--worker_num=2", "--local_worker_num=2", f"--master_port={port}", "--join=True"]
    return [os.path.join(os.path.dirname(sys.executable), "msrun"), *options, f"--log_dir={folder}/logs"]


@pytest.mark.slow
def test_msrun_starts_the_same_training(whole, tmp_path):
    folder = tmp_path / "run"
    ended = run(folder, processes=None, before=msrun(tmp_path))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert_same_run(folder, whole[0])


@pytest.mark.slow
def test_a_process_may_be_later_than_mindspore_waits_by_default(whole, tmp_path):
    ended = run(tmp_path / "run", LATE_AT="0,3,35")
    assert ended.returncode == 0, ended.stderr
    assert_same_run(tmp_path / "run", whole[0])


@pytest.mark.slow
def test_msrun_ends_when_there_is_nothing_to_train(whole, tmp_path):
    """Also the process that waits for the others to join."""
    plot = run(tmp_path / "run", "--plot_schedule=plot.png", processes=None, before=msrun(tmp_path))
    assert plot.returncode == 0 and plot.stdout.count("is drawn in") == 1
    complete = run(whole[0], f"--resume={whole[0]}", processes=None, before=msrun(tmp_path))
    assert complete.returncode == 0 and complete.stdout.count("is complete") == 1


@pytest.mark.slow
def test_machines_that_see_different_folders_do_not_train_together(tmp_path):
    """The number of a process in the name of the folder stands for another machine's file system."""
    folders = [tmp_path / str(rank) for rank in range(2)]
    assert run(folders[0], "--epoch_size=1", processes=1).returncode == 0
    line = command("run_together", *small_run("RANK", *OPTIONS, "--resume=auto"))[1:]
    program = tmp_path / "each.py"
    program.write_text(
        "import os, runpy, sys\n"
        f"os.chdir({str(tmp_path)!r})\n"
        f"sys.argv = [word.replace('RANK', os.environ.get('RANK_ID', '0')) for word in {line!r}]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    ended = subprocess.run([*msrun(tmp_path), program], env=environment(), cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode != 0
    assert "error: process 1 and the others differ in complete epochs (0 here), weights" in ended.stdout


@pytest.mark.slow
def test_a_process_without_an_image_to_validate_counts_none(tmp_path):
    write_image_folder(tmp_path / "data", "train", ["a", "b"], 12)
    write_image_folder(tmp_path / "data", "val", ["a"], 1)
    options = ["--dataset=mine", f"--data_dir={tmp_path / 'data'}", "--num_samples=none", "--in_channels=3"]
    ended = run(tmp_path / "run", *options)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count(", 1 to validate") == 1 and ended.stdout.count("epoch 3/3") == 1


@pytest.mark.slow
def test_an_error_of_every_process_is_told_once(tmp_path):
    ended = run(tmp_path / "run", "--batch_size=36", "--drop_remainder=true")
    assert ended.returncode == 2
    assert ended.stderr.count("error: ") == 1 and "in 2 shards: no full batch" in ended.stderr


@pytest.mark.slow
def test_the_check_of_a_device_tries_the_exchange(tmp_path):
    ended = run(tmp_path / "run", "--check_device", "--device_target=CPU")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "1 to 2 add up to 3 in process 0 of 2" in ended.stdout and ended.stdout.count("the device works") == 1
