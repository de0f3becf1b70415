"""The SK layer against the formulation of the textbook (stack, softmax, multiply, sum), forward and backward.

    python benchmarks/sk_layer.py [--mode 1]

Both run in one process, in turn, on sknet50's four shapes. The two have the same parameters and must agree before they
are timed. "whole layer" is split + fuse + select with its convolutions; "fuse + select" is what the two do differently.
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

from mindcv.models.layers import SelectiveKernel


class Textbook(nn.Cell):
    """The same function, written as the paper's equations read."""

    def __init__(self, layer: SelectiveKernel) -> None:
        super().__init__(auto_prefix=False)
        self.split, self.fuse, self.select = layer.split, layer.fuse, layer.select

    def merge(self, features: tuple[Tensor, ...]) -> Tensor:
        stacked = ops.stack(features, axis=1)  # (B, M, C, H, W)
        descriptor = stacked.sum(axis=1).mean((2, 3), keep_dims=True)
        descriptor = ops.relu(self.fuse.bn(self.fuse.conv(descriptor)))
        logits = self.select.conv(descriptor).reshape(stacked.shape[0], stacked.shape[1], stacked.shape[2], 1, 1)
        return (ops.softmax(logits, axis=1) * stacked).sum(axis=1)

    def construct(self, x: Tensor) -> Tensor:
        return self.merge(self.split(x))


class Gradient(nn.Cell):
    """Gradient of a mean of squares with respect to the weights and the inputs."""

    def __init__(self, layer: nn.Cell, *, merge_only: bool) -> None:
        super().__init__(auto_prefix=False)
        self.layer, self.merge_only = layer, merge_only
        weights = ms.ParameterTuple(
            [p for p in layer.trainable_params() if not (merge_only and p.name.startswith("split"))]
        )
        self.is_textbook = isinstance(layer, Textbook)
        self.gradient = ms.value_and_grad(self.forward, (0, 1) if merge_only else 0, weights)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        if not self.merge_only:
            out = self.layer(first)
        elif self.is_textbook:
            out = self.layer.merge((first, second))
        else:
            out = self.layer.select((first, second), self.layer.fuse((first, second)))
        return (out * out).mean()

    def construct(self, first: Tensor, second: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.gradient(first, second)


def wait_for(tensors) -> None:
    """Pynative returns before the work is done: ask for every result."""
    if isinstance(tensors, tuple | list):
        for tensor in tensors:
            wait_for(tensor)
    else:
        tensors.asnumpy()


def measure(channels: int, side: int, batch: int, merge_only: bool, rounds: int) -> str:
    layer = SelectiveKernel(channels, channels, groups=32)
    rng = np.random.default_rng(0)
    inputs = [Tensor(rng.standard_normal((batch, channels, side, side)).astype(np.float32)) for _ in range(2)]
    steps = [Gradient(cell, merge_only=merge_only) for cell in (layer, Textbook(layer))]
    values = []
    for step in steps:
        step.set_train(True)
        values.append(step(*inputs)[0].asnumpy())
    np.testing.assert_allclose(values[0], values[1], rtol=1e-4)

    def seconds(step: nn.Cell) -> float:
        start = time.perf_counter()
        value, gradients = step(*inputs)
        wait_for(gradients)
        value.asnumpy()
        return time.perf_counter() - start

    pairs = [(seconds(steps[0]), seconds(steps[1])) for _ in range(rounds)]
    ours, textbook = (1000 * statistics.median(column) for column in zip(*pairs, strict=True))
    ratios = [b / a for a, b in pairs]
    part = "fuse + select" if merge_only else "whole layer"
    return (
        f"| {channels} x {side} x {side}, batch {batch} | {part} | {ours:.1f} ms | {textbook:.1f} ms | "
        f"{statistics.median(ratios):.2f}x ({min(ratios):.2f} - {max(ratios):.2f}) |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", type=int, default=1, choices=(0, 1), help="0: Graph, 1: Pynative")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    mindcv.setup_runtime(mode=arguments.mode, device_target="CPU")
    print(f"{('Graph', 'Pynative')[arguments.mode]} mode, forward + backward, median of {arguments.rounds}")
    print("| shape | part | ours | stack-softmax-sum | textbook / ours (spread) |")
    print("|---|---|---|---|---|")
    for channels, side in ((128, 56), (256, 28), (512, 14), (1024, 7)):
        for merge_only in (True, False):
            print(measure(channels, side, 8, merge_only, arguments.rounds), flush=True)


if __name__ == "__main__":
    main()
