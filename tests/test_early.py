"""Wrong names and paths are reported before MindSpore is imported."""

import subprocess
import sys
from pathlib import Path

import pytest
from script_runs import fails

import benchmark
import config
import convert
import export
import infer
import train
import validate
from mindcv.model_names import model_names
from mindcv.models import list_models

ROOT = Path(config.__file__).parent
SCRIPTS = {
    "train": train,
    "validate": validate,
    "infer": infer,
    "export": export,
    "convert": convert,
    "benchmark": benchmark,
}

MISTAKES = [
    ("train", ["--model=densenet121"], "unknown model 'densenet121'. Known: resnet101"),
    ("train", ["--model=sknet5O"], "unknown model 'sknet5O'. Did you mean 'sknet50'?"),
    ("train", ["--pretrained=nobodys"], "no weights 'nobodys' are published for 'sknet50'"),
    ("train", ["--ckpt_path=nowhere.ckpt"], "no checkpoint at nowhere.ckpt"),
    ("train", ["-c", "nowhere.yaml"], "nowhere.yaml: no such file"),
    ("train", ["--dataset=cifr10", "--data_dir=nowhere"], "Did you mean 'cifar10'?"),
    ("train", ["--dataset=flowers", "--data_dir=nowhere"], "data_dir=nowhere (command line): there is no such folder"),
    ("train", ["--dataset=cifar10", "--data_dir=nowhere"], "get it with --dataset_download"),
    ("train", ["--resume=nowhere"], "nothing to resume in nowhere (resume), which does not exist"),
    ("train", ["--resume", "--ckpt_save_dir=nowhere"], "nothing to resume in nowhere (ckpt_save_dir)"),
    ("validate", ["--ckpt_path=nowhere.onnx"], "no file nowhere.onnx"),
    ("validate", ["--model=resnet50", "--pretrained", "--data_dir=nowhere"], "data_dir=nowhere"),
    ("infer", ["--ckpt_path=nowhere.ckpt", "--images=setup.py"], "no checkpoint at nowhere.ckpt"),
    ("infer", ["--pretrained", "--images", "setup.py", "nowhere.png"], "there is no file or folder nowhere.png"),
    ("infer", ["--pretrained", "--images=setup.py", "--output=a.xls"], "a file named *.csv or *.json; got 'a.xls'"),
    ("export", ["--pretrained", "--output=a.ckpt"], "a file named *.onnx or *.mindir; got 'a.ckpt'"),
    ("export", ["--pretrained", "--output=nowhere/a.onnx"], "the folder nowhere does not exist"),
    ("convert", ["--ckpt_path=nowhere.pth", "--output=a.ckpt"], "no checkpoint at nowhere.pth"),
    ("convert", ["--average=a.ckpt,b.ckpt", "--output=a.ckpt"], "--average a.ckpt b.ckpt"),
    ("convert", ["--ckpt_path=a.pth", "--output=a.pth"], "must name a .ckpt file"),
    ("benchmark", ["--model=sknet5O"], "unknown model 'sknet5O'. Did you mean 'sknet50'?"),
    ("benchmark", ["--device_target=TPU"], "device_target: 'TPU' is not one of auto, Ascend, GPU, CPU"),
    ("benchmark", ["--ckpt_path=nowhere.ckpt"], "no checkpoint at nowhere.ckpt"),
    ("benchmark", ["--data_dir=nowhere"], "data_dir=nowhere (command line): there is no such folder"),
    ("benchmark", ["--peer_python=nowhere/python"], "peer_python=nowhere/python: there is no such program"),
    ("benchmark", ["--out=setup.py"], "out must be a folder; setup.py is a file"),
    ("benchmark", ["--warmup_epochs=9", "--warmup_steps=9"], "warmup_steps"),
]


@pytest.mark.parametrize(("prog", "argv", "message"), MISTAKES)
def test_a_wrong_name_or_path_is_a_one_line_error(prog, argv, message, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert message in fails(SCRIPTS[prog].main, argv, capsys)


def test_wrong_names_and_paths_are_reported_before_mindspore_is_imported():
    code = (
        "import importlib, json, sys\n"
        "for prog, argv in json.loads(sys.argv[1]):\n"
        "    try: importlib.import_module(prog).main(argv)\n"
        "    except (ValueError, OSError): pass\n"
        "    assert 'mindspore' not in sys.modules, (prog, argv)\n"
    )
    import json

    mistakes = json.dumps([(prog, argv) for prog, argv, _ in MISTAKES])
    done = subprocess.run([sys.executable, "-c", code, mistakes], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_names_that_are_read_from_the_sources_are_those_of_the_registry(monkeypatch):
    monkeypatch.delitem(sys.modules, "mindcv.models.factory")
    assert model_names() == list_models()


def test_a_model_that_is_registered_later_is_known(tiny_model):
    assert tiny_model in model_names()


def test_weights_that_a_resumed_run_does_not_need_may_be_missing(tmp_path, capsys):
    assert "nothing to resume in" in fails(train.main, [f"--resume={tmp_path}", "--ckpt_path=nowhere.ckpt"], capsys)


def test_a_mistyped_data_set_is_named_where_the_usual_folder_holds_others(tmp_path, monkeypatch, capsys):
    (tmp_path / "data" / "cifar-10-batches-bin").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert "dataset=cifr10: ./data holds no folder" in fails(train.main, ["--dataset=cifr10"], capsys)
