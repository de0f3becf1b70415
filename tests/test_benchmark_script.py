"""benchmark.py: what it measures is what train.py and validate.py build, and its command line."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from script_runs import fails, small_run
from tiers import full

import benchmark
import config
import train
import validate
from assemble_benchmark import build_training, subject
from benchmarks.harness import WorkerError
from measure import noted
from mindcv.benchmark import Results
from mindcv.checkpoint import read_checkpoint
from mindcv.engine import TrainStep

ROOT = Path(__file__).parent.parent
SMALL = ["--model=tiny_sknet", "--image_resize=16", "--batch_size=16", "--num_parallel_workers=1", "--no-compile_cache"]


@pytest.fixture
def tasks(monkeypatch):
    """The module with the tasks: a script in a folder of its own."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    before = {name: sys.modules.pop(name) for name in ("harness", "tasks") if name in sys.modules}
    yield importlib.import_module("tasks")
    for name in ("harness", "tasks"):
        sys.modules.pop(name, None)
    sys.modules.update(before)


def options_of(settings):
    """All options but those that belong to a command."""
    return {key: value for key, value in settings.to_dict().items() if config.OPTIONS[key].inherited}


@pytest.mark.parametrize("line", [["--dataset=digits"], ["--dataset=cifar10", "--data_dir=.", "--batch_size=8"]])
def test_the_options_are_those_of_train_and_of_validate(line):
    of_both = [*line, "--val_amp_level=O1", "--amp_dtype=float16"]
    of_train = ["--opt=lion", "--amp_level=O2", "--mixup=0.2", "--lr=0.3"]
    what = subject([*of_both, *of_train, "--num_bench_iter=2"], mode=1)
    trained = config.load_config([*of_both, *of_train, "--mode=1"], prog="train")
    assert options_of(what.training) == options_of(trained)
    assert options_of(what.evaluation) == options_of(config.load_config([*of_both, "--mode=1"], prog="validate"))
    assert what.why_no_data == "" and "no weights are given" in what.why_no_accuracy


@pytest.mark.parametrize(
    ("line", "reason", "side", "batch", "classes"),
    [
        (["--model=resnet18"], "no data are given", 224, 64, 1000),
        (["--model=sknet29", "--batch_size=7"], "no data are given", 32, 7, 10),
        (["--model=resnet18", "--num_classes=5"], "no data are given", 224, 64, 5),
        (["-c", "configs/sknet/sknet50_imagenet.yaml"], "there is no such folder", 224, 64, 1000),
    ],
)
def test_without_data_the_images_are_random_ones(monkeypatch, line, reason, side, batch, classes):
    monkeypatch.chdir(ROOT)
    what = subject(line, mode=0)
    assert reason in what.why_no_data and what.why_no_accuracy == what.why_no_data
    for settings in (what.training, what.evaluation):
        assert settings.data.dataset == "synthetic" and settings.model.num_classes == classes
        assert (settings.image.image_resize, settings.data.batch_size) == (side, batch)


def test_the_step_trains_as_train_does_and_is_timed(tmp_path, tiny_model, pynative, tasks, monkeypatch):
    options = ["--dataset=digits", "--num_samples=16", "--ema", "--opt=adamw", "--label_smoothing=0.1"]
    line = [*SMALL, *options, "--epoch_size=1", "--warmup_epochs=0"]
    assert train.main(small_run(tmp_path, *line, "--no-val_while_train")) == 0  # one step
    built = []
    monkeypatch.setattr(tasks, "build_training", lambda *of: built.append(build_training(*of)) or built[0])
    run = tasks.make_step("train", [*SMALL, *options, "--warmup_epochs=0"], 1, steps=2)
    answer = run()
    assert answer["batch_s"] > 0 and answer["batch"] == 16 and answer["not_finite"] == 0
    step = built[0].step
    assert isinstance(step, TrainStep) and step.updates == 1
    saved = read_checkpoint(tmp_path / "tiny_sknet-last.ckpt")
    trained = {key: value.asnumpy().tobytes() for key, value in step.measured.items()}
    assert trained.keys() == saved.weights.keys()
    assert all(saved.weights[key].tobytes() == value for key, value in trained.items())


