"""benchmarks/device_accuracy.py: a CPU beside itself differs in nothing, and a wrong array is noticed."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.slow
def test_a_cpu_does_not_differ_from_itself(tmp_path):
    line = [sys.executable, BENCHMARKS / "device_accuracy.py", "--smoke", "--rounds=1", f"--out={tmp_path}"]
    subprocess.run(line, check=True, capture_output=True)
    rows = {
        name: json.loads((tmp_path / f"device_{name}_cpu.json").read_text())["rows"]
        for name in ("gradients", "repeat", "seeds")
    }
    assert [{*row["shares"].values()} for row in rows["gradients"]] == [{0.0}, {0.0}]
    assert [row["different"] for row in rows["repeat"]] == [[0, 0], [0, 0]]
    assert rows["seeds"][0]["last"] == rows["seeds"][1]["last"]


def test_differences_are_shares_of_the_largest_number(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from device_accuracy import largest_difference

    assert largest_difference(np.array([1.0, -4.5]), np.array([1.0, -4.0])) == 0.125
    assert largest_difference(np.zeros(2), np.zeros(2)) == 0
    assert largest_difference(np.array([0.0, 1e-6]), np.zeros(2)) > 1e9
    assert np.isnan(largest_difference(np.array([0.0, np.nan]), np.ones(2)))
