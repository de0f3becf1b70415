"""Starts the processes that benchmark.py measures in, lets them take turns, and adds their answers to its results."""

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.harness import Worker, WorkerError, answers_in_turn
from config import COMMAND_LINE, ROOT, Config
from early import WITHOUT_FILES, check_data_dir
from mindcv.benchmark import MODES, DataWait, Results, Timing
from mindcv.console import say
from mindcv.paths import is_exported, what_is_there

_SCRIPTS = Path(ROOT) / "benchmarks"
# Side, batch and precision of a task in `Results.about`.
_SHAPES = {
    "train": ("image_resize", "batch_size", "amp_dtype"),
    "infer": ("val_image_resize", "val_batch_size", "val_amp_dtype"),
}


def check_paths(config: Config) -> None:
    """Raise ValueError if what benchmark.py is to read is not there; without importing MindSpore."""
    if not why_no_data(config):
        check_data_dir(config)
    path, out, python = config.model.ckpt_path, config.benchmark.out, config.benchmark.peer_python
    if is_exported(path):
        raise ValueError(f"benchmark.py measures networks with weights, not exported files; got ckpt_path={path}.")
    if python and not os.access(python, os.X_OK):
        raise ValueError(f"peer_python={python}: there is no such program.{what_is_there(python)}")

    if out and os.path.exists(out) and not os.path.isdir(out):
        raise ValueError(f"out must be a folder; {out} is a file.")


def why_no_data(config: Config) -> str:
    """Why benchmark.py measures random images; "" if data are named on its line, or by a recipe and present."""
    data, sources = config.data, config.sources
    if COMMAND_LINE in (sources["dataset"], sources["data_dir"]):
        return ""
    if not any(map(config.given, ("dataset", "data_dir"))):
        return "no data are given: --data_dir or --dataset"
    there = data.dataset in WITHOUT_FILES or os.path.exists(data.data_dir)
    return "" if there else f"data_dir={data.data_dir} ({sources['data_dir']}): there is no such folder"


def describe(config: Config, argv: Sequence[str], mode: int) -> Results:
    """Results with nothing but the description of what will be measured.

    Raises:
        ValueError: if it cannot be built, or the peer cannot be measured.
    """
    try:
        with start("describe", argv, mode) as worker:
            about = worker.ask()["about"]
    except WorkerError as error:
        raise ValueError(str(error)) from error
    for notice in about.pop("notices"):
        say(notice)
    if about["why_no_data"]:
        say(f"{about['why_no_data']}: measuring on random images, for {about['num_classes']:,} classes")
    options = config.benchmark
    about |= {key: getattr(options, key) for key in ("num_warm_iter", "num_bench_iter")}
    given = {setting.key: setting.value for setting in (*(config.request.recipe or ()), *config.request.line)}
    results = Results(about, given, time.strftime("%Y-%m-%d"))
    if options.peer_python:
        try:
            with start_peer("describe", config, results) as worker:
                answer = worker.ask()
        except WorkerError as error:
            path = options.peer_python
            raise ValueError(f"peer_python={path} must be an interpreter with torch and timm: {error}") from error
        dtype = about["amp_dtype"] or "float32"
        results.peer = {key: answer[key] for key in ("model", "device", "versions")} | {"precision": dtype}
    return results


def measure(results: Results, config: Config, task: str, argv: Sequence[str], mode: int) -> None:
    """Add the timing of a task in one mode, and that of timm's batches, which take turns with ours."""
    options, about = config.benchmark, results.about
    rounds, warmup = options.num_bench_iter, options.num_warm_iter
    more = {"steps": rounds + warmup + 1} if task == "train" else {"classes": about["num_classes"]}
    with ExitStack() as stack:
        workers = {"ours": stack.enter_context(start(task, argv, mode, **more))}
        first = {"ours": workers["ours"].ask()}  # compiling alone
        if results.peer:
            workers["timm"] = stack.enter_context(start_peer(task, config, results))
            first["timm"] = workers["timm"].ask()
        answers = answers_in_turn(workers, rounds, warmup)
    timings = {who: Timing.from_answers(first[who], answers[who]) for who in workers}
    results.ours[task][MODES[mode]] = timings["ours"]
    if results.peer:
        results.peers[task][MODES[mode]] = timings["timm"]
    beside = f", timm's {timings['timm'].milliseconds.shown(1)} ms" if results.peer else ""
    say(f"{task}, {MODES[mode]}: {timings['ours'].milliseconds.shown(1)} ms a batch of {timings['ours'].batch}{beside}")


def wait_for_data(results: Results, config: Config, argv: Sequence[str], mode: int) -> None:
    """Add how long the training loop waits for data."""
    warmup = config.benchmark.num_warm_iter
    with start("wait_for_data", argv, mode, steps=warmup + config.benchmark.num_bench_iter) as worker:
        answer = worker.ask()
    seconds, waited = (tuple(answer[key][warmup:]) for key in ("step_s", "waited_s"))
    results.data = DataWait(MODES[mode], answer["batch"], seconds, waited)


def start(task: str, argv: Sequence[str], mode: int, **more: Any) -> Worker:
    """A process that does a task of benchmarks/tasks.py."""
    work = {"task": task, "argv": list(argv), "mode": mode, **more}
    return Worker(sys.executable, str(_SCRIPTS / "tasks.py"), json.dumps(work))


def start_peer(task: str, config: Config, results: Results) -> Worker:
    """A process that does a task of benchmarks/torch_steps.py with timm's network."""
    about, peer = results.about, results.peer
    if task == "describe":
        what = {key: about[key] for key in ("model", "device")}
    else:
        what = dict(zip(("side", "batch", "amp_dtype"), (about[key] for key in _SHAPES[task]), strict=True))
        what |= {key: about[key] for key in ("num_classes", "in_channels")}
        what |= {key: peer[key] for key in ("model", "device")}
    # All instructions, which `import mindcv` has limited for MindSpore's sake.
    environment = {"ONEDNN_MAX_CPU_ISA": "DEFAULT"}
    work = json.dumps({"task": task, **what})
    return Worker(config.benchmark.peer_python, str(_SCRIPTS / "torch_steps.py"), work, environment=environment)


@contextmanager
def noted(results: Results, what: str) -> Iterator[None]:
    """Let the rest be measured if this cannot."""
    try:
        yield
    except WorkerError as error:
        results.failures[what] = str(error)
        say(f"{what}: failed: {error}")
