"""Networks rewritten for evaluation: the same function in less time."""

import numpy as np
from mindspore import Tensor, nn, ops

from mindcv.models.cpu import ArgmaxPool
from mindcv.models.fold import fold_batch_norm
from mindcv.models.layers import conv2d
from mindcv.models.layers.selective_kernel import SKSelect
from mindcv.models.replace import replace_cells


class EdgePaddedMaxPool(nn.Cell):
    """Max pooling with one pixel of padding: (B, C, H, W) -> (B, C, H', W'), as `nn.MaxPool2d(..., padding=1)`.

    Repeats the edge pixels, which changes no maximum: every window over the edge contains them. MindSpore's own padded
    pooling (MaxPool3DWithArgmax) takes seven times as long on a CPU, does not exist in ONNX, and loses its output shape
    if the batch size is open. The gradient of this one is slower, so it is not for training.
    """

    def __init__(self, kernel_size: int, stride: int) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(kernel_size, stride, pad_mode="valid")

    def construct(self, x: Tensor) -> Tensor:
        x = ops.cat((x[:, :, :1], x, x[:, :, -1:]), 2)
        x = ops.cat((x[:, :, :, :1], x, x[:, :, :, -1:]), 3)
        return self.pool(x)


class SigmoidSelect(nn.Cell):
    """`select`, an SKSelect of two branches, in four operators instead of eight.

    A softmax over two is the sigmoid of the difference of its logits, and that is one convolution, with the difference
    of their weights. Selecting is then an interpolation.
    """

    def __init__(self, select: SKSelect) -> None:
        super().__init__()
        weight = select.conv.weight.asnumpy().astype(np.float64)
        difference = (weight[: select.channels] - weight[select.channels :]).astype(np.float32)
        self.conv = conv2d(weight.shape[1], select.channels, 1)
        self.conv.weight.set_data(Tensor(difference))

    def construct(self, features: tuple[Tensor, ...], descriptor: Tensor) -> Tensor:
        weight = ops.sigmoid(self.conv(descriptor)).astype(features[0].dtype)
        return ops.lerp(features[1], features[0], weight)


def prepare_for_inference(network: nn.Cell, *, fold_bn: bool = True) -> nn.Cell:
    """Make a network with its final weights faster in evaluation, in place.

    Args:
        network: must not have run: a compiled graph ignores the change.
        fold_bn: fold batch norms, and the textbook selection between two branches, into convolutions, which changes the
            logits by rounding (about 1e-6 of the largest); without it they stay the same to the last bit.
    Returns:
        The network.
    """
    if fold_bn:
        fold_batch_norm(network)
        replace_cells(network, lambda cell: SigmoidSelect(cell) if _has_two_branches(cell) else None)
    replace_cells(network, lambda cell: inference_pool(cell) if isinstance(cell, ArgmaxPool) else None)
    return network


def _has_two_branches(cell: nn.Cell) -> bool:
    return type(cell) is SKSelect and cell.branches == 2


def inference_pool(pool: nn.MaxPool2d) -> nn.Cell | None:
    """The inference form of a padded max pooling, faster and exportable; None if there is none.

    It exists for "same" padding, and for padding 1 without dilation and ceil_mode.
    """
    if not pool.use_pad:
        return nn.MaxPool2d(pool.kernel_size, pool.stride, pad_mode=pool.pad_mode.lower())
    rare = tuple(pool.max_pool.dilation) != (1, 1, 1) or pool.max_pool.ceil_mode or pool.return_indices
    return None if rare or pool.padding != (0, 1, 1) else EdgePaddedMaxPool(pool.kernel_size, pool.stride)
