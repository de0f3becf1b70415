"""Mixup and CutMix: each image of a batch is combined with another one, and its label with the other's label.

Sources: Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization", section 2; Yun et al. 2019, "CutMix:
Regularization Strategy to Train Strong Classifiers with Localizable Features", section 3.1 and algorithm A1. What the
papers leave open, such as the partner of an image, is as in timm, which MindCV follows.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mindcv.arguments import CUTMIX, CUTMIX_MINMAX, CUTMIX_PROB, MIXUP, MIXUP_MODE, MIXUP_SWITCH_PROB


class Mix(NamedTuple):
    """How an image is combined with its partner.

    Attributes:
        share: of the image itself, and of its label, from 0 to 1.
        box: CutMix: rows and columns that are the partner's; None: all pixels are blended (mixup).
    """

    share: float
    box: tuple[slice, slice] | None = None


UNMIXED = Mix(1.0)


class SoftLabels:
    """Class indices as probabilities, so that labels have one shape and dtype whether or not a batch is mixed.

    Args:
        num_classes: K.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes

    def __call__(
        self, images: np.ndarray, labels: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the images, and (B, K) float32 for labels (B,) int32 or (B, K)."""
        if labels.ndim == 2:
            return images, labels.astype(np.float32)
        soft = np.zeros((len(labels), self.num_classes), np.float32)
        soft[np.arange(len(labels)), labels] = 1
        return images, soft


class Mixing:
    """Combine image i of B with image B - 1 - i: by mixup, x = share * x_i + (1 - share) * x_j, or by CutMix, which
    puts a rectangle of x_j into x_i. Labels are combined by the same share.

    The middle image of an odd batch is its own partner and stays as it is.

    Args:
        mixup: alpha; the share is drawn from Beta(alpha, alpha). 0: no mixup.
        cutmix: alpha; the remaining area is drawn from Beta(alpha, alpha). As the box may reach over the border, the
            share is then counted in pixels. 0: no CutMix.
        cutmix_minmax: range of the box's height and of its width, as fractions of the image's; boxes are then drawn
            uniformly, inside the image, whatever `cutmix` is. None: by `cutmix`.
        probability: of mixing.
        switch_probability: of CutMix where both are on.
        mode: what shares a random draw: "batch", "pair" (both images of a pair) or "elem" (each image has its own).
        splits: views of each example in a batch, which are mixed in the same way; see `Loader`.

    Raises:
        ValueError: if an argument is out of range, or neither mixup nor CutMix is on.
    """

    def __init__(
        self,
        mixup: float = MIXUP.default,
        cutmix: float = CUTMIX.default,
        cutmix_minmax: Sequence[float] | None = CUTMIX_MINMAX.default,
        *,
        probability: float = CUTMIX_PROB.default,
        switch_probability: float = MIXUP_SWITCH_PROB.default,
        mode: str = MIXUP_MODE.default,
        splits: int = 1,
    ) -> None:
        MIXUP.check(mixup)
        CUTMIX.check(cutmix)
        CUTMIX_MINMAX.check(cutmix_minmax)
        CUTMIX_PROB.check(probability)
        MIXUP_SWITCH_PROB.check(switch_probability)
        MIXUP_MODE.check(mode)
        has_cutmix = cutmix > 0 or cutmix_minmax is not None
        if not (mixup or has_cutmix):
            raise ValueError("nothing to mix by: mixup or cutmix must be above 0, or cutmix_minmax be given.")
        self.mixup, self.cutmix, self.minmax = mixup, cutmix, cutmix_minmax
        self.probability, self.mode, self.splits = probability, mode, splits
        self.cutmix_share = (switch_probability if mixup else 1.0) if has_cutmix else 0.0

    def __call__(
        self, images: np.ndarray, labels: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return mixed copies of (B, C, H, W) float32 images and (B, K) float32 labels."""
        count = len(images) // self.splits
        mixes = self._draw(count, images.shape[2], images.shape[3], rng) * self.splits
        partners = np.arange(len(images)).reshape(self.splits, count)[:, ::-1].reshape(-1)
        mixed = images.copy()
        for image, partner, mix in zip(mixed, partners, mixes, strict=True):
            if mix.box is not None:
                rows, columns = mix.box
                image[:, rows, columns] = images[partner, :, rows, columns]
            elif mix.share < 1:
                image *= mix.share
                image += (1 - mix.share) * images[partner]
        shares = np.array([mix.share for mix in mixes], np.float32)[:, np.newaxis]
        return mixed, shares * labels + (1 - shares) * labels[partners]

    def _draw(self, count: int, height: int, width: int, rng: np.random.Generator) -> list[Mix]:
        """Draw how each of `count` images is mixed."""
        if self.mode == "batch":
            return [self._draw_one(height, width, rng)] * count
        if self.mode == "elem":
            return [self._draw_one(height, width, rng) for _ in range(count)]
        pairs = [self._draw_one(height, width, rng) for _ in range(count // 2)]
        return [*pairs, *[UNMIXED] * (count % 2), *reversed(pairs)]

    def _draw_one(self, height: int, width: int, rng: np.random.Generator) -> Mix:
        if rng.random() >= self.probability:
            return UNMIXED
        if rng.random() >= self.cutmix_share:
            return Mix(float(rng.beta(self.mixup, self.mixup)))
        rows, columns = self._draw_box(height, width, rng)
        area = (rows.stop - rows.start) * (columns.stop - columns.start)
        return Mix(1 - area / (height * width), (rows, columns))

    def _draw_box(self, height: int, width: int, rng: np.random.Generator) -> tuple[slice, slice]:
        if self.minmax is not None:
            return _inside(height, self.minmax, rng), _inside(width, self.minmax, rng)
        side = math.sqrt(1 - rng.beta(self.cutmix, self.cutmix))
        return _around_a_point(height, side, rng), _around_a_point(width, side, rng)


def _inside(size: int, minmax: Sequence[float], rng: np.random.Generator) -> slice:
    """Draw an interval of 0..size whose length is in a range of fractions of `size`."""
    length = int(rng.integers(int(size * minmax[0]), int(size * minmax[1]), endpoint=True))
    start = int(rng.integers(size - length, endpoint=True))
    return slice(start, start + length)


def _around_a_point(size: int, fraction: float, rng: np.random.Generator) -> slice:
    """Draw an interval around a uniform point of 0..size, cut off at both ends."""
    half, centre = int(size * fraction) // 2, int(rng.integers(size))
    return slice(max(centre - half, 0), min(centre + half, size))
