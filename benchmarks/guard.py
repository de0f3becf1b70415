"""The cost of undoing non-finite steps: seconds per step of `TrainStep` and of a plain one, in turn.

    python benchmarks/guard.py [--model skresnet18] [--batch_size 32] [--image_size 32] [--mode 1]

`TrainStep` checks every gradient and running statistic for NaN and infinity, and copies the statistics.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
import mindcv  # first: it sets what MindSpore reads
import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from mindcv.engine import TrainStep

STEPS = 2  # per round


class PlainStep(nn.Cell):
    """Forward, backward and update: (B, C, H, W) images and (B,) labels -> () loss."""

    def __init__(self, network: nn.Cell, loss: nn.Cell, optimizer: nn.Optimizer) -> None:
        super().__init__(auto_prefix=False)
        self.network, self.loss, self.optimizer = network, loss, optimizer
        self.loss_and_gradients = ms.value_and_grad(self.forward, None, optimizer.parameters)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        return self.loss(self.network(images), labels)

    def construct(self, images: Tensor, labels: Tensor) -> tuple[Tensor]:
        loss, gradients = self.loss_and_gradients(images, labels)
        return (ops.depend(loss, self.optimizer(gradients)),)


def build(model: str, kind: type[nn.Cell]) -> nn.Cell:
    network = mindcv.create_model(model, num_classes=10)
    optimizer = mindcv.create_optimizer(network, "momentum", lr=0.01)
    return kind(network, mindcv.create_loss("CE"), optimizer).set_train(True)


def seconds(step: nn.Cell, images: Tensor, labels: Tensor) -> float:
    start = time.perf_counter()
    for _ in range(STEPS):
        for result in step(images, labels):
            result.asnumpy()
    return (time.perf_counter() - start) / STEPS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="skresnet18")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--image_size", type=int, default=32, help="pixels per side")
    parser.add_argument("--mode", type=int, default=0, choices=(0, 1), help="0: Graph, 1: Pynative")
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    mindcv.setup_runtime(mode=arguments.mode, device_target="CPU", seed=1)
    rng = np.random.default_rng(0)
    side = arguments.image_size
    images = Tensor(rng.standard_normal((arguments.batch_size, 3, side, side)).astype(np.float32))
    labels = Tensor(rng.integers(0, 10, arguments.batch_size).astype(np.int32))
    steps = [build(arguments.model, kind) for kind in (PlainStep, TrainStep)]
    for step in steps:
        seconds(step, images, labels)  # compiles
    pairs = []
    for index in range(arguments.rounds):
        order = (0, 1) if index % 2 else (1, 0)
        times = {which: seconds(steps[which], images, labels) for which in order}
        pairs.append((times[0], times[1]))
    plain, guarded = (1000 * statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    shape, mode = f"{arguments.batch_size} x 3 x {side} x {side}", ("Graph", "Pynative")[arguments.mode]
    print(f"{arguments.model}, {shape}, {mode} mode, median of {arguments.rounds} rounds of {STEPS} steps:")
    print(f"a plain step {plain:.1f} ms, TrainStep {guarded:.1f} ms: {ratio:.3f} times")


if __name__ == "__main__":
    main()
