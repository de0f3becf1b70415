"""Batch norms folded into the convolutions before them, for inference.

A batch norm in evaluation is an affine map of each channel, and so is the bias of a convolution:
gamma * (W x - mean) / sqrt(variance + eps) + beta = (s W) x + (beta - s mean), with s = gamma / sqrt(variance + eps).
"""

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn


class FoldedNorm(nn.Cell):
    """Replaces a folded batch norm: the identity, or ValueError in training."""

    def construct(self, x: Tensor) -> Tensor:
        if self.training:
            raise ValueError("the batch norms of this network are folded into its convolutions: it cannot be trained.")
        return x


def fold_batch_norm(network: nn.Cell) -> int:
    """Fold every batch norm that follows a convolution into it, in place.

    Any cell whose `bn` normalises the output of its `conv` is folded; other batch norms stay. The arithmetic is in
    float64. In evaluation the network computes the same logits as before, up to rounding; in training it raises
    ValueError.

    Args:
        network: with its final weights; must not have run: a compiled graph ignores the change.
    Returns:
        The number of batch norms folded.
    Raises:
        ValueError: if the network has run in Graph mode.
    """
    cells = [cell for _, cell in network.cells_and_names()]
    if any(cell.compile_cache for cell in cells):
        raise ValueError("this network has been compiled, so folding would have no effect: fold a newly built one.")
    pairs = [cell for cell in cells if isinstance(getattr(cell, "bn", None), nn.BatchNorm2d)]
    pairs = [cell for cell in pairs if isinstance(getattr(cell, "conv", None), nn.Conv2d)]
    for cell in pairs:
        _fold(cell.conv, cell.bn)
        cell.bn = FoldedNorm()
    return len(pairs)


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    weight, gamma, beta, mean, variance = (
        parameter.asnumpy().astype(np.float64)
        for parameter in (conv.weight, norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance)
    )
    bias = conv.bias.asnumpy().astype(np.float64) if conv.has_bias else 0.0
    scale = gamma / np.sqrt(variance + norm.eps)
    conv.weight.set_data(Tensor((weight * scale.reshape(-1, 1, 1, 1)).astype(np.float32)))
    name = conv.weight.name.removesuffix("weight") + "bias"
    conv.bias = ms.Parameter(Tensor((beta + (bias - mean) * scale).astype(np.float32)), name=name)
    conv.has_bias = True
