"""The benchmarks run, take turns, and write tables for the documentation."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from mindspore import nn
from tiers import full

ROOT = Path(__file__).parent.parent
BENCHMARKS = ROOT / "benchmarks"
TOOLS = BENCHMARKS.parent / "tools"

WORKER = """
import os, sys
from harness import parse_arguments, serve
arguments = parse_arguments("test")

def make_step():
    print("noise on the standard output")
    def step():
        if arguments.work == "dies":
            os._exit(3)
        if arguments.work == "fails":
            raise ValueError("too small")
        with open(os.environ["TURNS"], "a") as file:
            file.write(arguments.work)
        return {"extra": arguments.work}
    return step

serve(make_step)
"""


@pytest.fixture
def bench(monkeypatch):
    """Imports a module of benchmarks/."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    names = {path.stem for folder in (BENCHMARKS, TOOLS) for path in folder.glob("*.py")}
    before = {name: sys.modules.pop(name) for name in names & sys.modules.keys()}
    yield importlib.import_module
    for name in names:
        sys.modules.pop(name, None)
    sys.modules.update(before)


@pytest.fixture
def worker(bench, tmp_path, monkeypatch):
    """Starts a worker that writes its name whenever it runs a step."""
    script = tmp_path / "script.py"
    script.write_text(WORKER)
    monkeypatch.setenv("PYTHONPATH", str(BENCHMARKS))
    harness, started = bench("harness"), []

    def start(name):
        environment = {"TURNS": str(tmp_path / "turns")}
        started.append(harness.Worker(sys.executable, str(script), name, environment=environment))
        return started[-1]

    yield start
    for one in started:
        one.close()


def smoke_scripts() -> list[str]:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return list(importlib.import_module("run_all").SCRIPTS)
    finally:
        sys.path.remove(str(BENCHMARKS))
        for name in ("run_all", "harness", "update_docs"):
            sys.modules.pop(name, None)


