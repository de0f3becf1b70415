"""Published weights: the catalog, downloads, readers and rename tables, all without MindSpore.

Loading them into a network is in `mindcv.weights.load`.
"""

from mindcv.weights.catalog import WeightRecord, find_weights, imagenet_classes, pretrained_models, weight_records
from mindcv.weights.download import fetch_weights
from mindcv.weights.from_mindcv import from_mindcv, mindcv_names, mindcv_variant
from mindcv.weights.from_timm import from_timm, timm_names
from mindcv.weights.safetensors_file import read_safetensors
from mindcv.weights.torch_file import read_torch_file

__all__ = [
    "WeightRecord",
    "fetch_weights",
    "find_weights",
    "from_mindcv",
    "from_timm",
    "imagenet_classes",
    "mindcv_names",
    "mindcv_variant",
    "pretrained_models",
    "read_safetensors",
    "read_torch_file",
    "timm_names",
    "weight_records",
]
