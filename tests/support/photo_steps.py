"""A network with batch norm that trains in moments, and batches for it: good ones, and ones with a bad pixel."""

import numpy as np
from mindspore import Tensor, nn

from mindcv.models.layers import ConvNormAct, DropPath

_RNG = np.random.default_rng(3)
_PHOTOS = _RNG.standard_normal((8, 4, 3, 5, 5)).astype(np.float32)  # 8 batches of 4
_CLASSES = _RNG.integers(0, 3, (8, 4)).astype(np.int32)
GOOD = [(Tensor(x), Tensor(y)) for x, y in zip(_PHOTOS, _CLASSES, strict=True)]


def with_pixel(value: float) -> tuple[Tensor, Tensor]:
    """The first batch with another value of one pixel."""
    photos = _PHOTOS[0].copy()
    photos[2, 1, 3, 0] = value
    return Tensor(photos), Tensor(_CLASSES[0])


class Small(nn.Cell):
    """Two convolutions with batch norm, one of them dropped at times, and a classifier."""

    def __init__(self, drop_path: float = 0.3) -> None:
        super().__init__()
        self.first, self.second = ConvNormAct(3, 8, 3), ConvNormAct(8, 8, 3)
        self.drop_path = DropPath(drop_path, seed=0)
        self.classifier = nn.Dense(8, 3)

    def depth_groups(self):
        names = [parameter.name for parameter in self.trainable_params()]
        return [[name for name in names if name.startswith(part)] for part in ("first", "second", "classifier")]

    def construct(self, x):
        x = self.first(x)
        return self.classifier((x + self.drop_path(self.second(x))).mean((2, 3)))
