"""Weights, images and labels of the goldens: NumPy only, a function of timm's parameter names, so that the peer's
environment and the tests compute the same ones without storing any.
"""

import math
import re
import zlib
from pathlib import Path

import numpy as np

GOLDENS = Path(__file__).parent / "goldens.npz"

NUM_CLASSES = 10
BATCH = 4
# Odd sizes if more than one kind of layer halves the maps, so that wrong padding or rounding shows.
ODD_SIZED = ("skresnet18", "skresnet50d", "resnet18", "shufflenet_v2_x0_5", "shufflenet_v2_x1_0")
# Gradients and running statistics are kept of these parameters only: the stem, one block with a projection, one
# without, and the classifier.
_KEPT = re.compile(r"(conv1|bn1|layer1\.0|layer3\.1|fc)\.")
_KEPT_OF_SHALLOW = re.compile(r"(conv1|bn1|layer1\.0|layer2\.1|fc)\.")
# Norms at the end of a residual branch (and, as names go, some in its middle): smaller, or deep networks diverge.
_BRANCH_SIZES = {"2": 0.5, "3": 0.25}
_BRANCH_END = re.compile(r"layer\d+\.\d+\.(?:bn|conv(?=[23]\.bn))([23])\.")


def image_size(model: str) -> tuple[int, int]:
    return (63, 65) if model.removeprefix("shallow ") in ODD_SIZED else (64, 64)


def _rng(text: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(text.encode()))


def weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The float32 value of the parameter or statistic that timm calls `name`; activations stay of order 1."""
    rng = _rng(name)
    branch_end = _BRANCH_END.match(name)
    size = _BRANCH_SIZES[branch_end[1]] if branch_end else 1.0
    if name.endswith("running_var"):
        values = rng.uniform(0.5, 1.5, shape)
    elif name.endswith("running_mean"):
        values = 0.1 * rng.standard_normal(shape)
    elif name.endswith("bias"):
        # Two to three standard deviations to either side: float32 and float64 must not disagree on which side of a
        # ReLU's kink a value lies, because every such value changes all gradients by up to a per cent.
        values = rng.choice([-1.0, 1.0], shape) * rng.uniform(2.0, 3.0, shape) * size
    elif len(shape) == 1:
        values = rng.uniform(0.9, 1.1, shape) * size
    else:
        values = rng.standard_normal(shape) * math.sqrt(2.0 / math.prod(shape[1:]))
    return values.astype(np.float32)


def direction(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A random direction (float64) on which a gradient or statistic is projected to one number."""
    return _rng(f"direction of {name}").standard_normal(shape)


def images(model: str) -> np.ndarray:
    """Noise (BATCH, 3, H, W) float32 whose contrast and colour differ between examples.

    Without that all examples have nearly the same channel averages, and the batch norm of the selective kernels'
    descriptor, over BATCH values, would magnify rounding errors.
    """
    rng = _rng("images")
    contrast = np.linspace(0.5, 2.0, BATCH)[:, None, None, None]
    colour = rng.uniform(-1.5, 1.5, (BATCH, 3, 1, 1))
    return (contrast * rng.standard_normal((BATCH, 3, *image_size(model))) + colour).astype(np.float32)


def labels() -> np.ndarray:
    return np.array([3, 1, 4, 1], np.int32)


def norm_and_projection(name: str, values: np.ndarray) -> tuple[float, float]:
    """The Euclidean norm of an array, and its product with `direction`, which is of that size too."""
    values = values.astype(np.float64).reshape(-1)
    return float(np.linalg.norm(values)), float(values @ direction(name, values.shape))


def mean_and_std(feature: np.ndarray) -> tuple[float, float]:
    return float(feature.mean(dtype=np.float64)), float(feature.std(dtype=np.float64))


# The networks that timm also has: each has goldens, and timm's weights are in the catalog.
TIMM_MODELS = [
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x4d",
    "seresnet50",
    "seresnext50_32x4d",
    "seresnext101_32x4d",
    "skresnet18",
    "skresnet34",
    "skresnet50",
    "skresnet50d",
    "skresnext50_32x4d",
]
# Networks built from timm's blocks, with their numbers of blocks: goldens only.
OF_TIMMS_BLOCKS = {"sknet26": (2, 2, 2, 2), "sknet101": (3, 4, 23, 3)}
# One network of each kind of block, stem and shortcut, at a depth that contains all its layers: goldens under
# `shallow(name)`. The others repeat these blocks.
KINDS = [
    "resnet18",
    "resnet50",
    "resnext50_32x4d",
    "seresnet50",
    "seresnext50_32x4d",
    "skresnet18",
    "skresnet50",
    "skresnet50d",
    "skresnext50_32x4d",
]
SHALLOW = (2, 2, 1, 1)
# Networks that timm has under another name, which is in TIMM_MODELS.
SAME_AS = {"sknet50": "skresnext50_32x4d"}


def is_kept(model: str, parameter: str) -> bool:
    """Whether the goldens hold the gradient or statistic that timm calls `parameter`."""
    return bool((_KEPT_OF_SHALLOW if model.startswith("shallow ") else _KEPT).match(parameter))


def shallow(name: str) -> str:
    """The name in the goldens of the network of this kind with SHALLOW numbers of blocks."""
    return f"shallow {name}"


# Every network that can be compared with timm's.
COMPARED_WITH_TIMM = {*TIMM_MODELS, *OF_TIMMS_BLOCKS, *SAME_AS}

# torchvision's ShuffleNetV2: channels, and numbers of units; the shallow one contains every kind of layer.
_X0_5 = (24, 48, 96, 192, 1024)
SHUFFLENETS = {
    "shufflenet_v2_x0_5": (_X0_5, (4, 8, 4)),
    "shufflenet_v2_x1_0": ((24, 116, 232, 464, 1024), (4, 8, 4)),
    shallow("shufflenet_v2_x0_5"): (_X0_5, (2, 1, 2)),
}
# Shifts that only another norm follows, which takes them out again: their gradient is rounding.
WITHOUT_GRADIENT = re.compile(r".*(branch1\.1|branch2\.4)\.bias")

# The networks that MindCV also has.
MINDCV_MODELS = [
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x4d",
    "seresnet50",
    "seresnext50_32x4d",
    "seresnext101_32x4d",
    "skresnet18",
    "skresnet34",
    "skresnet50",
    "skresnext50_32x4d",
]
# Sizes whose stem gives an even height and an odd width, which its pooling pads differently.
MINDCV_IMAGE_SIZE = (64, 70)
_SUFFIXES = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def mindcv_weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The value of the parameter or statistic that MindCV calls `name`, by the same rules as `weight`."""
    name = re.sub(r"\w+$", lambda suffix: _SUFFIXES.get(suffix[0], suffix[0]), name)
    return weight(re.sub(r"\.conv(\d)\.1\.", r".bn\1.", name), shape)


def mindcv_images() -> np.ndarray:
    """Noise (2, 3, H, W) float32 with a colour of its own for each example."""
    rng = _rng("images for MindCV")
    return (rng.standard_normal((2, 3, *MINDCV_IMAGE_SIZE)) + rng.uniform(-1, 1, (2, 3, 1, 1))).astype(np.float32)
