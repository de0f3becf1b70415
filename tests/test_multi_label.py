"""Training, resuming, validating and predicting by the scripts on images with several labels."""

import csv
import json
import os
import signal
from dataclasses import replace

import fixtures_data
import numpy as np
import pytest
from PIL import Image
from script_runs import fails, small_run

import export
import infer
import train
import validate
from assemble_data import build_training_loader
from config import load_config
from mindcv.checkpoint import read_checkpoint
from mindcv.engine import EpochLog

PROPERTIES = {"even": (0, 2, 4, 6, 8), "small": (0, 1, 2, 3, 4), "square": (0, 1, 4, 9)}  # 5 and 7 have no label


@pytest.fixture
def digits(tmp_path, monkeypatch):
    """Lists of 32 and 20 digits with their properties, in the current folder."""
    monkeypatch.chdir(tmp_path)
    pixels, numbers = fixtures_data.digit_images(16)
    (tmp_path / "digits").mkdir()
    for split, chosen in (("train", range(32)), ("val", range(32, 52))):
        lines = ["image,label"]
        for k in chosen:
            Image.fromarray(pixels[k]).save(tmp_path / "digits" / f"{k}.png")
            lines.append(f"{k}.png,{';'.join(name for name, those in PROPERTIES.items() if numbers[k] in those)}")
        (tmp_path / "digits" / f"{split}.csv").write_text("\n".join(lines))
    return tmp_path


def line(folder, *extra, loss="BCE") -> list[str]:
    data = ["--dataset=properties", "--data_dir=digits", "--num_samples=none", f"--loss={loss}", "--mixup=0.2"]
    return small_run(folder, *data, "--ema", "--ema_decay=0.5", "--ckpt_save_policy=top_k", *extra)


def test_a_run_is_resumed_exactly_validated_and_used(digits, tiny_model, monkeypatch, capsys):
    assert train.main(line("whole")) == 0
    told = capsys.readouterr().out
    assert "mAP" in told and "without EMA" in told and "top-1" not in told

    def stop_in_epoch_2(_, report):
        if report.number == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(EpochLog, "on_step_end", stop_in_epoch_2)
        assert train.main(line("out")) == 128 + signal.SIGTERM
    assert train.main(line("out", "--resume")) == 0
    whole, out = (read_checkpoint(f"{folder}/tiny_sknet-last.ckpt") for folder in ("whole", "out"))
    assert whole.info["metrics"] == out.info["metrics"] and set(out.info["metrics"]) == {"train_loss", "mAP", "loss"}
    for these, those in ((whole.weights, out.weights), (whole.state, out.state)):
        assert these.keys() == those.keys() and all(these[key].tobytes() == those[key].tobytes() for key in these)
    of_one_label = replace(out, info={**out.info, "is_multi_label": False})
    with pytest.raises(ValueError, match=r"several labels per image; an image of out/tiny_sknet-last\.ckpt has one"):
        build_training_loader(load_config(line("out"), prog="train"), of_one_label, resumes=True)
    with open("out/metrics.csv", newline="") as lines:
        rows = list(csv.DictReader(lines))
    best = read_checkpoint("out/tiny_sknet-best.ckpt").info
    assert best["metrics"]["mAP"] == max(float(row["val_mAP"]) for row in rows)
    assert not [column for column in rows[0] if "top" in column]
    capsys.readouterr()
    assert train.main(line("out", "--resume")) == 0
    assert f"best mAP {best['metrics']['mAP']:.2f} % in epoch {best['epoch']}" in capsys.readouterr().out

    result = validate.main(["--ckpt_path=out/tiny_sknet-last.ckpt", "--fold_bn=false", "--report=report.json"])
    assert (result.mAP, result.loss) == (out.info["metrics"]["mAP"], out.info["metrics"]["loss"])
    assert (result.num_examples, result.num_bad) == (20, 0)
    told = capsys.readouterr().out
    assert told.count(f"mAP {result.mAP:.2f} %  loss {result.loss:.4f}") == 2 and "top-1" not in told
    with open("report.json") as file:
        classes = json.load(file)["classes"]
    assert [row["class_name"] for row in classes] == ["even", "small", "square"]
    assert 100 * np.mean([row["average_precision"] for row in classes]) == pytest.approx(result.mAP)
    picture = ["--ckpt_path=out/tiny_sknet-last.ckpt", "--confusion_matrix=c.png"]
    assert "confusion_matrix needs one label per image" in fails(validate.main, picture, capsys)

    assert infer.main(["--ckpt_path=out/tiny_sknet-last.ckpt", "--images=digits", "--topk=1", "--output=p.json"]) == 0
    export.main(["--ckpt_path=out/tiny_sknet-last.ckpt", "--output=tiny.onnx"])
    assert infer.main(["--ckpt_path=tiny.onnx", "--images=digits", "--topk=1", "--output=q.json"]) == 0
    assert validate.main(["--ckpt_path=tiny.onnx"]).mAP == pytest.approx(result.mAP, abs=1)
    predicted = []
    for name in ("p.json", "q.json"):
        with open(name) as file:
            predicted.append([[c["probability"] for c in entry["candidates"]] for entry in json.load(file)])
        assert all(probability > 0.5 for row in predicted[-1] for probability in row[1:])
    assert max(map(len, predicted[0])) > 1 and list(map(len, predicted[0])) == list(map(len, predicted[1]))
    np.testing.assert_allclose(np.concatenate(predicted[0]), np.concatenate(predicted[1]), rtol=1e-3)


def test_options_for_one_label_are_errors(digits, tiny_model, capsys):
    for loss in ("CE", "asl_single_label"):
        message = fails(train.main, line("out", loss=loss), capsys)
        assert f"loss={loss} (command line) is for one label per image" in message
        assert "use one of BCE, asl_multi_label, focal, for example --loss=BCE" in message
    message = fails(train.main, line("out", "--class_weights=balanced"), capsys)
    assert "class_weights=balanced is for one label per image" in message and "Give 3 numbers" in message
    assert not (digits / "out").exists()
