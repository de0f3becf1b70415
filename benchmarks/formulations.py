"""The CPU forms of the layers next to the textbook layers, forward and with gradients, in turn.

    python benchmarks/formulations.py [--mode 1] [--only "1x1"]

Some forms are used by a rule, on small or on large maps. Here they are used everywhere, to show where the rule comes
from; the last column has the choice of the rule.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from harness import ROOT, Table, milliseconds_in_turn, parse_arguments, spread, spread_of_ratio

sys.path.insert(0, str(ROOT))
import mindcv  # first: it sets what MindSpore reads
import mindspore as ms
from mindspore import Tensor, nn, ops

from mindcv.models import optimize_for_cpu
from mindcv.models.layers import GlobalAverage, SelectiveKernel, SqueezeExcite, conv2d
from mindcv.optim.momentum import Momentum

# (batch, C_in, C_out, side of the map): what sknet50 has at 224x224 batch 8, and at 32x32 batch 32
LARGE = ((8, 128, 128, 56), (8, 256, 256, 28), (8, 512, 512, 14), (8, 1024, 1024, 7))
SMALL = ((32, 128, 128, 8), (32, 256, 256, 4), (32, 512, 512, 2), (32, 1024, 1024, 1))
POINTWISE = (
    *((32, 128, 256, 8), (32, 256, 512, 4), (32, 512, 1024, 4), (32, 1024, 1024, 3), (32, 512, 1024, 2)),
    *((32, 1024, 2048, 1), (32, 2048, 1024, 1), (8, 2048, 1024, 7), (8, 1024, 2048, 7), (8, 1024, 512, 14)),
    *((8, 512, 1024, 14), (8, 1024, 1024, 14), (8, 256, 512, 28), (8, 512, 256, 28), (8, 128, 256, 56)),
)
STEM = ((8, 64, 64, 112), (32, 64, 64, 16))
SMOKE = (2, 32, 32, 4)


class Merge(nn.Cell):
    """Fuse and select of a selective kernel, without its convolutions: M maps (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int, branches: int) -> None:
        super().__init__()
        layer = SelectiveKernel(channels, channels, groups=32, branches=branches)
        self.fuse, self.select = layer.fuse, layer.select

    def construct(self, *features: Tensor) -> Tensor:
        return self.select(features, self.fuse(features))


@dataclass(frozen=True)
class Case:
    """A layer from (C_in, C_out), and the attributes that make its form apply whatever the rule says."""

    name: str
    build: Callable[[int, int], nn.Cell]
    shapes: tuple[tuple[int, int, int, int], ...]
    maps: int = 1
    force: Mapping[str, int] = field(default_factory=dict)
    chosen: Callable[[Any, int], bool] = lambda form, side: True


CASES = (
    Case("global average", lambda c, _: GlobalAverage(), LARGE),
    Case("squeeze and excite", lambda c, _: SqueezeExcite(c), LARGE),
    Case("fuse and select, 2 branches", lambda c, _: Merge(c, 2), LARGE + SMALL, 2),
    Case("fuse and select, 3 branches", lambda c, _: Merge(c, 3), LARGE + SMALL, 3),
    Case("selective kernel", lambda c, _: SelectiveKernel(c, c, groups=32), LARGE + SMALL),
    Case("max pooling, one pixel of padding", lambda *_: nn.MaxPool2d(3, 2, "pad", 1), STEM),
    Case("max pooling, same", lambda *_: nn.MaxPool2d(3, 2, "same"), STEM),
    Case(
        "3x3 in 32 groups as a product",
        partial(conv2d, kernel_size=3, groups=32),
        SMALL[1:],
        force={"max_matmul_pairs": 10**9},
        chosen=lambda form, side: side**4 <= form.max_matmul_pairs,
    ),
    Case(
        "3x3 as a product",
        partial(conv2d, kernel_size=3),
        ((128, 128, 128, 4), (128, 256, 256, 2), (128, 512, 512, 1)),
        force={"max_matmul_pairs": 10**9},
        chosen=lambda form, side: side**4 <= form.max_matmul_pairs,
    ),
    *(
        Case(
            f"3x3 in 32 groups, dilation {dilation}, own gradients",
            partial(conv2d, kernel_size=3, groups=32, dilation=dilation),
            (*LARGE[:3], SMALL[0]),
            force={"max_matmul_pairs": 0, "min_area_of_own_gradient": 0},
            chosen=lambda form, side: side**2 >= form.min_area_of_own_gradient,
        )
        for dilation in (1, 2)
    ),
    Case(
        "1x1, own gradient",
        partial(conv2d, kernel_size=1),
        POINTWISE,
        force={"max_area_to_join": 0},
        chosen=lambda form, side: not form.joins(side**2),
    ),
    Case(
        "1x1, joined",
        partial(conv2d, kernel_size=1),
        POINTWISE,
        force={"max_area_to_join": 10**9},
        chosen=lambda form, side: form.joins(side**2),
    ),
)


