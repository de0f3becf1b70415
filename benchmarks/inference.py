"""Inference with `sknet50`: ours, PyTorch's and ONNX files of both, batch by batch in turn.

    python benchmarks/inference.py [--case 224x224,b8] [--only graph --only torch]

- graph, pynative: the network of validate.py and infer.py, after `prepare_for_inference` (batch norms folded, ...).
- graph, as trained: the same network as validation during training runs it.
- torch: timm's `skresnext50_32x4d`, the same network, PyTorch eager in its default layout; torch.compile: compiled.
- onnx, ours: the file that export.py writes, run by onnxruntime; onnx, timm: the file that timm's exporter writes.

All have 10 classes, random weights, and as many threads as they choose. The files have open (ours) or fixed (timm's)
batch sizes and are run by the same onnxruntime, that of the environment of the PyTorch peer.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from harness import ROOT, Table, Worker, interleave, parse_arguments, peer_python, serve, spread, spread_of_ratio

CASES = {"224x224,b8": (224, 8), "32x32,b32": (32, 32), "224x224,b1": (224, 1)}  # image side, batch
SMOKE = {"32x32,b2": (32, 2)}
WORKERS: dict[str, tuple[str, dict[str, Any]]] = {
    "graph": ("ours", {"mode": 0}),
    "torch": ("torch", {}),
    "torch.compile": ("torch", {"compiled": True}),
    "onnx, ours": ("onnx", {"origin": "ours"}),
    "onnx, timm": ("onnx", {"origin": "torch"}),
    "graph, as trained": ("ours", {"mode": 0, "prepared": False}),
    "pynative": ("ours", {"mode": 1}),
}
# Largest intended ratio to PyTorch eager's time; summary.py compares.
TARGETS = {"graph": 0.8, "onnx, ours": 0.6}
# With AVX-512, MindSpore 2.10 runs reference code for most convolutions unless limited to AVX2; the others may use all
# instructions. Overrides the caller's setting.
ENVIRONMENTS = {"ours": {"ONEDNN_MAX_CPU_ISA": "AVX2"}, "torch": {"ONEDNN_MAX_CPU_ISA": "DEFAULT"}, "onnx": {}}
CLASSES = 10
MODEL, PEER, SMOKE_MODEL = "sknet50", "skresnext50_32x4d", "skresnet18"


def random_images(side: int, batch: int) -> Any:
    """(B, 3, H, W) float32, the same for all."""
    import numpy as np

    return np.random.default_rng(0).standard_normal((batch, 3, side, side)).astype(np.float32)


def ours(model: str, side: int, batch: int, mode: int, prepared: bool = True) -> Callable[[], dict[str, float]]:
    """A batch through our network."""
    sys.path.insert(0, str(ROOT))
    import mindcv  # first: it sets what MindSpore reads

    mindcv.setup_runtime(mode=mode, device_target="CPU")
    from mindspore import Tensor

    from mindcv.models import prepare_for_inference

    network = mindcv.create_model(model, num_classes=CLASSES).set_train(False)
    if prepared:
        prepare_for_inference(network)
    images = random_images(side, batch)
    return lambda: {"result": float(network(Tensor(images)).asnumpy()[0, 0])}


def torch(model: str, side: int, batch: int, compiled: bool = False) -> Callable[[], dict[str, float]]:
    """A batch through timm's network."""
    from torch_steps import inference

    run = inference(model, side, batch, num_classes=CLASSES, compiled=compiled)
    return lambda: {"result": run()}


