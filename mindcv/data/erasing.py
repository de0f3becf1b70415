"""Random erasing of rectangles. Source: Zhong et al. 2017, "Random Erasing Data Augmentation", algorithm 1."""

import math
from collections.abc import Sequence

import numpy as np

from mindcv.arguments import RE_PROB, RE_RATIO, RE_SCALE, RE_VALUE

ATTEMPTS = 10  # rectangles tried until one fits into the image; the paper retries without limit


class RandomErasing:
    """Overwrite one random rectangle in some images of a normalised batch.

    Args:
        probability: of erasing, per image.
        scale: range of the rectangle's area, as a fraction of the image's.
        ratio: range of its height / width, drawn log-uniformly.
        value: 0 writes zeros, which is the mean colour after normalisation; "random" draws every value from the
            standard normal distribution.

    Raises:
        ValueError: if an argument is out of range.
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
        self.probability, self.value = probability, value
        self.scale, self.ratio = (scale[0], scale[1]), (ratio[0], ratio[1])

    def __call__(
        self, images: np.ndarray, labels: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return a copy of `images` (B, C, H, W) float32 with rectangles erased, and the labels unchanged."""
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
