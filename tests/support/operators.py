"""The operators of a compiled Cell, without running it: for a device that is not there."""

from collections import Counter
from typing import Any

from mindspore import nn
from mindspore.common.api import _cell_graph_executor
from mindspore.train.mind_ir_pb2 import ModelProto


def count_operators(cell: nn.Cell, *inputs: Any) -> tuple[Counter[str], int]:
    """How often each operator occurs, and the number of graphs: more than one if the host decides which one runs.

    These are the graphs of MindSpore's front end after its optimisations, differentiation included. Choosing kernels,
    which fails for operators that a CPU lacks, and the passes of each device come later.
    """
    phase = f"export.{id(cell)}"  # the only kind of phase that ends here
    graph_id, _ = _cell_graph_executor.compile(cell, *inputs, phase=phase, do_convert=False)
    model = ModelProto()
    model.ParseFromString(_cell_graph_executor._get_func_graph_proto(cell, graph_id, "mind_ir"))
    graphs = [model.graph, *model.functions]
    return Counter(node.op_type.removeprefix("REF::").split(":")[0] for graph in graphs for node in graph.node), len(
        graphs
    )
