"""A training step of `sknet50` on the roofline of this machine, and the operators that take its time.

    python benchmarks/roofline.py [--case 224x224]

The roofs are measured in turn with the steps: a large float32 matrix product of MindSpore and of NumPy, and the bytes
read and written by an addition in MindSpore and by a copy in NumPy with a thread on each core, of arrays much larger
than the caches. The best of five passes counts, and the better of the two libraries is the roof.

The steps are those of benchmarks/steps.py in Graph mode; their minimum work is counted by benchmarks/step_work.py. If a
step needs more seconds for its operations at one roof than for its bytes at the other, it is limited by arithmetic,
otherwise by memory (Williams et al. 2009, https://doi.org/10.1145/1498765.1498785). The bytes of small maps may come
out of a cache, faster than this roof.

The table of operators has the sums of MindSpore's profiler, per step. Weight decay and the search for infinities are
additions, products and sums; a convolution of a small map is a matrix product. The last row compares with steps that
are not profiled: the difference passes between operators. Takes about three minutes.
"""

import argparse
import csv
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from harness import ROOT, Table, Worker, parse_arguments, serve, spread
from step_work import make_count, work
from steps import CASES, ENVIRONMENTS, SMOKE, ours

ROOFS = {  # rows of the table: what is run, and by whom
    "matrix product, MindSpore": ("product", "mindspore"),
    "matrix product, NumPy": ("product", "numpy"),
    "addition, MindSpore": ("stream", "mindspore"),
    "copy, NumPy": ("stream", "numpy"),
}
PASSES = 5
PROFILED_STEPS = 2
OPERATORS = {  # MindSpore's names; the rest is "other"
    "convolution": {"Conv2D"},
    "convolution, gradient of the input": {"Conv2DBackpropInput"},
    "convolution, gradient of the weight": {"Conv2DBackpropFilter"},
    "matrix product, with gradients": {"MatMul", "BatchMatMul"},
    "batch norm": {"BatchNorm"},
    "batch norm, gradient": {"BatchNormGrad"},
    "ReLU, with gradient": {"ReLU", "ReluGrad"},
    "pooling, with gradient": {
        *("MaxPool", "MaxPoolGrad", "MaxPoolWithArgmax", "MaxPoolGradWithArgmax", "AvgPool", "AvgPoolGrad")
    },
    "addition, product, sum": {"Add", "AddExt", "AddN", "Lerp", "Mul", "Sub", "Neg", "Tile", "ReduceSum"},
    "update": {"ApplyMomentum"},
    "copy": {"Reshape", "ReverseV2", "Transpose", "Concat", "Cast", "TensorMove", "Split"},
    "other": set(),
}


def make_roof(what: str, library: str, size: int) -> Callable[[], dict[str, float]]:
    """The best of some passes, the first of which may have to fetch its memory back: seconds, and flop or bytes."""
    run, amount = {"product": product, "stream": stream}[what](library, size)

    def best() -> dict[str, float]:
        seconds = []
        for _ in range(PASSES):
            start = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - start)
        return {"seconds": min(seconds), **amount}

    return best


def product(library: str, size: int) -> tuple[Callable[[], Any], dict[str, float]]:
    """A product of two square matrices, and its operations."""
    import numpy as np

    matrix = np.random.default_rng(0).standard_normal((size, size)).astype(np.float32)
    run = _in_mindspore("MatMul", matrix) if library == "mindspore" else lambda: matrix @ matrix
    return run, {"flop": 2.0 * size**3}


def stream(library: str, size: int) -> tuple[Callable[[], Any], dict[str, float]]:
    """Adding two vectors of `size` numbers, or copying one, and the bytes read and written."""
    import numpy as np

    source = np.ones(size, np.float32)
    if library == "mindspore":
        return _in_mindspore("Add", source), {"bytes": 3.0 * source.nbytes}
    threads = len(os.sched_getaffinity(0))
    pool = ThreadPoolExecutor(threads)
    pieces = [np.array_split(array, threads) for array in (np.zeros_like(source), source)]
    return lambda: list(pool.map(np.copyto, *pieces)), {"bytes": 2.0 * source.nbytes}


