"""A network small enough to train in a test, with every part of an SK bottleneck."""

from functools import partial

from mindcv.models.factory import MODELS, register_variants
from mindcv.models.layers import SelectiveKernel
from mindcv.models.resnet import Bottleneck, ResNet

NAME = "tiny_sknet"
_BLOCK = {
    "block": Bottleneck,
    "groups": 4,
    "base_width": 16,
    "middle_conv": partial(SelectiveKernel, min_reduced_channels=8),
}


def register() -> None:
    """Make `create_model("tiny_sknet")` work in this process."""
    if NAME not in MODELS.names():
        register_variants(ResNet, {NAME: {**_BLOCK, "layers": (1, 1), "planes": (16, 32), "stem": "cifar"}})


def unregister() -> None:
    """Remove it again, so that tests over the whole registry see only the package's networks."""
    MODELS._entries.pop(NAME, None)
