"""Results as a table, a page, a file and a row of the README."""

import json

import pytest

from mindcv.benchmark import DataWait, Results, Timing, as_text, readme_note, readme_row, write_report
from mindcv.benchmark.report import as_markdown


def timing(*milliseconds, batch=64, image=(), **more):
    seconds, images = ([value / 1000 for value in values] for values in (milliseconds, image))
    return Timing(batch, tuple(seconds), tuple(images), **more)


@pytest.fixture
def results():
    """Those of one card, with the medians of a run that was measured there: see the README."""
    about = {
        "model": "sknet50",
        "parameters": 27_479_784,
        "multiply_adds": 4_463_000_000,
        "num_classes": 1000,
        "image_resize": 224,
        "batch_size": 64,
        "val_image_resize": 224,
        "val_batch_size": 64,
        "device": "GPU",
        "card": "NVIDIA H200",
        "versions": {"mindspore": "2.10.0"},
        "precision": "float32",
        "data": "",
        "epoch_images": 0,
        "published": "",
        "why_no_accuracy": "no data are given",
        "num_warm_iter": 3,
        "num_bench_iter": 3,
    }
    results = Results(about, {"model": "sknet50"}, "2026-11-26")
    results.ours["train"]["Graph"] = timing(120.0, 120.9, 123.0, device_mb=9000.0, peak_mb=2.0)
    results.ours["train"]["Pynative"] = timing(267.7, device_mb=9500.0)
    results.ours["infer"]["Graph"] = timing(39.2, image=(17.1, 17.1, 18.0))
    return results


def test_the_readmes_row_has_seconds_of_an_epoch_and_milliseconds_of_a_batch(results):
    # 1,281,167 images of ImageNet / 64 a batch * 120.9 and 267.7 ms
    assert readme_row(results, "none") == (
        "| GPU | ImageNet | not measured | not measured | 5,358.9 s/epoch | not measured | 2,420.2 s/epoch | 39.2 ms "
        "| none | none |"
    )
    note = readme_note(results, "python benchmark.py --update_readme")
    assert note.startswith("GPU: NVIDIA H200; mindspore 2.10.0; 2026-11-26. Training steps at 224x224, batch 64, ")
    assert "an epoch of 1,281,167 images computed from them" in note
    assert note.endswith("`python benchmark.py --update_readme`")


def test_the_row_of_a_data_set_has_its_name_its_epoch_and_the_accuracy(results):
    results.about |= {"data": "digits", "epoch_images": 640}
    results.measures = {"top1": 98.333, "top5": 100.0, "loss": 0.1}
    assert readme_row(results, "[a](b)") == (
        "| GPU | digits | 98.33 % | 100.00 % | 2.7 s/epoch | not measured | 1.2 s/epoch | 39.2 ms | none | [a](b) |"
    )


def test_the_table_has_medians_quartiles_rates_and_memory_of_the_device(results):
    lines = as_markdown(results).splitlines()
    assert "| training step, 224x224, batch 64, ms | 120.9 (120.5 - 122.0) | 267.7 (267.7 - 267.7) |" in lines
    assert "| training, images/s | 529.4 | 239.1 |" in lines
    assert "| training, epoch of ImageNet, s | 2,420.2 | 5,358.9 |" in lines
    assert "| training, peak device memory, MB | 9,000 | 9,500 |" in lines
    assert "| inference, 224x224, batch 64, ms | 39.2 (39.2 - 39.2) | not measured |" in lines
    assert "| inference, one image, ms | 17.1 (17.1 - 17.6) | not measured |" in lines
    assert "accuracy: not measured: no data are given" in lines


def test_timm_is_compared_with_the_mode_that_it_took_turns_with(results):
    results.peer = {"model": "skresnext50_32x4d", "precision": "float32", "versions": {"timm": "1.0"}}
    results.peers["train"] |= {"Graph": timing(60.0, 120.9, 82.0), "Pynative": timing(133.85)}
    text = as_markdown(results)
    assert "| | Graph | Pynative | timm | Graph / timm | Pynative / timm |" in text.replace("|  |", "| |")
    ratios = "82.0 (71.0 - 101.5) | 1.50 (1.25 - 1.75) | 2.00 (2.00 - 2.00) |"
    assert f"| 120.9 (120.5 - 122.0) | 267.7 (267.7 - 267.7) | {ratios}" in text
    assert "timm: its skresnext50_32x4d, PyTorch eager, float32" in text


def test_a_cpu_has_no_device_memory_so_that_of_the_process_is_shown(results):
    results.about["device"] = "CPU"
    results.ours["train"] = {"Graph": timing(2.0, peak_mb=1234.4)}
    assert "training, peak resident memory of the process, MB   1,234" in as_text(results)


def test_waiting_failures_and_steps_without_an_update_are_said(results):
    results.about["data"] = "flowers"
    results.data = DataWait("Graph", 10, (0.5, 1.5), (0.1, 0.1))
    results.failures["infer, Pynative"] = "out of memory"
    results.ours["train"]["Graph"] = timing(1.0, 1.0, not_finite=2)
    text = as_text(results)
    assert "Graph mode: 10.0 % of the time spent waiting for data, 10.0 images/s with data" in text
    assert "failed: infer, Pynative: out of memory" in text
    assert "Graph, train: 2 steps of 2 updates had NaN or infinite gradients" in text


def test_the_files_hold_every_single_measurement(results, tmp_path):
    paths = write_report(tmp_path / "new", results)
    assert [path.name for path in paths] == ["sknet50-gpu.json", "sknet50-gpu.md"]
    measured = json.loads(paths[0].read_text())
    assert measured["ours"]["train"]["Graph"]["seconds"] == pytest.approx([0.12, 0.1209, 0.123])
    assert measured["options"] == {"model": "sknet50"} and measured["date"] == "2026-11-26"
    assert paths[1].read_text() == as_markdown(results)
