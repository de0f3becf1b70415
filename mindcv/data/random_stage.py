"""Random operations on one image whose random numbers depend on the example's place alone, in Python on Pillow images.

MindData's C++ operations share a random sequence among all images that a thread happens to take, and apply one
strength to all images. These here give the same result for any number of threads and after any resume.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter
from PIL.Image import Resampling

ImageOperation = Callable[[Image.Image, np.random.Generator], Image.Image]

_BLUR_RADII = (0.1, 2.0)  # torchvision's and SimCLR's range of the standard deviation, in pixels
_ATTEMPTS = 10  # rectangles tried until one fits into the image, as in torchvision


class RandomStage:
    """Consecutive random operations on one image.

    Args:
        operations: (Pillow image, random generator) -> Pillow image of the same mode.
        of_views: whether several views of one example differ by these operations; otherwise they have them in common.
    """

    def __init__(self, operations: Sequence[ImageOperation], *, of_views: bool) -> None:
        self.operations, self.of_views = list(operations), of_views

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return an image (H, W, C) uint8 out of one with the same number of channels C, 3 or 1."""
        shown = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        for operation in self.operations:
            shown = operation(shown, rng)
        return np.asarray(shown).reshape(shown.height, shown.width, image.shape[-1])


class Sometimes:
    """Apply an operation with a probability."""

    def __init__(self, probability: float, operation: ImageOperation) -> None:
        self.probability, self.operation = probability, operation

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        return self.operation(image, rng) if rng.random() < self.probability else image


class ColorJitter:
    """Brightness, contrast, saturation and hue in random order, as torchvision's ColorJitter.

    Args:
        brightness, contrast, saturation: strength s multiplies by a factor in [max(0, 1 - s), 1 + s].
        hue: at most 0.5; it turns by a part of the colour circle in [-hue, hue].
    """

    def __init__(self, brightness: float, contrast: float, saturation: float, hue: float) -> None:
        strengths = (
            (ImageEnhance.Brightness, brightness),
            (ImageEnhance.Contrast, contrast),
            (ImageEnhance.Color, saturation),
        )
        self._enhancers = [(kind, (max(0.0, 1 - strength), 1 + strength)) for kind, strength in strengths if strength]
        self._hue = hue

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        for index in rng.permutation(len(self._enhancers) + (self._hue > 0)):
            if index < len(self._enhancers):
                kind, factors = self._enhancers[index]
                image = kind(image).enhance(rng.uniform(*factors))
            elif image.mode != "L":
                image = turn_hue(image, rng.uniform(-self._hue, self._hue))
        return image


def turn_hue(image: Image.Image, turn: float) -> Image.Image:
    """Return an RGB image whose hue is turned by this part of the colour circle."""
    hue, saturation, value = image.convert("HSV").split()
    hue = hue.point([(level + int(turn * 255)) % 256 for level in range(256)])
    return Image.merge("HSV", (hue, saturation, value)).convert("RGB")


def to_grey(image: Image.Image, _rng: np.random.Generator) -> Image.Image:
    """Return the luminance (ITU-R 601) in each channel."""
    return image.convert("L").convert(image.mode)


def blur(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return the image blurred by a Gaussian of random width: Pillow's, which adds up three box filters."""
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(*_BLUR_RADII)))


class RandomResizedCrop:
    """Crop a random rectangle and resize it with a filter drawn per image, as timm's for train-interpolation=random.

    Args:
        size: side of the result, pixels.
        filters: of which one is drawn.
        scale, ratio: range of the crop's area as a fraction of the image's, and of its width / height, log-uniform.
    """

    def __init__(
        self, size: int, filters: Sequence[Resampling], scale: Sequence[float], ratio: Sequence[float]
    ) -> None:
        self._size, self._filters = (size, size), list(filters)
        self._scale, self._log_ratio = (scale[0], scale[1]), (math.log(ratio[0]), math.log(ratio[1]))

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        crop = image.crop(self._rectangle(image.width, image.height, rng))
        return crop.resize(self._size, self._filters[rng.integers(len(self._filters))])

    def _rectangle(self, image_width: int, image_height: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
        for _ in range(_ATTEMPTS):
            area = rng.uniform(*self._scale) * image_width * image_height
            ratio = math.exp(rng.uniform(*self._log_ratio))
            width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < width <= image_width and 0 < height <= image_height:
                left, top = rng.integers(image_width - width + 1), rng.integers(image_height - height + 1)
                return left, top, left + width, top + height
        # The largest rectangle in the middle with a legal ratio.
        lowest, highest = map(math.exp, self._log_ratio)
        width, height = image_width, image_height
        if image_width / image_height < lowest:
            height = round(width / lowest)
        elif image_width / image_height > highest:
            width = round(height * highest)
        left, top = (image_width - width) // 2, (image_height - height) // 2
        return left, top, left + width, top + height


class RandomResize:
    """Resize the shorter side to `size` pixels with a filter drawn per image."""

    def __init__(self, size: int, filters: Sequence[Resampling]) -> None:
        self._size, self._filters = size, list(filters)

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        shorter = min(image.size)
        size = (image.width * self._size // shorter, image.height * self._size // shorter)
        return image.resize(size, self._filters[rng.integers(len(self._filters))])