def test_an_update_of_several_batches_is_timed_by_the_batch(tiny_model, pynative, tasks, monkeypatch):
    built = []
    monkeypatch.setattr(tasks, "build_training", lambda *of: built.append(build_training(*of)) or built[0])
    run = tasks.make_step("train", [*SMALL, "--gradient_accumulation_steps=3"], 1, steps=2)
    for updates in (1, 2):
        run()
        assert built[0].step.updates == updates


def test_accuracy_is_what_validate_says_and_waiting_that_of_the_training_loop(tmp_path, tiny_model, pynative, tasks):
    assert train.main(small_run(tmp_path, "--dataset=digits", "--epoch_size=1", "--warmup_epochs=0")) == 0
    line = [f"--ckpt_path={tmp_path / 'tiny_sknet-last.ckpt'}", "--no-compile_cache"]
    result = validate.main([*line, "--mode=1"])
    assert tasks.make_step("accuracy", line, 1)()["measures"] == result.measures
    about = tasks.make_step("describe", line, 1)()["about"]
    assert about["data"] == "digits" and about["why_no_accuracy"] == "" and about["epoch_images"] == 64
    assert (about["model"], about["image_resize"], about["num_classes"]) == ("tiny_sknet", 16, 10)
    answer = tasks.make_step("wait_for_data", line, 1, steps=6)()  # an epoch has 4
    assert len(answer["step_s"]) == len(answer["waited_s"]) == 6 and answer["batch"] == 16
    assert all(0 < waited < seconds for waited, seconds in zip(answer["waited_s"], answer["step_s"], strict=True))


LINE = ["--model=skresnet18", "--image_resize=32", "--batch_size=2", "--num_classes=10"]
FEW = ["--num_warm_iter=1", "--num_bench_iter=2"]


@pytest.mark.parametrize("more", full([["--bench=infer", "--mode=1"], []], by_default=[["--bench=infer", "--mode=1"]]))
def test_a_small_benchmark_writes_its_results(tmp_path, more):
    environment = {**os.environ, "MINDCV_CACHE": str(tmp_path / "cache")}
    line = [sys.executable, ROOT / "benchmark.py", *LINE, *FEW, *more, f"--out={tmp_path / 'out'}"]
    ended = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    measured = json.loads((tmp_path / "out" / "skresnet18-cpu.json").read_text())
    kinds, modes = (("infer",), ("Pynative",)) if more else (("train", "infer"), ("Graph", "Pynative"))
    assert measured["failures"] == {} and measured["about"]["device"] == "CPU"
    assert measured["about"]["parameters"] == 11_450_186  # with ten classes
    for kind in ("train", "infer"):
        assert set(measured["ours"][kind]) == ({*modes} if kind in kinds else set())
        for timing in measured["ours"][kind].values():
            assert len(timing["seconds"]) == 2 and min(timing["seconds"]) > 0 and timing["peak_mb"] > 100
            assert len(timing["image_seconds"]) == (2 if kind == "infer" else 0)
    assert "inference, one image, ms" in ended.stdout
    assert (tmp_path / "out" / "skresnet18-cpu.md").read_text().startswith("skresnet18: 11,450,186 parameters")


def test_an_absent_device_is_an_error_before_anything_is_measured(capsys):
    message = fails(benchmark.main, [*LINE, "--device_target=Ascend"], capsys)
    assert "device Ascend is not available here; present: CPU" in message


@pytest.mark.slow
def test_a_peer_without_torch_is_an_error_that_says_what_it_lacks(capsys):
    message = fails(benchmark.main, [*LINE, f"--peer_python={sys.executable}"], capsys)
    assert "must be an interpreter with torch and timm" in message and "No module named" in message


def test_the_other_scripts_take_no_option_of_the_benchmark():
    with pytest.raises(ValueError, match=r"num_bench_iter belongs to benchmark\.py; train\.py does not use it"):
        config.load_config(["--num_bench_iter=3"], prog="train")


def test_a_mode_that_fails_does_not_stop_the_rest(capsys):
    results = Results({}, {}, "2026-01-01")
    with noted(results, "train, Pynative"):
        raise WorkerError("out of memory")
    assert results.failures == {"train, Pynative": "out of memory"}
    assert capsys.readouterr().out == "train, Pynative: failed: out of memory\n"
