"""Which parts of a training step of `sknet50` take longer than in PyTorch, with timm's version of the network.

    python benchmarks/parts.py [--case 224x224]

Both frameworks' profilers add up the seconds of their operators: ours as benchmarks/roofline.py has them, PyTorch's as
torch.profiler's own time of every operator, everything called by SGD being the update. The parts are the common
denominator: PyTorch has one operator for both gradients of a convolution, and MindSpore computes some convolutions as
products. Ours adds and copies more: every gradient is summed and the statistics of batch norm are kept, to find NaN and
infinite values and to undo their step (`TrainStep`).

"Between operators" is the rest of a step that is not profiled, the median over the turns. A profiler makes operators
look a little longer, so it can be below zero.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from typing import Any

import roofline
from harness import Table, Worker, parse_arguments, peer_python, serve
from steps import CASES, ENVIRONMENTS, SMOKE, torch

# MindSpore's kinds (roofline.OPERATORS), and beginnings of PyTorch's names.
PARTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "convolutions and products, with gradients": (
        (
            "convolution",
            "convolution, gradient of the input",
            "convolution, gradient of the weight",
            "matrix product, with gradients",
        ),
        ("aten::mkldnn_convolution", "aten::convolution_backward", "aten::addmm", "aten::mm"),
    ),
    "batch norm": (("batch norm",), ("aten::native_batch_norm",)),
    "batch norm, gradient": (("batch norm, gradient",), ("aten::native_batch_norm_backward",)),
    "ReLU, with gradient": (("ReLU, with gradient",), ("aten::clamp_min", "aten::relu", "aten::threshold_backward")),
    "pooling, with gradient": (("pooling, with gradient",), ("aten::max_pool2d", "aten::avg_pool2d", "aten::mean")),
    "additions, products, sums": (
        ("addition, product, sum",),
        ("aten::add", "aten::mul", "aten::sum", "aten::sub", "aten::div", "aten::_softmax"),
    ),
    "copies": (("copy",), ("aten::copy_", "aten::cat", "aten::clone", "aten::fill_", "aten::zero_")),
    "update": (("update",), ("Optimizer",)),
}


def torch_step(**what: Any) -> Callable[[], dict[str, Any]]:
    """A step of PyTorch that is timed, and two that are profiled: milliseconds of each of PARTS per step."""
    step = torch(**what)
    from torch.profiler import ProfilerActivity, profile

    def run() -> dict[str, Any]:
        start = time.perf_counter()
        step()
        seconds = time.perf_counter() - start
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            for _ in range(roofline.PROFILED_STEPS):
                step()
        operators = ((_name(event), event.self_cpu_time_total) for event in profiled.events())
        return {"seconds": seconds, "parts": group_torch(operators)}

    return run


def _name(event: Any) -> str:
    """Of an operator; "Optimizer" if SGD has called it."""
    above = event
    while above is not None:
        if above.name.startswith("Optimizer.step"):
            return "Optimizer"
        above = above.cpu_parent
    return event.name


def group_torch(operators: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Milliseconds per step of each of PARTS; the operators are names and microseconds, of all profiled steps.

    What has no part is PyTorch's bookkeeping, and counts as time between operators.
    """
    kinds = {name: part for part, (_, names) in PARTS.items() for name in names}
    total = dict.fromkeys(PARTS, 0.0)
    for name, microseconds in operators:
        beginnings = [beginning for beginning in kinds if name.startswith(beginning)]
        if beginnings:
            total[kinds[max(beginnings, key=len)]] += microseconds / 1000 / roofline.PROFILED_STEPS
    return total


def our_step(**what: Any) -> Callable[[], dict[str, Any]]:
    """The same of ours."""
    step = roofline.make_step(**what)

    def run() -> dict[str, Any]:
        answer = step()
        parts = {part: sum(answer["operators"][kind] for kind in kinds) for part, (kinds, _) in PARTS.items()}
        return {"seconds": answer["seconds"], "parts": parts}

    return run


def measure(table: Table, cases: dict[str, dict[str, Any]], arguments: argparse.Namespace) -> None:
    """All steps of all cases in turn, and a row for each part of each case."""
    who = ("ours",) if arguments.smoke else ("ours", "torch")
    answers: dict[tuple[str, str], list[dict[str, Any]]] = {(case, kind): [] for case in cases for kind in who}
    with ExitStack() as stack:
        workers = {}
        for case, kind in answers:
            what = cases[case] if kind == "ours" else {**cases[case], "model": "skresnext50_32x4d"}
            what = json.dumps({"kind": kind, **what})
            worker = Worker(peer_python(kind), __file__, what, environment=ENVIRONMENTS[kind])
            workers[case, kind] = stack.enter_context(worker)
            workers[case, kind].ask()
        for turn in range(1 + arguments.rounds):
            for key, worker in workers.items():
                answer = worker.ask()
                if turn:
                    answers[key].append(answer)
    for case in cases:
        parts = {kind: medians(answers[case, kind]) for kind in who}
        for part in parts["ours"]:
            milliseconds = [parts[kind][part] for kind in who]
            differs = f"{milliseconds[0] - milliseconds[1]:+.1f}" if len(who) > 1 else ""
            table.add(
                case, part, *(f"{each:.1f}" for each in [*milliseconds, 0.0][:2]), differs, milliseconds=milliseconds
            )


def medians(answers: list[dict[str, Any]]) -> dict[str, float]:
    """Milliseconds of every part, of what is between them, and of the whole step."""
    parts = {part: statistics.median(answer["parts"][part] for answer in answers) for part in PARTS}
    between = statistics.median(1000 * answer["seconds"] - sum(answer["parts"].values()) for answer in answers)
    whole = 1000 * statistics.median(answer["seconds"] for answer in answers)
    return {**parts, "between operators": between, "the whole step": whole}


def main() -> None:
    arguments = parse_arguments(
        __doc__, rounds=5, add=lambda p: p.add_argument("--case", choices=CASES, action="append", help="default: all")
    )
    if arguments.work:
        what = json.loads(arguments.work)
        return serve(partial({"ours": our_step, "torch": torch_step}[what.pop("kind")], **what))
    model = "skresnet18" if arguments.smoke else "sknet50"
    cases = {
        f"{name}, batch {batch}": {"model": model, "side": side, "batch": batch}
        for name, (side, batch) in (SMOKE if arguments.smoke else CASES).items()
        if not arguments.case or name in arguments.case
    }
    table = Table(
        arguments.out,
        "parts",
        f"Parts of a training step of {model}, ours in Graph mode, median of {arguments.rounds}, in turn in one run.",
        ["step", "part", "ours, ms", "PyTorch eager, ms", "difference"],
        smoke=arguments.smoke,
    )
    return measure(table, cases, arguments)


if __name__ == "__main__":
    main()
