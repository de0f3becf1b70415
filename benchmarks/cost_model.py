"""How the time of a training step of `sknet50` scales with batch, resolution, depth, branches and classes.

    python benchmarks/cost_model.py [--only branches]

The step is that of benchmarks/steps.py in Graph mode. One thing varies at a time; unless a series says otherwise, 16
images of 32x32, 2 branches and 10 classes. Every point runs in its own process, and those of a series take turns.
Multiply-adds are those of a forward pass of the whole batch, counted as tools/model_table.py does. Each series ends
with a row of exponents: the k of seconds ~ value ** k and of multiply-adds ~ value ** k, fitted by least squares in the
logarithms. They would be equal if a step cost nothing but its products. Takes about nine minutes, mostly for compiling.
"""

import json
import statistics
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

from harness import ROOT, Table, Worker, interleave, parse_arguments, serve, spread
from listing import exponent
from step_work import make_count
from steps import CLASSES, ENVIRONMENTS, ours

USUAL = {"model": "sknet50", "side": 32, "batch": 16, "num_classes": CLASSES, "branches": 2}
SERIES: dict[str, dict[int, dict[str, Any]]] = {  # value: what differs from USUAL
    "images": {n: {"batch": n} for n in (8, 16, 32, 64)},
    "side of 8 images": {n: {"side": n, "batch": 8} for n in (32, 64, 96, 128, 224)},
    "blocks, 32 images": {
        n: {"model": model, "batch": 32} for n, model in ((8, "sknet26"), (16, "sknet50"), (33, "sknet101"))
    },
    "branches": {n: {"branches": n} for n in (2, 3, 4)},
    "classes": {n: {"num_classes": n} for n in (10, 100, 1_000, 10_000, 21_000)},
}
SMOKE_USUAL = {**USUAL, "model": "skresnet18", "batch": 2, "branches": None}
SMOKE: dict[str, dict[int, dict[str, Any]]] = {
    "images": {n: {"batch": n} for n in (2, 3)},
    "branches": {3: {"model": "sknet26", "branches": 3}},
    "classes": {100: {"num_classes": 100}},
}


def with_branches(branches: int | None) -> dict[str, Any]:
    """Keywords of `create_model` for this many branches in the selective kernels; None: the network as named."""
    if branches is None:
        return {}
    sys.path.insert(0, str(ROOT))
    import mindcv  # noqa: F401  (first: it sets what MindSpore reads)
    from mindcv.models.layers import SelectiveKernel

    return {"middle_conv": partial(SelectiveKernel, branches=branches)}


def make_step(mode: int, branches: int | None, **what: Any) -> Callable[[], dict[str, float]]:
    return ours(mode=mode, **what, **with_branches(branches))


def count_points(points: list[dict[str, Any]]) -> list[int]:
    """Multiply-adds of a forward pass of each point, counted in a separate process."""
    with _worker(count=points) as counter:
        counts = counter.ask()["counts"]
    return [each["multiply_adds"] * point["batch"] for each, point in zip(counts, points, strict=True)]


def make_counter(points: list[dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    shapes = [{**point, **with_branches(point["branches"])} for point in points]
    return make_count([{key: shape[key] for key in shape if key not in ("batch", "branches")} for shape in shapes])


def measure(table: Table, series: str, points: dict[int, dict[str, Any]], rounds: int, mode: int) -> None:
    """One series: a row for each point, and one with the exponents."""
    products = count_points(list(points.values()))
    with ExitStack() as stack:
        workers, first = {}, {}
        for value, point in points.items():
            workers[value] = stack.enter_context(_worker(step={"mode": mode, **point}))
            first[value] = workers[value].step()  # one after the other: compiling alone
        seconds = interleave(workers, rounds)
    medians = [statistics.median(seconds[value]) for value in points]
    for value, median, product in zip(points, medians, products, strict=True):
        table.add(
            series,
            f"{value:,}",
            spread(seconds[value]),
            f"{product / 1e9:.2f}",
            f"{median / product * 1e9:.3f}",
            f"{first[value]:.1f}",
            series=series,
            value=value,
            point=points[value],
            multiply_adds=product,
            seconds=seconds[value],
            first=first[value],
        )
    if len(points) > 1:
        k, of_products = exponent(list(points), medians), exponent(list(points), products)
        table.add(
            series, "exponent", f"{k:.2f}", f"{of_products:.2f}", "", "",
            series=series, exponent=k, exponent_of_multiply_adds=of_products,
        )  # fmt: skip


def _worker(**what: Any) -> Worker:
    return Worker(sys.executable, __file__, json.dumps(what), environment=ENVIRONMENTS["ours"])


def main() -> None:
    arguments = parse_arguments(
        __doc__, rounds=5, add=lambda p: p.add_argument("--only", choices=SERIES, action="append", help="default: all")
    )
    if arguments.work:
        what = json.loads(arguments.work)
        return serve(partial(make_counter, what["count"]) if "count" in what else partial(make_step, **what["step"]))
    usual, all_series = (SMOKE_USUAL, SMOKE) if arguments.smoke else (USUAL, SERIES)
    table = Table(
        arguments.out,
        "cost_model",
        f"Training steps of sknet50, Graph mode, median (lowest - highest) of {arguments.rounds}, the points of a "
        "series in turn; unless a series says otherwise 16 images of 32x32, 2 branches, 10 classes.",
        ["what varies", "value", "seconds", "multiply-adds, G", "seconds per G multiply-adds", "first step, s"],
        smoke=arguments.smoke,
    )
    for series, points in all_series.items():
        if not arguments.only or series in arguments.only:
            points = {value: {**usual, **differs} for value, differs in points.items()}
            measure(table, series, points, arguments.rounds, mode=1 if arguments.smoke else 0)
    return None


if __name__ == "__main__":
    main()
