"""Cross-validation by the scripts: a checkpoint is measured on its fold, and a tool summarizes all of them."""

import fixtures_data
import numpy as np
import pytest
from fold_summary import summarize
from script_runs import fails, small_run

import train
import validate
from config import load_config
from mindcv.checkpoint import read_checkpoint


def line(fold, *extra) -> list[str]:
    usual = {"data_dir": "birds", "mode": 1, "num_samples": "none", "batch_size": 8, "epoch_size": 1}
    words = [f"--{key}={value}" for key, value in usual.items()]
    return small_run(f"out{fold}", *words, "--folds=2", f"--fold={fold}", *extra)


@pytest.fixture
def birds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for split in ("train", "val"):
        fixtures_data.write_image_folder(tmp_path / "birds", split, ["wren", "tit"], 10 if split == "train" else 3)


def test_folds_are_trained_measured_and_summarized(birds, tiny_model, capsys):
    for fold in (0, 1):
        train.main(line(fold))
    told = capsys.readouterr().out
    assert "is divided into 2 folds: 10 images to train, 10 held out to validate (fold=1 of folds=2, seed=42)" in told
    accuracies = []
    for fold in (0, 1):
        checkpoint = read_checkpoint(f"out{fold}/tiny_sknet-last.ckpt")
        result = validate.main([f"--ckpt_path=out{fold}/tiny_sknet-last.ckpt", "--seed=7"])
        assert (result.num_examples, result.top1) == (10, checkpoint.info["metrics"]["top1"])
        accuracies.append(result.top1)
    assert validate.main(["--ckpt_path=out0/tiny_sknet-last.ckpt", "--folds=none"]).num_examples == 6
    capsys.readouterr()
    validate.main(["--ckpt_path=out0/tiny_sknet-last.ckpt", "--fold=1"])
    assert "may have been trained on some of the images to validate: their run" in capsys.readouterr().out
    text = summarize(["out1", "out0"])
    mean, half = np.mean(accuracies), 12.706 * np.std(accuracies, ddof=1) / np.sqrt(2)  # Student's t, 1 degree
    assert text.splitlines()[-1] == f"2 folds: top-1 {mean:.2f} % +- {half:.2f} (95 % confidence)"
    with pytest.raises(ValueError, match="out0 and out0 hold the same fold 0"):
        summarize(["out0", "out0"])
    assert "another fold" in fails(train.main, [*line(0)[:-1], "--fold=1", "--resume"], capsys)


def test_options_without_effect_beside_folds_are_reported():
    notices = load_config(["--folds=3", "--val_split=test", "--dataset=x"], prog="train").notices
    assert "val_split has no effect with folds=3" in notices
    assert "fold has no effect with folds=none" in load_config(["--fold=1"], prog="train").notices
