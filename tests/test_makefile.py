"""`make train` on a fresh checkout installs once, visibly, and leaves no partial environment after a failure.

The interpreter is a shell script that copies itself into a virtual environment and prints its other arguments.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PYTHON = """#!/bin/sh
case "$1 $2" in
"-c "*) ;;
"-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && exit "${VENV_FAILS:-0}" ;;
"-m pip") echo "$*"; [ -z "$PIP_FAILS" ] || { echo "ERROR: no space left" >&2; exit 1; } ;;
*) echo "$*" ;;
esac
"""

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="runs make")


@pytest.fixture
def make(tmp_path):
    """Runs make in a checkout with the Makefile and the requirements only: `make("train", PIP_FAILS="1")`."""
    for name in ("Makefile", "requirements.txt", "requirements-dev.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "python").write_text(PYTHON)
    (tmp_path / "python").chmod(0o755)
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}

    def run(target, **environment):
        line = ["make", target, f"PYTHON={tmp_path / 'python'}"]
        return subprocess.run(line, cwd=tmp_path, env={**ours, **environment}, capture_output=True, text=True)

    return run


@pytest.mark.parametrize("target, first", [("train", "train.py --model=sknet50"), ("lint", "-m ruff check")])
def test_packages_are_installed_with_a_message_only_the_first_time(make, target, first):
    lines = make(target).stdout.splitlines()
    (announced,) = (index for index, line in enumerate(lines) if "installing the packages into .venv" in line)
    (pip,) = (index for index, line in enumerate(lines) if line.startswith("-m pip install"))
    assert announced < pip and "--quiet" not in lines[pip]
    assert first in "\n".join(lines[pip:])
    again = make(target).stdout
    assert first in again and "install" not in again


def test_a_failed_installation_shows_the_reason_and_is_tried_again(make):
    failed = make("train", PIP_FAILS="1")
    assert failed.returncode and "ERROR: no space left" in failed.stderr and "train.py" not in failed.stdout
    assert "-m pip install" in make("train").stdout


def test_a_failed_environment_is_not_used(make, tmp_path):
    assert make("train", VENV_FAILS="1").returncode
    assert not (tmp_path / ".venv").exists()
    assert "train.py" in make("train").stdout


def test_the_tests_for_other_versions_need_an_interpreter_only(make):
    lines = make("test-versions", VERSIONS="--only=2.8.0").stdout.splitlines()
    assert lines[-1] == "tools/versions.py --jobs=2 --only=2.8.0" and not any("install" in line for line in lines)
