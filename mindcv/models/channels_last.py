"""Networks with channels last: maps of (B, H, W, C) between one transpose of the images and the pooled features.

MindSpore has these kernels for a GPU only. There, cuDNN's fastest kernels want this layout, and transpose maps of
(B, C, H, W) before and after every convolution.
"""

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore.ops import AvgPool, BatchNorm, BiasAdd, Conv2D, MaxPool

from mindcv.models.classifier import Classifier
from mindcv.models.fold import FoldedNorm
from mindcv.models.inference import SigmoidSelect
from mindcv.models.layers import ConvNormAct, Dropout, DropPath, MapCell, SelectiveKernel
from mindcv.models.layers.selective_kernel import SKFuse
from mindcv.models.resnet import BasicBlock, Bottleneck
from mindcv.runtime import on_gpu

# Cells that compute the same whatever the layout, if the cells inside them have the right one.
_ANY_LAYOUT = (
    *(nn.CellList, nn.Dense, nn.Identity, nn.ReLU, nn.SequentialCell),
    *(BasicBlock, Bottleneck, ConvNormAct, Dropout, DropPath, FoldedNorm, SelectiveKernel, SigmoidSelect, SKFuse),
)


def use_channels_last(network: nn.Cell, *, keep_weights: bool = True) -> nn.Cell:
    """Have a network compute with channels last, in place: the same function up to rounding.

    It still takes images of (B, in_channels, H, W), gives feature maps of (B, C, H, W), and has the same Parameters
    with the same names and shapes: a weight is transposed where it is used, or only reshaped if it is that of a 1x1
    convolution or of one with a channel per group.

    Args:
        network: of `list_models()`, with textbook layers (`device_forms=False`), folded as it is to be, before
            `set_precision` and `recompute_blocks`; must not have run.
        keep_weights: False transposes the weights here and now, one operator less for each convolution. The network,
            with its final weights, must then not be saved, exported or trained.
    Returns:
        The network.
    Raises:
        ValueError: if this device is not a GPU, or a layer has no such form.
    """
    if not on_gpu():
        raise ValueError(
            "channels_last: MindSpore has kernels for this layout on a GPU only, and this device is another one. Leave "
            "it out; --channels_last=false resumes a run that had it."
        )
    if not isinstance(network, Classifier):
        raise ValueError(f"channels_last: {type(network).__name__} is not a network of list_models(). Leave it out.")
    if network.channel_axis == 3:
        return network
    cells = list(network.cells_and_names())
    for place, cell in cells:
        if not _has_form(cell, network):
            raise ValueError(
                f"channels_last: the layer {place} of this network, {type(cell).__name__}, has no form with channels "
                "last. Leave channels_last out."
            )
    for _, cell in cells:
        if isinstance(cell, MapCell):
            cell.put_channels_last()
        elif isinstance(cell, nn.Conv2d):
            cell.conv2d, cell.bias_add = _PlainWeight(cell) if keep_weights else _convolution(cell), BiasAdd("NHWC")
            if not keep_weights:
                weight = np.ascontiguousarray(cell.weight.asnumpy().transpose(0, 2, 3, 1))
                cell.weight = Parameter(Tensor(weight), name=cell.weight.name)
        elif isinstance(cell, nn.BatchNorm2d):
            cell.format = "NHWC"
            cell.bn_train = BatchNorm(True, cell.eps, cell.momentum, "NHWC")
            cell.bn_infer = BatchNorm(False, cell.eps, data_format="NHWC")
        elif isinstance(cell, nn.AvgPool2d):
            cell.avg_pool = AvgPool(cell.kernel_size, cell.stride, cell.pad_mode, "NHWC")
        elif isinstance(cell, nn.MaxPool2d) and not cell.use_pad:
            cell.max_pool = MaxPool(cell.kernel_size, cell.stride, cell.pad_mode, "NHWC")
    if isinstance(network.pool, nn.MaxPool2d) and network.pool.use_pad:
        network.pool = _PaddedMaxPool(network.pool)
    return network


def _has_form(cell: nn.Cell, network: Classifier) -> bool:
    if isinstance(cell, nn.AvgPool2d):
        return not cell.is_expand
    if isinstance(cell, nn.MaxPool2d) and cell.use_pad:
        rare = tuple(cell.max_pool.dilation) != (1, 1, 1) or cell.max_pool.ceil_mode or cell.return_indices
        return cell is network.pool and _ends_in_relu(network.stem) and not rare
    return isinstance(cell, MapCell) or type(cell) in (*_ANY_LAYOUT, nn.BatchNorm2d, nn.Conv2d, nn.MaxPool2d)


def _ends_in_relu(cell: nn.Cell) -> bool:
    inside = list(cell.cells())
    return _ends_in_relu(inside[-1]) if inside else isinstance(cell, nn.ReLU)


def _convolution(conv: nn.Conv2d) -> Conv2D:
    return Conv2D(
        conv.out_channels,
        conv.kernel_size,
        pad_mode=conv.pad_mode,
        pad=conv.padding,
        stride=conv.stride,
        dilation=conv.dilation,
        group=conv.group,
        data_format="NHWC",
    )


class _PlainWeight(nn.Cell):
    """`conv.conv2d` with channels last, and its usual weight.

    (B, H, W, C_in), (C_out, C_in / G, k, k) -> (B, H/s, W/s, C_out)
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = _convolution(conv)
        channels = conv.in_channels // conv.group
        self.shape = (conv.out_channels, *conv.kernel_size, channels)
        self.keeps_order = channels == 1 or conv.kernel_size == (1, 1)

    def construct(self, x: Tensor, weight: Tensor) -> Tensor:
        weight = ops.reshape(weight, self.shape) if self.keeps_order else ops.transpose(weight, (0, 2, 3, 1))
        return self.convolution(x, weight)


class _PaddedMaxPool(nn.Cell):
    """`pool`, a padded `nn.MaxPool2d`, of what a ReLU gives: (B, H, W, C) >= 0 -> (B, H', W', C).

    Zeros around such a map change no maximum; MindSpore pads this layout with nothing else.
    """

    def __init__(self, pool: nn.MaxPool2d) -> None:
        super().__init__()
        _, rows, columns = pool.padding
        self.pad = ops.Pad(((0, 0), (rows, rows), (columns, columns), (0, 0)))
        self.pool = MaxPool(pool.kernel_size, pool.stride, "valid", "NHWC")

    def construct(self, x: Tensor) -> Tensor:
        return self.pool(self.pad(x))
