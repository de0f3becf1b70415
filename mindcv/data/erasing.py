"""Random erasing of rectangles. Source: Zhong et al. 2017, "Random Erasing Data Augmentation", algorithm 1."""

import math
from collections.abc import Sequence

import numpy as np

from mindcv.arguments import RE_PROB, RE_RATIO, RE_SCALE, RE_VALUE

ATTEMPTS = 10  # rectangles tried until one fits into the image; the paper tries for ever


class RandomErasing:
    """Overwrites one random rectangle in some images of a normalised batch.

    Args:
        probability: with which an image is touched.
        scale: range of the rectangle's area, as a part of the image's.
        ratio: range of its height / width, drawn uniformly in the logarithm.
        value: 0 writes zeros, which after normalisation is the mean colour; "random" draws every value from the
            standard normal distribution.

    Raises:
        ValueError: if an argument is outside these values.
    """

    def __init__(
        self,
        probability: float,
        scale: Sequence[float] = RE_SCALE.default,
        ratio: Sequence[float] = RE_RATIO.default,
        value: int | str = RE_VALUE.default,
    ) -> None:
        RE_PROB.check(probability)
        RE_SCALE.check(tuple(scale))
        RE_RATIO.check(tuple(ratio))
        RE_VALUE.check(value)
        self.probability, self.scale, self.ratio, self.value = probability, tuple(scale), tuple(ratio), value

    def __call__(
        self, images: np.ndarray, labels: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return a copy of `images` (B, C, H, W) float32 with rectangles erased, and the labels as they are.

        All chance comes from `rng`.
        """
        images = images.copy()
        _, channels, image_height, image_width = images.shape
        for image in images:
            if rng.random() >= self.probability:
                continue
            for _ in range(ATTEMPTS):
                area = image_height * image_width * rng.uniform(*self.scale)
                ratio = math.exp(rng.uniform(*np.log(self.ratio)))
                height, width = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
                if not (1 <= height <= image_height and 1 <= width <= image_width):
                    continue
                top = rng.integers(image_height - height + 1)
                left = rng.integers(image_width - width + 1)
                noise = self.value == "random"
                patch = rng.standard_normal((channels, height, width), np.float32) if noise else 0.0
                image[:, top : top + height, left : left + width] = patch
                break
        return images, labels