@pytest.mark.parametrize("name", full(smoke_scripts(), by_default=["listing"]))
def test_every_script_runs_in_the_smoke_setting_without_peers(name, tmp_path, monkeypatch):
    for variable in ("BENCH_TORCH_PYTHON", "BENCH_MINDCV_PYTHON"):
        monkeypatch.setenv(variable, str(tmp_path / "no-such-interpreter"))
    line = [sys.executable, BENCHMARKS / f"{name}.py", "--smoke", "--rounds=1", f"--out={tmp_path}"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    tables = sorted(tmp_path.glob("*.json"))
    assert tables
    for table in tables:
        measured = json.loads(table.read_text())
        assert measured["smoke"] and measured["rows"]
        assert all(len(row["cells"]) == len(measured["columns"]) for row in measured["rows"])
        assert table.with_suffix(".md").exists()


def test_workers_take_turns_and_the_warm_up_does_not_count(bench, worker, tmp_path):
    seconds = bench("harness").interleave({"A": worker("A"), "B": worker("B")}, rounds=3, warmup=1)
    assert (tmp_path / "turns").read_text() == "AB" * 4
    assert [len(seconds["A"]), len(seconds["B"])] == [3, 3]


def test_a_worker_answers_with_time_memory_and_the_result_of_its_step(worker):
    answer = worker("A").ask()
    assert answer["extra"] == "A" and answer["seconds"] > 0 and answer["peak_mb"] > 1


def test_a_worker_that_exits_is_an_error_that_names_it(worker):
    with pytest.raises(RuntimeError, match=r"ended without an answer: .*script\.py --work dies.*BENCH_VERBOSE"):
        worker("dies").ask()


def test_the_error_of_a_worker_is_that_of_whoever_asks(bench, worker):
    with pytest.raises(bench("harness").WorkerError, match=r"^too small$"):
        worker("fails").ask()


def test_ratios_are_those_of_neighbouring_measurements(bench):
    harness = bench("harness")
    # The ratio of the medians would be 2 / 4; of the pairs it is 0.25, 0.5, 3.
    assert harness.ratio([1.0, 2.0, 9.0], [4.0, 4.0, 3.0]) == (0.5, 0.25, 3.0)
    assert harness.ratio([1.0, 8.0, 9.0], [4.0, 2.0, 3.0]) == (3.0, 0.25, 4.0)
    assert harness.spread_of_ratio([1.0, 8.0, 9.0], [4.0, 2.0, 3.0]) == "3.00 (0.25 - 4.00)"
    assert harness.spread([3.0, 1.0, 2.0], 1) == "2.0 (1.0 - 3.0)"
    with pytest.raises(ValueError):
        harness.ratio([1.0], [1.0, 2.0])


def test_a_table_is_on_disk_after_every_row(bench, tmp_path):
    table = bench("harness").Table(tmp_path / "new", "some", "Measured somehow.", ["a", "b"])
    for row in (1, 2):
        table.add(row, "x", seconds=[row / 10])
        measured = json.loads((tmp_path / "new" / "some.json").read_text())
        assert [entry["cells"][0] for entry in measured["rows"]] == ["1", "2"][:row]
    assert measured["rows"][1]["seconds"] == [0.2]
    lines = (tmp_path / "new" / "some.md").read_text().splitlines()
    assert lines[:4] == ["| a | b |", "|---|---|", "| 1 | x |", "| 2 | x |"]
    assert lines[5].startswith("Measured somehow. ") and measured["date"] in lines[5]


def write_table(folder: Path, name: str, text: str, smoke: bool = False) -> None:
    (folder / f"{name}.md").write_text(text)
    (folder / f"{name}.json").write_text(json.dumps({"smoke": smoke}))


DOCUMENT = (
    "before\n<!-- table: one -->\nold\n<!-- end of table -->\nbetween\n<!-- table: two -->\n<!-- end of table -->\n"
)


def test_measured_tables_replace_the_text_between_their_markers(bench, tmp_path):
    update = bench("update_docs").update
    document = tmp_path / "README.md"
    document.write_text(DOCUMENT)
    write_table(tmp_path, "one", "| \\1 | new |\n")
    report = update(tmp_path, [document, tmp_path / "absent.md"])
    assert document.read_text() == DOCUMENT.replace("old", "| \\1 | new |")
    assert report == ["README.md: one updated", "README.md: two left as it is: not measured"]
    update(tmp_path, [document])
    assert document.read_text() == DOCUMENT.replace("old", "| \\1 | new |")


@pytest.mark.parametrize(
    "text",
    [
        DOCUMENT.replace("<!-- end of table -->\nbetween", "between"),
        DOCUMENT.replace("<!-- table: two -->\n", ""),
        "<!-- table: one -->\nold\n",
    ],
    ids=["end missing", "beginning missing", "never ended"],
)
def test_a_marker_without_its_partner_changes_nothing(bench, tmp_path, text):
    document = tmp_path / "README.md"
    document.write_text(text)
    write_table(tmp_path, "one", "new\n")
    with pytest.raises(ValueError, match="end of table"):
        bench("update_docs").update(tmp_path, [document])
    assert document.read_text() == text


def test_a_smoke_table_is_never_copied_into_the_documentation(bench, tmp_path):
    document = tmp_path / "README.md"
    document.write_text(DOCUMENT)
    write_table(tmp_path, "one", "new\n", smoke=True)
    with pytest.raises(ValueError, match="measures nothing"):
        bench("update_docs").update(tmp_path, [document])
    assert document.read_text() == DOCUMENT


def test_a_failing_script_does_not_stop_the_others(bench, tmp_path):
    for name, code in (("first", 0), ("second", 4), ("third", 0)):
        (tmp_path / f"{name}.py").write_text(
            f"import sys, pathlib; pathlib.Path(__file__).with_suffix('.ran').touch(); sys.exit({code})"
        )
    assert bench("run_all").run(("first", "second", "third"), [], tmp_path) == ["second"]
    assert sorted(path.stem for path in tmp_path.glob("*.ran")) == ["first", "second", "third"]


PROFILE = """op_type,type_occurrences,execution_frequency(per-step),total_compute_time,avg_time(ms),percent

Conv2D,48,24,4.0,0.0734825,0.03

Add,48,24,1.0,0.005,0.01

Mul,10,5,2.0,0.005,0.01

Unheard,2,1,0.5,0.25,0.01
"""


def test_the_profiled_operators_are_grouped_and_none_is_lost(bench):
    roofline = bench("roofline")
    grouped = roofline.group_operators(PROFILE.splitlines())  # the times of two steps
    assert list(grouped) == list(roofline.OPERATORS)
    assert {kind: ms for kind, ms in grouped.items() if ms} == {
        "convolution": 2.0,
        "addition, product, sum": 1.5,
        "other": 0.25,
    }


def test_pytorchs_operators_are_grouped_by_the_longest_prefix(bench):
    parts = bench("parts")
    operators = [
        ("aten::native_batch_norm", 2000.0),
        ("aten::native_batch_norm_backward", 4000.0),
        ("aten::mul_", 1000.0),
        ("Optimizer", 6000.0),
        ("aten::empty", 500.0),
    ]
    grouped = parts.group_torch(operators)  # microseconds of two steps
    assert {part: ms for part, ms in grouped.items() if ms} == {
        "batch norm": 1.0,
        "batch norm, gradient": 2.0,
        "additions, products, sums": 0.5,
        "update": 3.0,
    }


def test_an_operator_is_of_one_kind_only(bench):
    names = [name for names in bench("roofline").OPERATORS.values() for name in names]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("mode", ["pynative"], indirect=True)
def test_the_minimum_work_of_a_step_equals_a_count_by_hand(bench, mode):
    step_work = bench("step_work")
    # (1, 3, 4, 4) -> convolution (1, 8, 4, 4) -> ReLU -> pooling (1, 8, 2, 2): in and out of each.
    network = nn.SequentialCell(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.MaxPool2d(2, 2))
    expected = 3 * (48 + 128) + 5 * 128 + (2 * (128 + 32) + 32)
    assert [step_work.count_maps(network, 4) for _ in range(2)] == [expected] * 2  # the hooks are gone afterwards
    assert step_work.work(10, 100, 7, batch=2) == (6 * 10 * 2, 4 * (100 * 2 + 8 * 7))


def test_the_summary_compares_measurements_with_their_limits(bench, tmp_path):
    def row(name, *seconds, peak):
        return {"case": "224x224", "name": name, "seconds": seconds, "last": {"peak_mb": peak}}

    rows = [row("graph", 2.0, 3.0, 2.0, peak=300), row("torch", 2.0, 2.0, 2.0, peak=200)]
    (tmp_path / "steps.json").write_text(json.dumps({"smoke": False, "rows": rows}))
    bench("summary").summarize(tmp_path)
    lines = (tmp_path / "summary.md").read_text().splitlines()
    assert lines[2:4] == [
        "| training step, Graph / PyTorch eager, 224x224 | 1.00 (1.00 - 1.50) | 1 | met |",
        "| peak memory of the step, Graph / PyTorch, 224x224 | 1.50 (1.50 - 1.50) | 1 | missed |",
    ]
    assert (tmp_path / "highlights.md").read_text().splitlines()[:3] == [
        "| ratio | 224x224 |",
        "|---|---|",
        "| training step, Graph / PyTorch eager | 1.00 (1.00 - 1.50) |",
    ]


def test_the_summary_of_a_smoke_run_is_not_copied_into_the_documentation(bench, tmp_path):
    measured = {"smoke": True, "rows": [{"cells": ["sknet50: train-32x32"], "ratio": [0.5, 0.4, 0.6]}]}
    (tmp_path / "startup.json").write_text(json.dumps(measured))
    bench("summary").summarize(tmp_path)
    assert json.loads((tmp_path / "summary.json").read_text())["smoke"]


def test_both_layouts_of_the_digits_hold_the_same_classes(bench, tmp_path):
    end_to_end = bench("end_to_end")
    end_to_end.write_cifar10(tmp_path / "cifar", 200, 50)
    assert (tmp_path / "cifar" / "data_batch_1.bin").stat().st_size == 200 * 3073
    assert (tmp_path / "cifar" / "test_batch.bin").stat().st_size == 50 * 3073
    end_to_end.write_folders(tmp_path / "folders", 200, 50)
    assert len(list((tmp_path / "folders" / "train").rglob("*.png"))) == 200
    labels = (tmp_path / "cifar" / "data_batch_1.bin").read_bytes()[::3073]
    counts = [len(list((tmp_path / "folders" / "train" / str(label)).iterdir())) for label in range(10)]
    assert counts == [labels.count(label) for label in range(10)]
