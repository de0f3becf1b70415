"""Counting the multiply-adds of a network by running it."""

import numpy as np
from mindspore import Tensor, nn


def multiply_adds(network: nn.Cell, side: int, in_channels: int = 3) -> int:
    """Products of the convolutions and dense layers in one forward pass of a (1, in_channels, side, side) image.

    Counted from the actual input shape of each layer, by hooks that only Pynative mode calls. The network ends in
    evaluation mode.
    """
    total = 0

    def count(cell: nn.Cell, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        weight = cell.weight.shape  # (C_out, C_in / groups, k, k) or (out, in)
        total += output.size // output.shape[1] * int(np.prod(weight))

    counted = [cell for _, cell in network.cells_and_names() if isinstance(cell, nn.Conv2d | nn.Dense)]
    hooks = [cell.register_forward_hook(count) for cell in counted]
    network.set_train(False)
    network(Tensor(np.zeros((1, in_channels, side, side), np.float32))).asnumpy()
    for hook in hooks:
        hook.remove()
    return total
