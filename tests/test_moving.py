"""A run and its checkpoints in another folder, a moved project, with fewer cores, on another device."""

import os

import fixtures_data
import pytest
from config_lines import CIFAR
from script_runs import fails, small_run

import resume
import train
import validate
from assemble import Arithmetic
from config import load_config
from mindcv.checkpoint import read_checkpoint


@pytest.fixture
def project(tmp_path, tiny_model, monkeypatch, capsys):
    """A folder with data and one epoch of a run in ckpt/, both named by relative paths; not the current folder."""
    folder = tmp_path / "project"
    for split in ("train", "val"):
        fixtures_data.write_image_folder(folder / "flowers", split, ["daisy", "rose"], 8, "png")
    monkeypatch.chdir(folder)
    line = small_run("ckpt", "--dataset=flowers", "--data_dir=flowers", "--epoch_size=1", "--batch_size=8", "--mode=1")
    assert train.main(line) == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    capsys.readouterr()
    return folder


def checkpoint(folder, kind="best"):
    return folder / "ckpt" / f"tiny_sknet-{kind}.ckpt"


def test_a_checkpoint_finds_its_data_from_another_folder(project):
    assert validate.main([f"--ckpt_path={checkpoint(project)}", "--mode=1"]).num_examples == 16


def test_the_saved_configuration_repeats_the_run_from_another_folder(project, capsys):
    assert train.main(["-c", f"{project}/ckpt/config.yaml"]) == 0
    assert "16 images to train" in capsys.readouterr().out


def test_a_run_resumes_from_another_folder_unchanged(project, capsys):
    assert train.main([f"--resume={project / 'ckpt'}", f"--data_dir={project}/flowers"]) == 0
    assert "is complete" in capsys.readouterr().out
    assert train.main([f"--resume={project / 'ckpt'}", "--epoch_size=2"]) == 0
    assert "so not identical to an uninterrupted run: epoch_size 1 -> 2;" in capsys.readouterr().out


def test_a_moved_project_finds_and_reports_its_data(project, monkeypatch, capsys):
    moved = project.rename(project.parent / "moved")
    monkeypatch.chdir(moved)
    assert validate.main(["--ckpt_path=ckpt/tiny_sknet-best.ckpt", "--mode=1"]).num_examples == 16
    assert f"data_dir {project}/flowers is gone; using {moved}/flowers" in capsys.readouterr().out


def test_missing_data_is_an_error_that_names_the_checkpoint(project, capsys):
    moved = project.rename(project.parent / "moved")
    for main, argv, kind in (
        (validate.main, [f"--ckpt_path={checkpoint(moved)}"], "best"),
        (train.main, [f"--resume={moved}/ckpt", "--epoch_size=2"], "last"),
    ):
        message = fails(main, argv, capsys)
        assert f"data_dir={project}/flowers ({checkpoint(moved, kind)}): there is no such folder" in message
        assert "--data_dir=FOLDER" in message


def test_a_run_resumes_with_the_available_cores(tmp_path, tiny_model, monkeypatch, capsys):
    if (os.cpu_count() or 1) < 2:
        pytest.skip("needs two cores")
    line = small_run(tmp_path, "--epoch_size=1", "--mode=1", "--num_parallel_workers=2")
    assert train.main(line) == 0
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    capsys.readouterr()
    assert train.main([f"--resume={tmp_path}", "--epoch_size=2"]) == 0
    printed = capsys.readouterr().out
    assert "the run had 2 data threads and now has 1: augmentations differ" in printed
    assert read_checkpoint(tmp_path / "tiny_sknet-last.ckpt").info["training"]["num_parallel_workers"] == 1
    message = fails(train.main, [f"--resume={tmp_path}", "--epoch_size=3", "--num_parallel_workers=2"], capsys)
    assert "num_parallel_workers=2 (command line) must be from 1 to 1" in message


def test_a_recipe_gives_way_to_the_available_cores(recipe, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    path = recipe("num_parallel_workers: 8\ndataset: cifar10")
    cfg = load_config(["-c", path], prog="train")
    assert cfg.data.num_parallel_workers == 3
    assert cfg.notices == (
        f"num_parallel_workers=8 ({path}) gives way to this machine: num_parallel_workers=3, its cores",
    )
    with pytest.raises(ValueError, match=r"num_parallel_workers=8 \(command line\) must be from 1 to 3"):
        load_config([CIFAR, "--num_parallel_workers=8"], prog="train")
    assert not load_config(["-c", path], prog="export").notices


def test_resuming_on_a_missing_device_is_an_error_that_says_how_to_continue(tmp_path, tiny_model, monkeypatch, capsys):
    assert train.main(small_run(tmp_path, "--epoch_size=1", "--mode=1")) == 0
    read = resume.CheckpointStore.newest

    def newest(store):
        found, complaints = read(store)
        found.info["config"]["device_target"] = "GPU"
        return found, complaints

    monkeypatch.setattr(resume.CheckpointStore, "newest", newest)
    monkeypatch.setattr(resume, "present_devices", lambda: ["CPU"])
    message = fails(train.main, [f"--resume={tmp_path}", "--epoch_size=2"], capsys)
    assert "the run was on device_target=GPU" in message and "--device_target=CPU resumes it" in message
    assert train.main([f"--resume={tmp_path}", "--epoch_size=2", "--device_target=CPU"]) == 0
    assert "device_target GPU -> CPU" in capsys.readouterr().out


def test_continuing_on_another_kind_of_device_is_reported(project, capsys):
    run = read_checkpoint(checkpoint(project, "last"))
    here = Arithmetic("CPU", 1, True, "none")
    resume.say_if_rounding_changes(run, here)
    assert capsys.readouterr().out == ""
    resume.say_if_rounding_changes(run, here._replace(device="GPU"))
    assert "the run was on CPU and continues on GPU: results agree up to rounding" in capsys.readouterr().out