def _in_mindspore(operator: str, array: Any) -> Callable[[], Any]:
    """An operator on two tensors like the array, compiled; on a CPU a call returns when it is done."""
    sys.path.insert(0, str(ROOT))
    import mindcv  # first: it sets what MindSpore reads

    mindcv.setup_runtime(mode=0, device_target="CPU")
    from mindspore import Tensor, nn, ops

    class Operator(nn.Cell):
        def __init__(self) -> None:
            super().__init__()
            self.operator = getattr(ops, operator)()

        def construct(self, first: Tensor, second: Tensor) -> Tensor:
            return self.operator(first, second)

    return partial(Operator(), Tensor(array), Tensor(array.copy()))


def make_step(mode: int = 0, **what: Any) -> Callable[[], dict[str, Any]]:
    """A step that is timed, and two that are profiled: milliseconds of each of OPERATORS per step."""
    step = ours(mode=mode, **what)
    from mindspore import profiler

    def run() -> dict[str, Any]:
        start = time.perf_counter()
        step()
        seconds = time.perf_counter() - start
        with tempfile.TemporaryDirectory() as folder:
            with profiler.profile(
                activities=[profiler.ProfilerActivity.CPU],
                schedule=profiler.schedule(wait=0, warmup=0, active=PROFILED_STEPS, repeat=1, skip_first=0),
                on_trace_ready=profiler.tensorboard_trace_handler(folder),
            ) as profile:
                for _ in range(PROFILED_STEPS + 1):
                    step()
                    profile.step()
            (report,) = Path(folder).glob("*_ascend_ms/FRAMEWORK/cpu_op_type_info_0.csv")
            return {"seconds": seconds, "operators": group_operators(report.read_text().splitlines())}

    return run


def group_operators(report: Iterable[str]) -> dict[str, float]:
    """Milliseconds per step of each of OPERATORS, from the lines of the profiler's CSV, which adds up all steps."""
    total = dict.fromkeys(OPERATORS, 0.0)
    for row in csv.DictReader(report):
        kind = next((kind for kind, names in OPERATORS.items() if row["op_type"] in names), "other")
        total[kind] += float(row["total_compute_time"]) / PROFILED_STEPS
    return total


def worker(kind: str, **what: Any) -> Worker:
    return Worker(sys.executable, __file__, json.dumps({"kind": kind, **what}), environment=ENVIRONMENTS["ours"])


def measure(cases: dict[str, dict[str, Any]], arguments: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """The answers of each roof and of each case, taken in turn; the first two of each do not count."""
    sizes = {"product": 256, "stream": 2**20} if arguments.smoke else {"product": 2048, "stream": 2**26}
    kinds = {
        name: {"kind": "roof", "what": what, "library": library, "size": sizes[what]}
        for name, (what, library) in ROOFS.items()
    }
    kinds |= {case: {"kind": "step", "mode": int(arguments.smoke), **what} for case, what in cases.items()}
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in kinds}
    with ExitStack() as stack:
        workers = {}
        for name, kind in kinds.items():
            workers[name] = stack.enter_context(worker(**kind))
            workers[name].ask()  # compiles alone
        for turn in range(1 + arguments.rounds):
            for name, one in workers.items():
                answer = one.ask()
                if turn:
                    answers[name].append(answer)
    return answers


