"""Shared by all benchmarks: peers in separate environments, workers that take turns, and tables.

A benchmark is a script with two roles. Called by a person, it starts one worker per thing to measure, lets them run
step by step in turn, A B C A B C ..., so that a drift of the machine's speed affects all alike, and writes a table as
JSON and as Markdown. Called with --work, it is such a worker: it runs one step for each line that it reads.
"""

import argparse
import contextlib
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
# Peers never share an environment with this package. BENCH_TORCH_PYTHON and BENCH_MINDCV_PYTHON name interpreters of
# environments that exist already.
PEERS = {
    "torch": ("torch", "torchvision", "timm", "onnx", "onnxruntime", "onnxscript"),
    "mindcv": ("mindcv==0.3.0", "mindspore==2.10.0", "numpy<2"),
}


def peer_python(peer: str) -> str:
    """The interpreter of a peer's environment, which is made in .bench/ the first time; "ours" is this interpreter."""
    if peer == "ours":
        return sys.executable
    if named := os.environ.get(f"BENCH_{peer.upper()}_PYTHON"):
        return named
    folder = ROOT / ".bench" / peer
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        print(f"installing {', '.join(PEERS[peer])} into .bench/{peer}", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PEERS[peer]], check=True)
        (folder / "complete").touch()
    return str(python)


def parse_arguments(description: str, *, rounds: int = 9, add: Callable[[argparse.ArgumentParser], None] | None = None):
    """The common command line of the benchmarks: --rounds, --smoke, --out, and the options of `add`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds, help="steps of each worker that count")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: shows that the script runs, measures nothing")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the .json and .md of the table")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    if add:
        add(parser)
    return parser.parse_args()


def serve(make_step: Callable[[], Callable[[], Any]]) -> None:
    """Run as a worker: make a step, then run it once for each line read and answer with a line of JSON.

    The first answer has the seconds of `make_step` and of the first step, which compiles. `peak_mb` is the peak
    resident memory of this process so far. A step that returns a dict adds it to the answer. After an error the answer
    is its message, and the process ends.
    """
    out = os.dup(1)
    os.dup2(2, 1)  # keeps output of libraries out of the answers
    try:
        _serve(make_step, out)
    except Exception as error:
        os.write(out, f"{json.dumps({'error': str(error) or repr(error)})}\n".encode())
        raise


def _serve(make_step: Callable[[], Callable[[], Any]], out: int) -> None:
    start = time.perf_counter()
    step = make_step()
    made = time.perf_counter() - start
    for _ in sys.stdin:
        before = resource.getrusage(resource.RUSAGE_SELF)
        start = time.perf_counter()
        result = step()
        seconds = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_SELF)
        answer = {
            "seconds": seconds,
            "made": made,
            "peak_mb": _peak_mb(),
            "cpu_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
            **(result if isinstance(result, dict) else {}),
        }
        os.write(out, f"{json.dumps(answer)}\n".encode())


def _peak_mb() -> float:
    return _memory_mb("VmHWM")  # not ru_maxrss: a process inherits that from its parent


def resident_mb() -> float:
    """Resident memory of this process."""
    return _memory_mb("VmRSS")


def _memory_mb(kind: str) -> float:
    return int(Path("/proc/self/status").read_text().partition(f"{kind}:")[2].split()[0]) / 1024


class WorkerError(RuntimeError):
    """A worker ended without a result."""


class Worker:
    """A process that runs a step on request.

    Args:
        python: its interpreter; see `peer_python`.
        script: a benchmark that calls `serve` when it is given --work.
        work: the value of its --work.
        environment: variables in addition to those of this process.
    """

    def __init__(
        self, python: str, script: str, work: str, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> None:
        line = [python, script, "--work", work, *arguments]
        self.command = " ".join(line)
        self.errors = None if os.environ.get("BENCH_VERBOSE") else tempfile.TemporaryFile()  # noqa: SIM115
        environment = {**os.environ, **(environment or {})}
        self.process = subprocess.Popen(
            line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, env=environment
        )
        assert self.process.stdin and self.process.stdout
        self._requests, self._answers = self.process.stdin, self.process.stdout

    def ask(self) -> dict[str, Any]:
        """Run one step; returns the measurements.

        Raises:
            WorkerError: with the message of the worker's error, or if it ended without an answer.
        """
        with contextlib.suppress(BrokenPipeError):  # it has ended, perhaps with an error to read
            self._requests.write(b"go\n")
            self._requests.flush()
        line = self._answers.readline()
        if not line:
            code = self.process.wait()
            outcome = f"{self.command}; exit code {code}{self._last_words()}. BENCH_VERBOSE=1 shows its output."
            raise WorkerError(f"the worker ended without an answer: {outcome}")
        try:
            answer = json.loads(line)
        except json.JSONDecodeError as error:
            raise WorkerError(f"{self.command} printed {line!r}, which is no answer") from error
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def _last_words(self) -> str:
        """The last line of the errors of a process that has ended."""
        if self.errors is None:
            return ""
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").split("\n")
        return next((f", {line.strip()}" for line in reversed(lines) if line.strip()), "")

    def step(self) -> float:
        """Run one step; returns its seconds."""
        return self.ask()["seconds"]

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._requests.close()
        self.process.wait()
        self._answers.close()
        if self.errors is not None:
            self.errors.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self.process.kill()
        self.close()


def interleave(workers: Mapping[str, Worker], rounds: int, warmup: int = 1) -> dict[str, list[float]]:
    """Seconds of `rounds` steps of each worker, taken in turn, after `warmup` steps of each that do not count."""
    answers = answers_in_turn(workers, rounds, warmup)
    return {name: [answer["seconds"] for answer in answers[name]] for name in workers}


def answers_in_turn(workers: Mapping[str, Worker], rounds: int, warmup: int = 1) -> dict[str, list[dict[str, Any]]]:
    """What each worker answers to `rounds` steps, taken in turn, after `warmup` steps of each that do not count."""
    for _ in range(warmup):
        for worker in workers.values():
            worker.step()
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in workers}
    for _ in range(rounds):
        for name, worker in workers.items():
            answers[name].append(worker.ask())
    return answers


def milliseconds_in_turn(calls: Sequence[Callable[[], Any]], rounds: int) -> tuple[list[float], ...]:
    """Milliseconds of `rounds` runs of each of MindSpore's calls, taken in turn in this process.

    The first run of each compiles and does not count.
    """
    from mindspore import runtime

    times: tuple[list[float], ...] = tuple([] for _ in calls)
    for turn in range(rounds + 1):
        for call, milliseconds in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            runtime.synchronize()
            if turn:
                milliseconds.append(1000 * (time.perf_counter() - start))
    return times


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float, float]:
    """Median, lowest and highest of the ratios of neighbouring measurements."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return statistics.median(ratios), min(ratios), max(ratios)


