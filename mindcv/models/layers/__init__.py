"""Building blocks shared by the model families."""

from mindcv.models.layers.conv import ConvNormAct, batch_norm, conv2d
from mindcv.models.layers.drop import Dropout, DropPath
from mindcv.models.layers.pooling import global_average, max_pool
from mindcv.models.layers.selective_kernel import SelectiveKernel
from mindcv.models.layers.squeeze_excite import SqueezeExcite

__all__ = [
    "ConvNormAct",
    "DropPath",
    "Dropout",
    "SelectiveKernel",
    "SqueezeExcite",
    "batch_norm",
    "conv2d",
    "global_average",
    "max_pool",
]
