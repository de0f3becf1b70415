"""Training and inference time beside PyTorch, step by step in turn.

    python benchmarks/peers.py --torch-python /path/to/other/venv/bin/python

The peer runs timm's `skresnext50_32x4d`, which is our `sknet50`, in PyTorch eager mode. It lives in a virtual
environment of its own (`pip install torch timm`), never in ours. Two worker processes are started; one works while the
other sleeps, A B A B ..., so that a machine whose speed drifts is fair to both. Printed: the median of each and the
median of the ratios of neighbouring pairs, with their spread.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
CASES = {  # what: (is_training, image side, batch)
    "train 224x224 b8": (True, 224, 8),
    "train 32x32 b32": (True, 32, 32),
    "infer 224x224 b8": (False, 224, 8),
    "infer 32x32 b32": (False, 32, 32),
}


def mindspore_step(is_training: bool, side: int, batch: int, mode: int) -> Callable[[], object]:
    sys.path.insert(0, str(ROOT))
    import mindcv  # first: it sets what MindSpore reads

    mindcv.setup_runtime(mode=mode, device_target="CPU")
    import numpy as np
    from mindspore import Tensor

    from mindcv.engine import TrainStep

    network = mindcv.create_model("sknet50", num_classes=10)
    images = Tensor(np.random.default_rng(0).standard_normal((batch, 3, side, side)).astype(np.float32))
    labels = Tensor((np.arange(batch) % 10).astype(np.int32))
    if not is_training:
        network.set_train(False)
        return lambda: network(images).asnumpy()
    optimizer = mindcv.create_optimizer(network, "momentum", lr=0.01, weight_decay=1e-4)
    step = TrainStep(network, mindcv.create_loss("CE"), optimizer)
    step.set_train(True)
    return lambda: step(images, labels)[0].asnumpy()


def torch_step(is_training: bool, side: int, batch: int, mode: int) -> Callable[[], object]:
    import timm
    import torch

    network = timm.create_model("skresnext50_32x4d", num_classes=10)
    images = torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(batch) % 10
    if not is_training:
        network.eval()
        return torch.inference_mode()(lambda: network(images).numpy())
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)

    def step() -> float:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()
        return float(loss)

    return step


def work(peer: str, case: str, mode: int) -> None:
    """Worker: for each line read, run one step and write its seconds."""
    out = os.dup(1)
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    step = {"mindspore": mindspore_step, "torch": torch_step}[peer](*CASES[case], mode)
    for _ in sys.stdin:
        start = time.perf_counter()
        step()
        os.write(out, f"{time.perf_counter() - start}\n".encode())


class Worker:
    def __init__(self, python: str, peer: str, case: str, mode: int) -> None:
        line = [python, __file__, "--work", peer, "--case", case, "--mode", str(mode)]
        self.process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def step(self) -> float:
        self.process.stdin.write(b"go\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the worker ended: {' '.join(self.process.args)}; run it by hand to see why.")
        return float(answer)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def compare(case: str, python: str, mode: int, rounds: int) -> str:
    ours, theirs = Worker(sys.executable, "mindspore", case, mode), Worker(python, "torch", case, mode)
    first = ours.step()
    for worker in (theirs, ours, theirs):  # warm up
        worker.step()
    pairs = [(ours.step(), theirs.step()) for _ in range(rounds)]
    ours.close()
    theirs.close()
    ratios = [a / b for a, b in pairs]
    mine, peer = (statistics.median(column) for column in zip(*pairs, strict=True))
    return (
        f"| {case} | {('Graph', 'Pynative')[mode]} | {mine:.3f} s | {peer:.3f} s | {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f} - {max(ratios):.2f}) | {first:.1f} s |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch-python", help="interpreter of an environment with torch and timm")
    parser.add_argument("--mode", type=int, default=0, choices=(0, 1), help="0: Graph, 1: Pynative")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--case", choices=CASES, action="append", help="default: all")
    parser.add_argument("--work", choices=("mindspore", "torch"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        return work(arguments.work, arguments.case[0], arguments.mode)
    if not arguments.torch_python:
        parser.error("--torch-python is needed: an interpreter that has torch and timm")
    print("| step | mode | sknet50, MindSpore | skresnext50_32x4d, PyTorch eager | ratio (spread) | first step |")
    print("|---|---|---|---|---|---|")
    for case in arguments.case or CASES:
        print(compare(case, arguments.torch_python, arguments.mode, arguments.rounds), flush=True)
    return None


if __name__ == "__main__":
    main()
