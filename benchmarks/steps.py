"""Training steps of `sknet50`: ours, PyTorch's and MindCV's, in both modes, step by step in turn.

    python benchmarks/steps.py [--case 224x224] [--only graph --only torch]

- graph, pynative: `sknet50`, the step as train.py builds it, which also checks every gradient for infinities. Graph,
  second start: with the compiled graphs of the first; graph, recompute: with --recompute; pynative,
  usual priority: with the priority of the calling thread left as it is.
- torch: timm's `skresnext50_32x4d`, the same network, PyTorch eager in its default layout.
- mindcv graph, mindcv pynative: the same network built from MindCV's blocks (its selective kernel stacks the branches,
  takes a softmax and sums), with groups=32 as in the paper; MindSpore's TrainOneStepCell, as MindCV's train.py has it.

All: 10 classes, cross-entropy, momentum 0.9, weight decay 1e-4. MindCV gets ONEDNN_MAX_CPU_ISA=AVX2, which `import
mindcv` sets for ours; "as installed" is one step without it. PyTorch may use all instructions.

The first step of ours and of MindCV compiles in Graph mode. Peak: the peak memory of the process, next to its
memory after importing the framework.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from harness import (
    ROOT,
    Table,
    Worker,
    interleave,
    parse_arguments,
    peer_python,
    resident_mb,
    serve,
    spread,
    spread_of_ratio,
)

CASES = {"224x224": (224, 8), "32x32": (32, 32)}  # image side, batch
SMOKE = {"32x32": (32, 2)}
# ONEDNN_MAX_CPU_ISA of each kind of worker, overriding the caller's. With AVX-512, MindSpore 2.10 runs reference code
# for most convolutions unless limited to AVX2.
ALL_INSTRUCTIONS, FAST_FOR_MINDSPORE = {"ONEDNN_MAX_CPU_ISA": "DEFAULT"}, {"ONEDNN_MAX_CPU_ISA": "AVX2"}
ENVIRONMENTS = {"ours": FAST_FOR_MINDSPORE, "torch": ALL_INSTRUCTIONS, "mindcv": FAST_FOR_MINDSPORE}
WORKERS: dict[str, tuple[str, dict[str, Any]]] = {
    "graph": ("ours", {"mode": 0, "keeps_graphs": True}),
    "torch": ("torch", {}),
    "graph, second start": ("ours", {"mode": 0, "keeps_graphs": True}),
    "pynative": ("ours", {"mode": 1}),
    "pynative, usual priority": ("ours", {"mode": 1, "makes_way": False}),
    "graph, recompute": ("ours", {"mode": 0, "recompute": True}),
    "mindcv graph": ("mindcv", {"mode": 0}),
    "mindcv pynative": ("mindcv", {"mode": 1}),
}
# Ratios, and their largest intended value in each case; summary.py compares.
TARGETS = (
    ("graph", "torch", {"224x224": 1.0, "32x32": 1.0}),
    ("graph", "mindcv graph", {"224x224": 0.75, "32x32": 0.75}),
    ("pynative", "graph", {"224x224": 1.5, "32x32": 2.0}),
    ("pynative", "mindcv pynative", {"224x224": 0.5, "32x32": 0.5}),
)
CLASSES = 10


def ours(
    model: str,
    side: int,
    batch: int,
    *,
    mode: int = 0,
    training: bool = True,
    recompute: bool = False,
    makes_way: bool = True,
    graphs: str | None = None,
    num_classes: int = CLASSES,
    **arch: Any,
) -> Callable[[], dict[str, float]]:
    """A step of this package, as train.py or validate.py runs it; `arch` as in `create_model`.

    Args:
        makes_way: whether Pynative mode lowers the priority of the calling thread.
        graphs: folder for compiled graphs; None: none are kept.
    """
    sys.path.insert(0, str(ROOT))
    import mindcv  # first: it sets what MindSpore reads
    from mindcv import runtime
    from mindcv.compile_cache import compiled_graphs_kept

    if not makes_way:
        runtime._make_way_for_kernels = lambda: None
    mindcv.setup_runtime(mode=mode, device_target="CPU")
    import numpy as np
    from mindspore import Tensor

    from assemble import describe_graphs
    from assemble_training import build_step
    from config import load_config
    from mindcv.engine import RunLength

    imported = resident_mb()
    network = mindcv.create_model(model, num_classes=num_classes, **arch)
    images = Tensor(np.random.default_rng(0).standard_normal((batch, 3, side, side)).astype(np.float32))
    if not training:
        from mindcv.models.inference import prepare_for_inference

        network = prepare_for_inference(network).set_train(False)
        return lambda: {"result": float(network(images).asnumpy()[0, 0]), "imported_mb": imported}
    labels = Tensor((np.arange(batch) % num_classes).astype(np.int32))
    options = ["--dataset=cifar10", "--opt=momentum", "--momentum=0.9", "--weight_decay=1e-4", "--loss=CE"]
    options += ["--recompute"] * recompute
    config = load_config([f"--model={model}", *options], prog="train")
    step, _ = build_step(config, network, RunLength(epochs=90, batches=100))
    step.set_train(True)
    kept = ExitStack()  # for as long as `run` lives
    described_by = describe_graphs(config, network)
    kept.enter_context(compiled_graphs_kept(Path(graphs) if graphs else None, described_by=described_by))

    def run(kept: ExitStack = kept) -> dict[str, float]:
        loss, finite, *_ = step(images, labels)
        assert finite.asnumpy()
        return {"result": float(loss.asnumpy()), "imported_mb": imported}

    return run


def torch(model: str, side: int, batch: int, training: bool = True) -> Callable[[], dict[str, float]]:
    """A step of PyTorch on a CPU."""
    from torch_steps import inference, training_step

    imported = resident_mb()
    step = (training_step if training else inference)(model, side, batch, num_classes=CLASSES)
    return lambda: {"result": step(), "imported_mb": imported}


def mindcv(model: str, side: int, batch: int, mode: int) -> Callable[[], dict[str, float]]:
    """A step of MindCV 0.3.0, the package of the same name, in its own environment."""
    import mindspore as ms
    import numpy as np
    from mindcv.loss import create_loss
    from mindcv.models.sknet import SelectiveKernelBottleneck, SKNet
    from mindcv.optim import create_optimizer
    from mindspore import Tensor, nn

    assert model == "sknet50"
    ms.set_context(mode=mode)
    ms.set_device("CPU")
    imported = resident_mb()
    network = SKNet(
        SelectiveKernelBottleneck,
        [3, 4, 6, 3],
        num_classes=CLASSES,
        groups=32,
        base_width=4,
        sk_kwargs={"rd_ratio": 1 / 16, "rd_divisor": 32, "split_input": False},
    )
    images = Tensor(np.random.default_rng(0).standard_normal((batch, 3, side, side)).astype(np.float32))
    labels = Tensor((np.arange(batch) % CLASSES).astype(np.int32))
    optimizer = create_optimizer(network, opt="momentum", lr=0.01, weight_decay=1e-4, momentum=0.9)
    step = nn.TrainOneStepCell(nn.WithLossCell(network, create_loss("CE")), optimizer)
    step.set_train(True)
    parameters = sum(parameter.size for parameter in network.trainable_params())
    return lambda: {
        "result": float(step(images, labels).asnumpy()),
        "imported_mb": imported,
        "parameters": parameters,
    }


def step_worker(kind: str, environment: dict[str, str] | None = None, **what: Any) -> Worker:
    """A worker that runs a step of "ours", "torch" or "mindcv"; `what` are that function's arguments."""
    return Worker(
        peer_python(kind),
        __file__,
        json.dumps({"kind": kind, **what}),
        environment=environment or ENVIRONMENTS[kind],
    )


