"""Building blocks shared by the model families."""

from mindcv.models.layers.conv import ConvNormAct, batch_norm, conv2d
from mindcv.models.layers.drop import DropBlock, Dropout, DropPath
from mindcv.models.layers.layout import MapCell
from mindcv.models.layers.pooling import GlobalAverage
from mindcv.models.layers.selective_kernel import SelectiveKernel
from mindcv.models.layers.squeeze_excite import SqueezeExcite

__all__ = [
    "ConvNormAct",
    "DropBlock",
    "DropPath",
    "Dropout",
    "GlobalAverage",
    "MapCell",
    "SelectiveKernel",
    "SqueezeExcite",
    "batch_norm",
    "conv2d",
]