def show_roofline(
    table: Table, answers: dict[str, list[dict[str, Any]]], works: dict[str, tuple[float, float]]
) -> None:
    """Rows of the roofs, then of the steps; `works` are their operations and bytes."""
    roofs = {"flop": 0.0, "bytes": 0.0}
    for name in ROOFS:
        seconds = [answer["seconds"] for answer in answers[name]]
        (kind,) = roofs.keys() & answers[name][0].keys()
        rate = answers[name][0][kind] / statistics.median(seconds) / 1e9
        roofs[kind] = max(roofs[kind], rate)
        rates = (f"{rate:.1f}", "", "", "") if kind == "flop" else ("", "", f"{rate:.1f}", "")
        table.add(name, spread(seconds, 4), *rates, "", "", seconds=seconds, kind=kind, rate=rate)
    for case, (flop, moved) in works.items():
        seconds = [answer["seconds"] for answer in answers[case]]
        median = statistics.median(seconds)
        least = {"arithmetic": flop / roofs["flop"] / 1e9, "memory": moved / roofs["bytes"] / 1e9}
        limit = max(least, key=least.get)
        table.add(
            f"step, {case}",
            spread(seconds),
            f"{flop / median / 1e9:.1f}",
            f"{least['arithmetic'] / median:.0%}",
            f"{moved / median / 1e9:.1f}",
            f"{least['memory'] / median:.0%}",
            f"{flop / moved:.1f}",
            f"{limit}: {least[limit]:.3f}",
            seconds=seconds,
            flop=flop,
            bytes=moved,
            least=least,
        )


def show_operators(table: Table, answers: dict[str, list[dict[str, Any]]], cases: Iterable[str]) -> None:
    """A row for each kind: median milliseconds per step, and their share of the sum of all."""
    medians = {
        case: {kind: statistics.median(answer["operators"][kind] for answer in answers[case]) for kind in OPERATORS}
        for case in cases
    }
    sums = {case: sum(medians[case].values()) for case in cases}
    for kind in OPERATORS:
        of_kind = {case: medians[case][kind] for case in cases}
        cells = [cell for case, ms in of_kind.items() for cell in (f"{ms:.1f}", f"{ms / sums[case]:.1%}")]
        table.add(kind, *cells, milliseconds=of_kind)
    whole = {case: 1000 * statistics.median(answer["seconds"] for answer in answers[case]) for case in cases}
    cells = [cell for case in cases for cell in (f"{sums[case]:.1f} of {whole[case]:.1f}", "")]
    table.add("all operators, of the whole step", *cells, operators=sums, step=whole)


def main() -> None:
    arguments = parse_arguments(
        __doc__, rounds=5, add=lambda p: p.add_argument("--case", choices=CASES, action="append", help="default: all")
    )
    if arguments.work:
        what = json.loads(arguments.work)
        make = {"roof": make_roof, "step": make_step, "count": make_count}
        return serve(partial(make[what.pop("kind")], **what))
    model = "skresnet18" if arguments.smoke else "sknet50"
    cases = {
        f"{name}, batch {batch}": {"model": model, "side": side, "batch": batch}
        for name, (side, batch) in (SMOKE if arguments.smoke else CASES).items()
        if not arguments.case or name in arguments.case
    }
    with worker("count", points=[{"model": model, "side": case["side"]} for case in cases.values()]) as counter:
        counts = counter.ask()["counts"]
    works = {case: work(**each, batch=cases[case]["batch"]) for case, each in zip(cases, counts, strict=True)}
    answers = measure(cases, arguments)
    roofline = Table(
        arguments.out,
        "roofline",
        f"Training steps of {model} on the roofline, median of {arguments.rounds}, in turn in one run. A roof is the "
        "better of two; the limit is the time of a step's operations, or of its bytes, at the roof: the longer one.",
        ["what", "seconds", "GFLOP/s", "of the roof", "GB/s", "of the roof", "FLOP/byte", "limit, s"],
        smoke=arguments.smoke,
    )
    show_roofline(roofline, answers, works)
    operators = Table(
        arguments.out,
        "operators",
        f"Operators of a training step of {model}, Graph mode, median of {arguments.rounds}.",
        ["operator", *(heading for case in cases for heading in (f"{case}, ms", "share"))],
        smoke=arguments.smoke,
    )
    show_operators(operators, answers, list(cases))
    return None


if __name__ == "__main__":
    main()