def spread(values: Sequence[float], digits: int = 3) -> str:
    """ "median (lowest - highest)"."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} - {max(values):.{digits}f})"


def spread_of_ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """`spread` of `ratio`."""
    return "{:.2f} ({:.2f} - {:.2f})".format(*ratio(ours, theirs))


def machine() -> dict[str, str]:
    """The machine of the measurements."""
    model = "unknown processor"
    if (cpuinfo := Path("/proc/cpuinfo")).exists():
        model = cpuinfo.read_text().partition("model name")[2].partition("\n")[0].strip("\t :") or model
    return {"processor": model, "cores": str(len(os.sched_getaffinity(0))), "python": platform.python_version()}


def processor() -> str:
    """The processor of the measurements and the number of its cores that they may use, for people."""
    where = machine()
    return f"{where['cores']} core{'s' * (where['cores'] != '1')} of an {where['processor']}"


class Table:
    """A table under construction; it is written again after every row, so that an interrupted run keeps its rows.

    Args:
        name: of the files, OUT/NAME.json and OUT/NAME.md.
        title: a sentence that says what was measured and how.
        columns: headings.
    """

    def __init__(self, out: Path, name: str, title: str, columns: Sequence[str], *, smoke: bool = False) -> None:
        self.out, self.name, self.title, self.columns, self.smoke = out, name, title, list(columns), smoke
        self.rows: list[list[str]] = []
        self.raw: list[dict[str, Any]] = []

    def add(self, *cells: object, **raw: Any) -> None:
        """Add and print a row: cells as shown, and the raw numbers."""
        assert len(cells) == len(self.columns), cells
        if not self.rows:
            print(self._line(self.columns))
            print("|---" * len(self.columns) + "|")
        self.rows.append([str(cell) for cell in cells])
        self.raw.append(raw)
        print(self._line(self.rows[-1]), flush=True)
        self.write()

    def write(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        date = time.strftime("%Y-%m-%d")
        measured = {
            "title": self.title,
            "date": date,
            "machine": machine(),
            "smoke": self.smoke,
            "columns": self.columns,
            "rows": [{"cells": cells, **raw} for cells, raw in zip(self.rows, self.raw, strict=True)],
        }
        (self.out / f"{self.name}.json").write_text(json.dumps(measured, indent=1) + "\n")
        lines = [self._line(self.columns), "|---" * len(self.columns) + "|", *map(self._line, self.rows)]
        source = f"{self.title} {processor()}, {date}."
        (self.out / f"{self.name}.md").write_text("\n".join([*lines, "", source, ""]))

    @staticmethod
    def _line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"
