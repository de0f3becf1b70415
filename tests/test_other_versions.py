"""The tests for other versions of MindSpore exist, and each version gets one line."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import versions
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent


def test_the_requirements_allow_every_version_that_is_tested():
    lines = [line.partition("#")[0] for line in (ROOT / "requirements.txt").read_text().splitlines()]
    (allowed,) = [Requirement(line).specifier for line in lines if line.startswith("mindspore")]
    assert all(version in allowed for version in (*versions.VERSIONS, "2.10.0"))
    assert "2.11.0" not in allowed and "2.6.0" not in allowed


@pytest.mark.parametrize("chosen", versions.TESTS)
def test_every_chosen_test_exists(chosen):
    path, _, name = chosen.partition("::")
    assert re.search(rf"^def {name or 'test_'}", (ROOT / path).read_text(), re.MULTILINE)


def test_each_version_gets_one_line_and_a_failure_the_exit_code(tmp_path, monkeypatch, capsys):
    def make(version, folder):
        if version == "2.8.0":
            raise subprocess.CalledProcessError(1, "pip")
        return folder / "bin" / "python"

    monkeypatch.setattr(versions, "make_environment", make)
    monkeypatch.setattr(versions, "run_tests", lambda python, log, jobs: ("2.9.0" not in str(python), "12 passed"))
    monkeypatch.setattr(sys, "argv", ["versions.py", f"--environments={tmp_path / 'new'}"])
    assert versions.main() == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" in ")[0] for line in lines] == ["2.7.1: passed", "2.8.0: FAILED", "2.9.0: FAILED"]
    monkeypatch.setattr(sys, "argv", ["versions.py", f"--environments={tmp_path}", "--only=2.7.1"])
    assert versions.main() == 0


@pytest.mark.parametrize("code, last", [("print('3 passed')", "3 passed"), ("raise SystemExit(3)", "exit code 3")])
def test_the_result_is_the_last_line_of_the_tests(tmp_path, code, last):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}"\n')
    python.chmod(0o755)
    assert versions.run_tests(python, tmp_path / "log", 1) == (last == "3 passed", last)