def onnx(path: str, side: int, batch: int) -> Callable[[], dict[str, float]]:
    """A batch through a file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Threads that spin between calls would slow down the next worker; within a call they may still spin.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    images = random_images(side, batch)
    return lambda: {"result": float(session.run(None, {name: images})[0][0, 0])}


def export_ours(model: str, side: int, batch: int, path: str) -> Callable[[], None]:
    """Writes our file; it serves every batch size."""
    sys.path.insert(0, str(ROOT))
    import mindcv

    mindcv.setup_runtime(device_target="CPU")
    from mindcv.export import export_network

    build = partial(mindcv.create_model, model, num_classes=CLASSES, device_forms=False)
    return lambda: export_network(build, path, input_size=(3, side, side), info={}, fold_bn=True) and None


def export_torch(model: str, side: int, batch: int, path: str) -> Callable[[], None]:
    """Writes timm's file for this batch size."""
    import timm
    import torch
    from timm.utils.onnx import onnx_export

    network = timm.create_model(model, num_classes=CLASSES, exportable=True).eval()
    images = torch.from_numpy(random_images(side, batch))
    return lambda: onnx_export(network, path, example_input=images, use_dynamo=True, check=False)


KINDS = {"ours": ours, "torch": torch, "onnx": onnx, "export ours": export_ours, "export torch": export_torch}


def worker(kind: str, **what: Any) -> Worker:
    """A worker of one of KINDS; `what` are that function's arguments."""
    peer = "ours" if kind in ("ours", "export ours") else "torch"
    work = json.dumps({"kind": kind, **what})
    return Worker(peer_python(peer), __file__, work, environment=ENVIRONMENTS[kind.removeprefix("export ")])


def start(name: str, side: int, batch: int, folder: Path, smoke: bool) -> Worker:
    """The worker of one of WORKERS; the file that an onnx one runs is written before."""
    kind, what = WORKERS[name]
    models = {"ours": SMOKE_MODEL if smoke else MODEL, "torch": PEER}
    if kind != "onnx":
        return worker(kind, model=models[kind], side=side, batch=batch, **what)
    origin = what["origin"]
    path = str(folder / f"{origin}_{side}_{batch}.onnx")
    with worker(f"export {origin}", model=models[origin], side=side, batch=batch, path=path) as export:
        export.ask()
    return worker("onnx", path=path, side=side, batch=batch)


def measure(table: Table, case: str, side: int, batch: int, names: list[str], arguments: argparse.Namespace) -> None:
    """All workers of one case, in turn."""
    workers, first = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        try:
            for name in names:  # one after the other: compiling alone
                workers[name] = start(name, side, batch, Path(folder), arguments.smoke)
                first[name] = workers[name].ask()
            seconds = interleave(workers, arguments.rounds, warmup=2)
            last = {name: one.ask() for name, one in workers.items()}
        finally:
            for one in workers.values():
                one.close()
    for name in names:
        table.add(
            f"{side}x{side}, batch {batch}",
            name,
            spread([1000 * value for value in seconds[name]], 0),
            spread_of_ratio(seconds[name], seconds["torch"]) if "torch" in seconds and name != "torch" else "",
            f"{first[name]['made'] + first[name]['seconds']:.1f}",
            f"{last[name]['peak_mb']:.0f}",
            case=case,
            name=name,
            seconds=seconds[name],
            first=first[name],
            last=last[name],
        )


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--case", choices=CASES, action="append", help="default: all")
    parser.add_argument("--only", choices=WORKERS, action="append", help="default: all")


def main() -> None:
    arguments = parse_arguments(__doc__, rounds=15, add=add_options)
    if arguments.work:
        work = json.loads(arguments.work)
        return serve(partial(KINDS[work.pop("kind")], **work))
    wanted = ["graph", "pynative"] if arguments.smoke else arguments.only or list(WORKERS)
    table = Table(
        arguments.out,
        "inference",
        f"Inference with sknet50, milliseconds per batch: median of {arguments.rounds} and spread, in turn in one run; "
        "ratios are those of neighbouring batches. Start: making the network and the first batch, which compiles.",
        ["images", "network", "milliseconds", "/ PyTorch", "start, s", "memory, MB"],
        smoke=arguments.smoke,
    )
    for case, (side, batch) in (SMOKE if arguments.smoke else CASES).items():
        if arguments.smoke or not arguments.case or case in arguments.case:
            measure(table, case, side, batch, [name for name in WORKERS if name in wanted], arguments)
    return None


if __name__ == "__main__":
    main()
