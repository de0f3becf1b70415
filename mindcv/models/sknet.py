"""Selective Kernel Networks: Li et al. 2019, https://arxiv.org/abs/1903.06586.

`sknet26/50/101` are the paper's (section 3.2, table 1): ResNeXt 32x4d with SK[M=2, G=32, r=16] for its 3x3
convolutions. `sknet29` is its CIFAR network (section 4.2): the same on ResNeXt-29 16x32d. The `skresnet*` names are
timm's, which splits the input channels over the branches where there are no groups; `skresnext50_32x4d` is the name
timm gives the paper's SKNet-50.
"""

from functools import partial

from mindcv.models.classifier import CIFAR
from mindcv.models.factory import register_variants
from mindcv.models.layers import SelectiveKernel
from mindcv.models.resnet import BasicBlock, Bottleneck, ResNet

_SKNET = {"block": Bottleneck, "middle_conv": SelectiveKernel, "groups": 32, "base_width": 4}
_SK_BASIC = {
    "block": BasicBlock,
    "first_conv": partial(SelectiveKernel, reduction=8, min_reduced_channels=16, split_input=True),
}
_SK_BOTTLENECK = {
    "block": Bottleneck,
    "middle_conv": partial(SelectiveKernel, min_reduced_channels=8, split_input=True),
}

register_variants(
    ResNet,
    {
        "sknet26": {**_SKNET, "layers": (2, 2, 2, 2)},
        "sknet50": {**_SKNET, "layers": (3, 4, 6, 3)},
        "sknet101": {**_SKNET, "layers": (3, 4, 23, 3)},
        "skresnet18": {**_SK_BASIC, "layers": (2, 2, 2, 2)},
        "skresnet34": {**_SK_BASIC, "layers": (3, 4, 6, 3)},
        "skresnet50": {**_SK_BOTTLENECK, "layers": (3, 4, 6, 3)},
        "skresnet50d": {**_SK_BOTTLENECK, "layers": (3, 4, 6, 3), "stem": "deep", "avg_down": True},
        "skresnext50_32x4d": {**_SKNET, "layers": (3, 4, 6, 3)},
    },
)

register_variants(
    ResNet,
    {"sknet29": {**_SKNET, "base_width": 16, "layers": (3, 3, 3), "planes": (64, 128, 256), "stem": "cifar"}},
    default_cfg=CIFAR,
)
