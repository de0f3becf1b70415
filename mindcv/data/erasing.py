"""Random erasing of rectangles. Source: Zhong et al. 2017, "Random Erasing Data Augmentation", algorithm 1."""

import math
from collections.abc import Sequence

import numpy as np

from mindcv.arguments import RE_COUNT, RE_MAX_ATTEMPTS, RE_PROB, RE_RATIO, RE_SCALE, RE_VALUE


class RandomErasing:
    """Overwrite random rectangles in some images of a normalised batch.

    Args:
        probability: of erasing, per image.
        scale: range of the erased area, as a fraction of the image's. Several rectangles share it: each one's area is
            divided by their number, as in timm.
        ratio: range of its height / width, drawn log-uniformly.
        value: 0 writes zeros, which is the mean colour after normalisation (timm's mode "const"); "random" draws every
            value from the standard normal distribution (as MindCV; timm's "pixel"); "rand" draws one value per
            rectangle and channel (timm's "rand").
        count: rectangles in an image: (n,) draws from 1 to n, (m, n) from m to n.
        max_attempts: rectangles tried until one fits into the image; the paper retries without limit.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        probability: float,
        scale: Sequence[float] = RE_SCALE.default,
        ratio: Sequence[float] = RE_RATIO.default,
        value: int | str = RE_VALUE.default,
        count: Sequence[int] = RE_COUNT.default,
        max_attempts: int = RE_MAX_ATTEMPTS.default,
    ) -> None:
        RE_PROB.check(probability)
        RE_SCALE.check(tuple(scale))
        RE_RATIO.check(tuple(ratio))
        RE_VALUE.check(value)
        RE_COUNT.check(tuple(count))
        RE_MAX_ATTEMPTS.check(max_attempts)
        self.probability, self.value, self.max_attempts = probability, value, max_attempts
        self.scale, self.ratio = (scale[0], scale[1]), (ratio[0], ratio[1])
        self.count = (1, *count)[-2:]

    def __call__(
        self, images: np.ndarray, labels: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return a copy of `images` (B, C, H, W) float32 with rectangles erased, and the labels unchanged."""
        images = images.copy()
        fewest, most = self.count
        for image in images:
            if rng.random() >= self.probability:
                continue
            count = int(rng.integers(fewest, most, endpoint=True)) if fewest < most else most
            for _ in range(count):
                self._erase(image, self.scale[0] / count, self.scale[1] / count, rng)
        return images, labels

    def _erase(self, image: np.ndarray, least: float, largest: float, rng: np.random.Generator) -> None:
        """Overwrite one rectangle, if one of the attempts fits; its share of the area is from `least` to `largest`."""
        channels, image_height, image_width = image.shape
        for _ in range(self.max_attempts):
            area = image_height * image_width * rng.uniform(least, largest)
            ratio = math.exp(rng.uniform(*np.log(self.ratio)))
            height, width = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if not (1 <= height <= image_height and 1 <= width <= image_width):
                continue
            top = rng.integers(image_height - height + 1)
            left = rng.integers(image_width - width + 1)
            image[:, top : top + height, left : left + width] = self._fill(channels, height, width, rng)
            return

    def _fill(self, channels: int, height: int, width: int, rng: np.random.Generator) -> np.ndarray | float:
        if self.value == 0:
            return 0.0
        size = (channels, height, width) if self.value == "random" else (channels, 1, 1)
        return rng.standard_normal(size, np.float32)
