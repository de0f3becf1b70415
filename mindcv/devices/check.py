"""`train.py --check_device`: whether a device can be used, and what it lacks."""

import json
import platform
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mindcv.console import printable, say, speak_for
from mindcv.devices.libraries import ascend_lines, cuda_lines
from mindcv.devices.report import TRIALS, Line
from mindcv.distributed import ALONE

_SECONDS = 1800  # a GPU that is newer than MindSpore's kernels translates all of them at the first
_CHECKOUT = Path(__file__).parents[2]
_NEEDS = {"GPU": cuda_lines, "Ascend": ascend_lines}


def check_device(options: Mapping[str, Any], notices: Sequence[str] = ()) -> int:
    """Say what there is, try the device, and return 0 if it works, else 1.

    Args:
        options: those of `setup_runtime`.
        notices: of the configuration; those on this option are said.
    """
    speak_for(ALONE)  # they print before they join, if there are several
    for notice in notices:
        if notice.endswith("with check_device=true"):
            say(notice)
    say(str(_software()))
    asked = options["device_target"]
    for device, lines in _NEEDS.items():
        if asked == device:
            for line in lines():
                say(str(line))
        elif asked == "auto" and (missing := [line.subject for line in lines() if line.verdict == "FAIL"]):
            why = f"{missing[0]} and {len(missing) - 1} more missing" if missing[1:] else f"{missing[0]} missing"
            say(str(Line(device, "skipped", f"{why}: --check_device --device_target={device} lists all")))
    verdicts = set()
    for line in _try_device(options):
        say(str(line))
        verdicts.add(line.verdict)
    if verdicts == {"skipped"}:  # a process that does not compute
        return 0
    works = "FAIL" not in verdicts
    say("the device works" if works else "the device does not work; docs/devices.md says what it needs")
    return 0 if works else 1


def _software() -> Line:
    found = {"Python": platform.python_version()}
    for name, package in (("MindSpore", "mindspore"), ("NumPy", "numpy")):
        try:
            found[name] = version(package)
        except PackageNotFoundError:
            return Line("software", "FAIL", f"{name} is not installed: pip install -r requirements.txt")
    versions = ", ".join(f"{name} {number}" for name, number in found.items())
    return Line("software", "ok", f"{versions}, {platform.system()} {platform.machine()}")


def _try_device(options: Mapping[str, Any]) -> Iterator[Line]:
    """The answers of mindcv/devices/trial.py; what a crash leaves unanswered is a failure."""
    line = [sys.executable, "-m", "mindcv.devices.trial", options["device_target"], str(options["mode"])]
    line += ["--deterministic"] * options["deterministic"]
    line += [] if options["tf32"] is None else [f"--tf32={options['tf32']:d}"]
    answered = []
    with (
        tempfile.TemporaryFile("w+", errors="replace") as errors,
        subprocess.Popen(line, cwd=_CHECKOUT, stdout=subprocess.PIPE, stderr=errors, text=True) as trial,
    ):
        assert trial.stdout is not None
        timer = threading.Timer(_SECONDS, trial.kill)
        timer.start()
        try:
            for text in trial.stdout:
                answered.append(Line(*json.loads(text)))
                yield answered[-1]
            trial.wait()
        finally:
            timer.cancel()
            trial.kill()
        errors.seek(0)
        said = errors.read().split("\n")
    left = [name for name in TRIALS if name not in {line.subject for line in answered}]
    if any(line[:2] == ("device", "FAIL") for line in answered):
        yield from (Line(name, "skipped", "there is no device") for name in left)
    elif left:
        yield Line(left[0], "FAIL", _why_ended(trial.returncode, said))
        yield from (Line(name, "skipped", f"{left[0]} ended the process") for name in left[1:])


def _why_ended(code: int, said: Sequence[str]) -> str:
    """Why a process ended before it had answered, and the last line that it wrote to stderr."""
    how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    last = next((line.strip() for line in reversed(said) if line.strip()), "")
    return f"the process {how}{f': {printable(last)}' if last else ''}"