def measure(
    table: Table, case: str, side: int, batch: int, names: Sequence[str], arguments: argparse.Namespace
) -> None:
    """All steps of one case, in turn."""
    model = "skresnet18" if arguments.smoke else "sknet50"
    kinds = {name: (WORKERS[name][0], dict(WORKERS[name][1])) for name in names}
    peers = {"torch": "skresnext50_32x4d"}
    workers, first = {}, {}
    with ExitStack() as stack:
        graphs = stack.enter_context(tempfile.TemporaryDirectory())
        for name, (kind, what) in kinds.items():  # one after the other: compiling alone
            keeps = {"graphs": graphs} if what.pop("keeps_graphs", False) else {}
            worker = step_worker(kind, model=peers.get(kind, model), side=side, batch=batch, **what, **keeps)
            workers[name] = stack.enter_context(worker)
            first[name] = worker.ask()
        seconds = interleave(workers, arguments.rounds)
        last = {name: worker.ask() for name, worker in workers.items()}
    step = f"{case}, batch {batch}"
    for name in names:
        peak, imported = last[name]["peak_mb"], last[name]["imported_mb"]
        others = ("torch", "mindcv pynative" if "pynative" in name else "mindcv graph", "graph")
        ratios = [
            spread_of_ratio(seconds[name], seconds[other]) if other in seconds and other != name else ""
            for other in others
        ]
        table.add(
            step,
            name,
            spread(seconds[name]),
            *ratios,
            f"{first[name]['seconds']:.1f}",
            f"{peak:.0f} ({imported:.0f})",
            case=case,
            name=name,
            seconds=seconds[name],
            first=first[name],
            last=last[name],
        )


def measure_as_installed(table: Table, case: str, side: int, batch: int) -> None:
    """One step of MindCV with all instructions; the first compiles."""
    with step_worker("mindcv", ALL_INSTRUCTIONS, model="sknet50", side=side, batch=batch, mode=0) as worker:
        first, second = worker.ask(), worker.ask()
    name = "mindcv graph, as installed"
    cells = (f"{second['seconds']:.3f}, once", "", "", "", f"{first['seconds']:.1f}")
    memory = f"{second['peak_mb']:.0f} ({second['imported_mb']:.0f})"
    table.add(f"{case}, batch {batch}", name, *cells, memory, case=case, name=name, seconds=[second["seconds"]])


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--case", choices=CASES, action="append", help="default: all")
    parser.add_argument("--only", choices=WORKERS, action="append", help="default: all")


def main() -> None:
    arguments = parse_arguments(__doc__, rounds=7, add=add_options)
    if arguments.work:
        work = json.loads(arguments.work)
        kind = {"ours": ours, "torch": torch, "mindcv": mindcv}[work.pop("kind")]
        return serve(partial(kind, **work))
    cases = SMOKE if arguments.smoke else CASES
    wanted = ["graph", "pynative"] if arguments.smoke else arguments.only or list(WORKERS)
    names = [name for name in WORKERS if name in wanted]
    table = Table(
        arguments.out,
        "steps",
        f"Training steps of sknet50, seconds: median of {arguments.rounds} and spread, in turn in one run; ratios are "
        "those of neighbouring steps. Memory: peak, and in brackets what the imports take.",
        ["step", "network", "seconds", "/ PyTorch", "/ MindCV", "/ our Graph", "first step, s", "memory, MB"],
        smoke=arguments.smoke,
    )
    for case, (side, batch) in cases.items():
        if not arguments.case or case in arguments.case:
            measure(table, case, side, batch, names, arguments)
    if not (arguments.smoke or arguments.only):
        measure_as_installed(table, "32x32", *CASES["32x32"])
    return None


if __name__ == "__main__":
    main()
