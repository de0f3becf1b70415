"""Recomputing activations: less memory for more time (Chen et al. 2016, https://arxiv.org/abs/1604.06174)."""

import math

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from mindcv.internals import RECOMPUTE_OPTIONS
from mindcv.models.classifier import Classifier
from mindcv.models.layers import DropBlock, Dropout, DropPath


def recompute_blocks(network: nn.Cell) -> None:
    """Keep only the input of every residual block for the backward pass, which runs the block again.

    Losses and gradients are bit-identical to those without; running statistics agree up to rounding. Call it
    after freezing, and before the network, its optimizer and its training step are used. Blocks without
    trainable parameters keep nothing anyway and are left alone.

    MindSpore runs a recomputed batch norm twice, so its running statistics are updated twice by the same batch. Two
    updates with momentum sqrt(m) equal one with m: m r + (1 - m) b.

    Args:
        network: of `list_models()`.
    Raises:
        ValueError: if it is not, or has stochastic depth or DropBlock, whose masks would differ the second time.
    """
    if not isinstance(network, Classifier):
        raise ValueError(
            f"cannot recompute the blocks of {type(network).__name__}: it is not a network of list_models()."
        )
    blocks = [block for stage in network.stages for block in stage if block.trainable_params()]
    cells = [cell for block in blocks for _, cell in block.cells_and_names()]
    if any(isinstance(cell, DropBlock | Dropout | DropPath) for cell in cells):
        raise ValueError(
            "recompute does not go with drop_path_rate or drop_block_rate above 0: run again, a block would drop other "
            "activations. Leave one of the two out."
        )
    passes = _count_passes()
    for block in blocks:
        block.recompute(**RECOMPUTE_OPTIONS)
    for norm in cells:
        if isinstance(norm, nn.BatchNorm2d):
            # Both attributes are the weight of the new batch in MindSpore.
            share = 1 - (1 - norm.momentum) ** (1 / passes)
            norm.bn_train = ops.BatchNorm(True, norm.eps, share, norm.format)


def _count_passes() -> int:
    """How often this device and mode update the statistics of a recomputed batch norm: 2, unless MindSpore fixes it."""
    norm = nn.BatchNorm2d(1, momentum=0.5)
    block = nn.SequentialCell([norm, nn.ReLU()]).set_train(True)
    block.recompute(**RECOMPUTE_OPTIONS)
    gradient = ms.grad(block, 0, norm.trainable_params())(Tensor(np.array([0.0, 2.0], np.float32).reshape(1, 1, 1, 2)))
    gradient[0].asnumpy()
    away = 1 - float(norm.moving_mean.asnumpy()[0])  # from the batch's mean, halved by each update
    passes = round(-math.log2(away))
    assert passes >= 1 and abs(away - 0.5**passes) < 1e-6, f"a recomputed batch norm left its mean {away} from 1"
    return passes
