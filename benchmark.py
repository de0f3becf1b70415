"""Measure training, inference and accuracy on this device: `python benchmark.py --model=sknet50 --out=results`.

Each mode of each task runs in a process of its own (benchmarks/tasks.py), since MindSpore's mode is set before a
network exists, and the peak of memory is that of a process.
"""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from config import COMMAND_LINE, DIGITS_PRESET, ROOT, Config, load_config
from early import check_names_and_paths
from measure import check_paths, describe, measure, noted, start, wait_for_data
from mindcv.benchmark import (
    MODES,
    Results,
    as_text,
    check_place,
    readme_note,
    readme_row,
    replace_row,
    write_report,
)
from mindcv.console import say
from mindcv.script import run_script

README = Path(ROOT) / "README.md"


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 1 if something could not be measured."""
    argv = sys.argv[1:] if argv is None else argv
    config = load_config(argv, prog="benchmark")
    check_names_and_paths(config)
    check_paths(config)
    for prog in ("train", "validate"):  # contradictions are errors before anything runs
        config.for_script(prog)
    if config.benchmark.update_readme:
        check_place(README)
    if config.runtime.debug:
        os.environ["BENCH_VERBOSE"] = "1"  # the processes show their tracebacks
    modes = [config.runtime.mode] if config.sources["mode"] == COMMAND_LINE else [0, 1]

    results = describe(config, argv, modes[0])
    tasks = [task for task in ("train", "infer") if config.benchmark.bench in (task, "both")]
    for task in tasks:
        for mode in modes:
            with noted(results, f"{task}, {MODES[mode]}"):
                measure(results, config, task, argv, mode)
    if results.about["data"] and "train" in tasks:
        with noted(results, "training on data"):
            wait_for_data(results, config, argv, modes[0])
    if not results.about["why_no_accuracy"]:
        with noted(results, "accuracy"), start("accuracy", argv, modes[0]) as worker:
            results.measures = worker.ask()["measures"]

    say(f"\n{as_text(results)}")
    if config.benchmark.out:
        for path in write_report(Path(config.benchmark.out), results):
            say(f"written to {path}")
    if config.benchmark.update_readme:
        line = shlex.join(["python", "benchmark.py", *argv])
        replace_row(README, readme_row(results, recipe_cell(config, results)), readme_note(results, line))
        say(f"row {results.about['device']} replaced in {README}")
    return 1 if results.failures else 0


def recipe_cell(config: Config, results: Results) -> str:
    """The README's cell for the recipe: a link if it is one of the repository."""
    recipe = config.request.recipe
    path = os.path.relpath(recipe[-1].source, ROOT) if recipe else ""
    if not recipe and results.about["data"] == "digits":
        path = DIGITS_PRESET
    return f"[{results.about['model']}]({path})" if path and not path.startswith(os.pardir) else "none"


if __name__ == "__main__":
    run_script(main)
