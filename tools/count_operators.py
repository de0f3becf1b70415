"""Prints how many operators of each type the compiled graph of a network has, built as for a GPU; needs none.

    python tools/count_operators.py sknet50 skresnet18 --image_size 224

Columns: inference without and with `prepare_for_inference`; that with channels last; forward and backward of training,
without and with channels last, where max pooling is shown as AvgPool. They are MindSpore's optimized graphs before it
chooses kernels; a backend fuses some operators further, and a Reshape may cost nothing.
"""

import argparse
import contextlib
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parent.parent))
import mindcv  # noqa: F401  (first: it sets what MindSpore reads)

# isort: split
import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.common.api import _cell_graph_executor
from mindspore.train.mind_ir_pb2 import ModelProto

from mindcv.models import channels_last, create_model, prepare_for_inference, use_channels_last
from mindcv.runtime import setup_runtime

# Nodes by which a graph holds and passes values and orders side effects.
_NO_OPERATORS = ("Constant", "Depend", "Load", "MakeTuple", "Return", "TupleGetItem", "UpdateState")
COLUMNS = ("inference", "prepared", "prepared, channels last", "training", "training, channels last")


class Gradients(nn.Cell):
    """The logits of a network and the gradients of its parameters."""

    def __init__(self, network: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.gradients = ms.value_and_grad(network, None, network.trainable_params())

    def construct(self, images: Tensor) -> tuple:
        return self.gradients(images)


def count_operators(cell: nn.Cell, *inputs: Any) -> tuple[Counter[str], int]:
    """Operators by type in the graphs of a Cell, and the number of graphs: more than one if the host decides.

    The device need not have the operators: such a phase ends before kernels are chosen.
    """
    graph_id, _ = _cell_graph_executor.compile(cell, *inputs, phase=f"export.{id(cell)}", do_convert=False)
    model = ModelProto()
    model.ParseFromString(_cell_graph_executor._get_func_graph_proto(cell, graph_id, "mind_ir"))
    graphs = [model.graph, *model.functions]
    counts = Counter(node.op_type.removeprefix("REF::").split(":")[0] for graph in graphs for node in graph.node)
    for name in (*_NO_OPERATORS, *(graph.name for graph in graphs)):  # a graph calls another by its name
        del counts[name]
    return counts, len(graphs)


@contextlib.contextmanager
def channels_last_without_a_gpu() -> Iterator[None]:
    """`use_channels_last` works on any device in this context, for graphs to count: they cannot run."""
    get_context = ms.get_context

    def pretend(name: str) -> object:
        return "GPU" if name == "device_target" else get_context(name)

    def pool(size: int, stride: int, pad_mode: str, layout: str) -> ops.AvgPool:
        return ops.AvgPool(size, stride, pad_mode, layout)  # of one shape; that of MaxPool is refused without a GPU

    with (
        mock.patch("mindspore.context.get_context", pretend),
        mock.patch.object(channels_last, "on_gpu", lambda: True),
        mock.patch.object(channels_last, "MaxPool", pool),
    ):
        yield


def counts_of(
    name: str, image_size: int, columns: tuple[str, ...] = COLUMNS, **options: Any
) -> dict[str, Counter[str]]:
    """The counts of a network, for each of some columns; further options are those of `create_model`."""
    images = Tensor(np.zeros((2, 3, image_size, image_size), np.float32))
    counts = {}
    for column in columns:
        network = create_model(name, device_forms=False, **options)
        network.set_train(column.startswith("training"))
        if column.startswith("prepared"):
            prepare_for_inference(network)
        if column.endswith("channels last"):
            with channels_last_without_a_gpu():
                use_channels_last(network, keep_weights=network.training)
        counts[column], _ = count_operators(Gradients(network) if network.training else network, images)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL", help="of mindcv.list_models()")
    parser.add_argument("--image_size", type=int, default=224, help="height and width of the images, pixels")
    arguments = parser.parse_args()
    setup_runtime(device_target="CPU")
    for name in arguments.models:
        counts = counts_of(name, arguments.image_size)
        print(f"\n| {name} | {' | '.join(counts)} |\n|---{'|---:' * len(counts)}|")
        for operator in sorted(set().union(*counts.values())):
            print(f"| {operator} | {' | '.join(str(column[operator]) for column in counts.values())} |")
        print(f"| all | {' | '.join(str(column.total()) for column in counts.values())} |")


if __name__ == "__main__":
    main()