def measure(case: Case, shape: tuple[int, int, int, int], table: Table, rounds: int) -> None:
    batch, in_channels, out_channels, side = shape
    rng = np.random.default_rng(0)
    inputs = [
        Tensor(rng.standard_normal((batch, in_channels, side, side)).astype(np.float32)) for _ in range(case.maps)
    ]
    for part, training in (("forward", False), ("with gradients", True)):
        form = optimize_for_cpu(nn.SequentialCell([case.build(in_channels, out_channels)])).set_train(training)[0]
        rule = "yes" if case.chosen(form, side) else "no"
        for name, value in case.force.items():
            setattr(form, name, value)
        layers = [form, case.build(in_channels, out_channels).set_train(training)]
        calls = [partial(layer, *inputs) for layer in layers]
        if training:
            gradient = Tensor(rng.standard_normal(layers[1](*inputs).shape).astype(np.float32))
            calls = [partial(gradients_of(layer), *inputs, gradient) for layer in layers]
        times = milliseconds_in_turn(calls, rounds)
        cells = (case.name, part, ", ".join(map(str, shape)), *(spread(t, 2) for t in times), spread_of_ratio(*times))
        table.add(*cells, rule, milliseconds=times)


def gradients_of(layer: nn.Cell) -> nn.Cell:
    weights = ms.ParameterTuple(layer.trainable_params())
    if not weights:
        return ops.GradOperation(get_all=True, sens_param=True)(layer)
    return ops.GradOperation(get_all=True, get_by_list=True, sens_param=True)(layer, weights)


def measure_momentum(table: Table, rounds: int, model: str) -> None:
    parameters = mindcv.create_model(model).trainable_params()
    rng = np.random.default_rng(0)
    gradients = tuple(Tensor(rng.standard_normal(p.shape).astype(np.float32) * 1e-3) for p in parameters)
    optimizers = [kind(parameters, [0.1] * (rounds + 1), 0.9, 1e-4) for kind in (Momentum, nn.Momentum)]
    times = milliseconds_in_turn([partial(optimizer, gradients) for optimizer in optimizers], rounds)
    table.add(
        f"momentum with decay, {model}", "update", "", *(spread(t, 2) for t in times), spread_of_ratio(*times), "yes",
        milliseconds=times,
    )  # fmt: skip


def main() -> None:
    def add(parser):
        parser.add_argument("--mode", type=int, default=0, choices=(0, 1), help="0: Graph, 1: Pynative")
        parser.add_argument("--only", default="", help="part of the names of the layers to measure")

    arguments = parse_arguments(__doc__, add=add)
    mindcv.setup_runtime(mode=arguments.mode, device_target="CPU")
    mode = ("Graph", "Pynative")[arguments.mode]
    title = f"Layers in their form for a CPU and in the textbook's, {mode} mode."
    columns = ("layer", "pass", "batch, C_in, C_out, side", "form, ms", "textbook, ms", "form / textbook", "rule")
    name = "formulations" + "_pynative" * arguments.mode
    table = Table(arguments.out, name, title, columns, smoke=arguments.smoke)
    for case in CASES:
        if arguments.only in case.name:
            for shape in (SMOKE,) if arguments.smoke else case.shapes:
                measure(case, shape, table, arguments.rounds)
    if arguments.only in "momentum":
        measure_momentum(table, arguments.rounds, "skresnet18" if arguments.smoke else "sknet50")


if __name__ == "__main__":
    main()
