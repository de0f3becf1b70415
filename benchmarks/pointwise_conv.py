"""The three ways to compute a 1x1 convolution with its gradients, in turn.

    python benchmarks/pointwise_conv.py [--mode 1] [--forward]

- MindSpore: its convolution and the gradient it has for that.
- convolution: the same, but for the gradient of the input, which is a convolution with the transposed weight.
- joined: the batch as one image, whose positions are those of all images.

Shows where the rule of `PointwiseConv2d` comes from: "rule" says which of the last two it takes. With `--forward` as in
evaluation, where the first two are the same.
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
from mindspore import Tensor, nn

from mindcv.models.layers.conv import PointwiseConv2d

SHAPES = (  # batch, side of the map, C_in, C_out: what sknet50 has at 32x32 batch 32, and at 224x224 batch 8
    (32, 8, 128, 256),
    (32, 4, 256, 512),
    (32, 2, 512, 1024),
    (32, 1, 1024, 2048),
    (32, 1, 2048, 1024),
    (32, 3, 1024, 1024),
    (32, 4, 512, 1024),
    (8, 7, 2048, 1024),
    (8, 7, 1024, 2048),
    (8, 14, 1024, 512),
    (8, 14, 512, 1024),
    (8, 14, 1024, 1024),
    (8, 28, 256, 512),
    (8, 28, 512, 256),
    (8, 56, 128, 256),
    (8, 56, 256, 128),
)


class Gradient(nn.Cell):
    def __init__(self, layer: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.layer = layer
        self.gradient = ms.value_and_grad(self.forward, 0, ms.ParameterTuple(layer.trainable_params()))

    def forward(self, x: Tensor) -> Tensor:
        out = self.layer(x)
        return (out * out).sum()

    def construct(self, x: Tensor):
        return self.gradient(x)


def seconds(step: nn.Cell, x: Tensor) -> float:
    start = time.perf_counter()
    step(x)
    ms.runtime.synchronize()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", type=int, default=0, choices=(0, 1), help="0: Graph, 1: Pynative")
    parser.add_argument("--forward", action="store_true", help="without gradients")
    arguments = parser.parse_args()
    training = not arguments.forward
    mindcv.setup_runtime(mode=arguments.mode, device_target="CPU")
    what = "forward + backward" if training else "forward"
    print(f"{('Graph', 'Pynative')[arguments.mode]} mode, {what}, median of 9; ratios: to MindSpore's")
    print("| map | channels | MindSpore, ms | convolution, ms | joined, ms | convolution | joined | rule |")
    print("|---|---|---|---|---|---|---|---|")
    for batch, side, in_channels, out_channels in SHAPES:
        layers = [PointwiseConv2d(in_channels, out_channels).set_train(training) for _ in range(3)]
        plain, convolution, joined = layers
        rule = "joined" if joined.joins(side * side) else "convolution"
        plain.convolve = plain.conv2d
        plain.max_area_to_join, convolution.max_area_to_join, joined.max_area_to_join = 0, 0, 5 * side * side
        steps = [Gradient(layer) if training else layer for layer in layers]
        x = Tensor(np.random.default_rng(0).standard_normal((batch, in_channels, side, side)).astype(np.float32))
        for step in steps:
            seconds(step, x)
        rounds = [[seconds(step, x) for step in steps] for _ in range(9)]
        times = [f"{1000 * statistics.median(column):.1f}" for column in zip(*rounds, strict=True)]
        ratios = [f"{statistics.median(each[which] / each[0] for each in rounds):.2f}" for which in (1, 2)]
        cells = (f"{batch} x {side} x {side}", f"{in_channels} -> {out_channels}", *times, *ratios, rule)
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
