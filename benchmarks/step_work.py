"""The minimum work of a training step: floating point operations, and bytes moved.

- Operations: the multiply-adds of tools/model_table.py, twice for product and sum, three times for the forward
  pass and the gradients of inputs and weights, for each image. Left out are batch norms and the like, the zeros that
  `SpatialConv2d` multiplies with on tiny maps, and the update.
- Bytes: of the float32 numbers that operators read and write, each number once for each operator: convolutions, dense
  layers, batch norms, ReLU, pooling, fuse and select of selective kernels, residual additions and the update. Anything
  that can be fused into one of these is free. This is the minimum if nothing stays in a cache from one operator to the
  next; large maps do not, small ones do.
"""

import sys
from collections.abc import Callable
from typing import Any

from harness import ROOT


def count(model: str, side: int, num_classes: int = 10, **arch: Any) -> dict[str, int]:
    """The arguments of `work`; in Pynative mode.

    Returns:
        multiply_adds: forward, of one image.
        maps: numbers that one image moves, forward and backward; see `count_maps`.
        parameters: numbers that are trained.
    """
    sys.path.append(str(ROOT / "tools"))
    import mindcv
    from model_table import multiply_adds

    network = mindcv.create_model(model, num_classes=num_classes, **arch)
    parameters = sum(parameter.size for parameter in network.trainable_params())
    return {
        "multiply_adds": multiply_adds(network, side),
        "maps": count_maps(network, side),
        "parameters": parameters,
    }


def count_maps(network: Any, side: int) -> int:
    """Numbers, activations and their gradients, that one (3, side, side) image moves in and out of operators.

    Forward, an operator reads its inputs and writes its output. Backward it reads the gradient of the output, writes
    those of the inputs and reads again what it needs: a convolution or dense layer the inputs and, as the gradients of
    inputs and weight are two operators, once more the gradient; batch norm, ReLU, pooling, fuse and select (each as if
    it were one operator) the smaller of inputs and output. A residual block adds two maps forward, and two gradients
    backward.
    """
    import numpy as np
    from mindspore import Tensor, nn

    from mindcv.models.layers.selective_kernel import SKFuse, SKSelect
    from mindcv.models.resnet import BasicBlock, Bottleneck

    thrice = (nn.Conv2d, nn.Dense, BasicBlock, Bottleneck)
    twice = (nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d, nn.AvgPool2d, SKFuse, SKSelect)
    total = 0

    def add(cell: nn.Cell, inputs: Any, output: Any) -> None:
        nonlocal total
        read, written = _numbers(inputs), _numbers(output)
        total += 3 * (read + written) if isinstance(cell, thrice) else 2 * (read + written) + min(read, written)

    handles = [
        cell.register_forward_hook(add) for _, cell in network.cells_and_names() if isinstance(cell, thrice + twice)
    ]
    network.set_train(False)
    network(Tensor(np.zeros((1, 3, side, side), np.float32))).asnumpy()
    for handle in handles:
        handle.remove()
    return total


def _numbers(tensors: Any) -> int:
    return sum(map(_numbers, tensors)) if isinstance(tensors, tuple | list) else tensors.size


def work(multiply_adds: int, maps: int, parameters: int, *, batch: int) -> tuple[float, float]:
    """Floating point operations and least bytes of a step.

    A weight is read forward and backward, and its gradient written; momentum reads weight, gradient and velocity, and
    writes two of them.
    """
    return 6.0 * multiply_adds * batch, 4.0 * (maps * batch + (3 + 5) * parameters)


def make_count(points: list[dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    """A worker's step that counts for all the points."""
    sys.path.insert(0, str(ROOT))
    import mindcv  # first: it sets what MindSpore reads

    mindcv.setup_runtime(mode=1, device_target="CPU")
    return lambda: {"counts": [count(**point) for point in points]}
