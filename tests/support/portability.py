"""Which primitives a Cell compiles to, and on which devices MindSpore documents them: portability without the devices.

On a CPU alone this shows that a network should compile elsewhere: every primitive of its compiled graph, backward and
optimizer included, must be documented for Ascend, GPU and CPU.
"""

import re

import mindspore as ms
from mindspore import mint, nn, ops
from mindspore.ops import auto_generate, operations
from mindspore.ops.operations import _grad_ops, _inner_ops
from mindspore.train import anf_ir_pb2

ALL_PLATFORMS = frozenset({"Ascend", "GPU", "CPU"})

# Nodes by which a graph passes values and orders side effects; they are not kernels, or exist on every device.
INFRASTRUCTURE = frozenset({"Depend", "Load", "MakeTuple", "Return", "TensorMove", "TupleGetItem", "UpdateState"})

# Primitives without their own line -> the documented one they belong to. A gradient is assumed to be as portable as its
# forward operator.
_DOCUMENTED_AS = {
    "AvgPoolGrad": "AvgPool",
    "BatchNormGrad": "BatchNorm",
    "BiasAddGrad": "BiasAdd",
    "Conv2DBackpropFilter": "Conv2D",
    "Conv2DBackpropInput": "Conv2D",  # its own line says "Deprecated": for users, not for the gradient of Conv2D
    "Divs": "Div",  # in the gradient of Maximum
    "EqScalar": "Equal",  # what `tensor == number` becomes
    "LogSoftmaxGrad": "LogSoftmax",
    "MaxPool3DGradWithArgmax": "MaxPool3DWithArgmax",
    "Muls": "Mul",  # what `tensor * number` becomes
    "ReluGrad": "ReLU",
    "SigmoidGrad": "Sigmoid",
    "SoftmaxBackward": "Softmax",
    "SoftplusGrad": "Softplus",
    "StridedSliceGrad": "StridedSlice",
    "SubScalar": "Sub",  # in the gradient of Pow
}

_HOMES = (operations, auto_generate, _inner_ops, _grad_ops)


class _Gradient(nn.Cell):
    """Output and gradient with respect to the trainable parameters, or to the first input if there are none."""

    def __init__(self, network: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        params = network.trainable_params()
        self.value_and_grad = ms.value_and_grad(network, None if params else 0, params or None)

    def construct(self, *inputs):
        return self.value_and_grad(*inputs)


def graph_primitives(cell: nn.Cell, *inputs: ms.Tensor, grad: bool = False) -> set[str]:
    """Names of the primitives in the optimized graph of a Cell, without infrastructure.

    Compiles in Graph mode, without running. The caller sets training mode (BatchNorm).

    Args:
        cell: not compiled before.
        inputs: example inputs of its `construct`.
        grad: include the gradient with respect to its trainable parameters (to its first input if it has none).

    Raises:
        ValueError: if the graph calls other graphs (`if` or `while` on a tensor): MindSpore's export of the graph has
            only the call, so the primitives inside would be missed.
    """
    ms.set_context(mode=ms.GRAPH_MODE)
    whole = _Gradient(cell) if grad else cell
    whole.set_train(cell.training)
    whole.compile(*inputs)
    model = anf_ir_pb2.ModelProto()
    model.ParseFromString(whole.get_func_graph_proto())
    names = {node.op_type for node in model.graph.node}
    if names & {"", "Partial", "Switch"}:
        raise ValueError(f"{type(cell).__name__} has control flow on tensors, whose branches cannot be inspected.")
    return names - INFRASTRUCTURE


def documented_as(primitive: str) -> str:
    """The primitive whose documentation also holds for this one."""
    return _DOCUMENTED_AS.get(primitive, primitive)


def supported_platforms(primitive: str) -> set[str]:
    """The devices in the `Supported Platforms:` line of a primitive's documentation, or of the function it refers to.

    Raises:
        LookupError: if there is no such primitive or no such line; then `_DOCUMENTED_AS` needs an entry.
    """
    name = documented_as(primitive)
    for home in _HOMES:
        text = getattr(getattr(home, name, None), "__doc__", None) or ""
        reference = re.search(r"Refer to :func:`mindspore\.(?:ops|mint)\.(\w+)`", text)
        function = reference and next(
            (getattr(m, reference[1]) for m in (ops, auto_generate, mint) if hasattr(m, reference[1])), None
        )
        for documentation in (text, getattr(function, "__doc__", None) or ""):
            line = re.search(r"Supported Platforms:\s*\n\s*(.*)", documentation)
            platforms = set(re.findall("Ascend|GPU|CPU", line[1])) if line else set()
            if platforms:
                return platforms
    raise LookupError(f"no documented platforms for the primitive {primitive!r}.")


def not_portable(primitives: set[str]) -> dict[str, set[str]]:
    """The primitives that some device lacks, with the devices that have them."""
    platforms = {name: supported_platforms(name) for name in sorted(primitives)}
    return {name: found for name, found in platforms.items() if found < ALL_PLATFORMS}
