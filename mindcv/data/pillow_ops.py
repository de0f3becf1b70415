"""The operations of augmentation policies, on Pillow images, bit-identical to timm's and torchvision's.

A level runs from 0 to 10; what it means for an operation is timm's definition: timm/data/auto_augment.py.
TrivialAugment has its own, wider ranges: Müller and Hutter 2021, "TrivialAugment", table 2.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from PIL.Image import Resampling

HIGHEST = 10  # the scale of levels

RANDOM_FILTERS = (Resampling.BILINEAR, Resampling.BICUBIC)  # interpolation=random is one of them, as in timm


@dataclass(frozen=True)
class Canvas:
    """How warps resample, and the colour of uncovered pixels.

    Attributes:
        filters: the filter, or several of which each warp draws one.
        fill: one value per channel, 0..255.
    """

    filters: tuple[Resampling, ...]
    fill: tuple[int, ...]

    def draw_filter(self, rng: np.random.Generator) -> Resampling:
        return self.filters[rng.integers(len(self.filters))] if len(self.filters) > 1 else self.filters[0]


# image (RGB or L), argument, filter, fill colour -> image
Apply = Callable[[Image.Image, float, Resampling, tuple[int, ...]], Image.Image]


@dataclass(frozen=True)
class Operation:
    """An operation and the meaning of its level.

    Attributes:
        name: timm's.
        apply: the operation.
        argument: level -> argument; None: it takes none.
        signed: the level is negated with probability 1/2.
        least: the argument is drawn from this to that of the level; None: it is that of the level.
    """

    name: str
    apply: Apply
    argument: Callable[[float], float] | None = None
    signed: bool = False
    least: float | None = None

    def draw(self, level: float, rng: np.random.Generator) -> "Step":
        if self.argument is None:
            return Step(self, 0.0)
        argument = self.argument(-level if self.signed and rng.random() < 0.5 else level)
        return Step(self, argument if self.least is None else rng.uniform(self.least, argument))


@dataclass(frozen=True)
class Step:
    """An operation on one image with its argument."""

    operation: Operation
    argument: float


def apply_steps(image: Image.Image, steps: Iterable[Step], canvas: Canvas, rng: np.random.Generator) -> Image.Image:
    for step in steps:
        image = step.operation.apply(image, step.argument, canvas.draw_filter(rng), canvas.fill)
    return image


def _colours(change: Callable[[Image.Image, float], Image.Image]) -> Apply:
    """An operation that moves no pixel."""
    return lambda image, argument, _filter, _fill: change(image, argument)


def _warp(coefficients: Callable[[Image.Image, float], Sequence[float]]) -> Apply:
    """An affine map; `coefficients` are those of the source coordinates, a x + b y + c and d x + e y + f."""

    def apply(image: Image.Image, argument: float, resample: Resampling, fill: tuple[int, ...]) -> Image.Image:
        data = coefficients(image, argument)
        return image.transform(image.size, Image.Transform.AFFINE, data, resample, fillcolor=_colour_of(image, fill))

    return apply


def _rotate(image: Image.Image, degrees: float, resample: Resampling, fill: tuple[int, ...]) -> Image.Image:
    return image.rotate(degrees, resample, fillcolor=_colour_of(image, fill))


def _colour_of(image: Image.Image, fill: tuple[int, ...]) -> int | tuple[int, ...]:
    return fill[0] if image.mode == "L" else fill


def _by_table(value_of: Callable[[int, float], int]) -> Apply:
    """An operation on single values; `value_of` takes a value and the argument."""

    @cache  # of few arguments: integers, or those of TrivialAugment's levels
    def table(argument: float) -> list[int]:
        return [value_of(value, argument) for value in range(256)]

    return _colours(lambda image, argument: image.point(table(argument) * len(image.getbands())))


def _posterized(value: int, bits: float) -> int:
    """The highest bits; none give black, which Pillow 13's `posterize` refuses."""
    return value & (256 - 2 ** (8 - min(max(int(bits), 0), 8)))


def _desaturate(image: Image.Image, share: float) -> Image.Image:
    return ImageEnhance.Color(image).enhance(min(1.0, max(0.0, 1.0 - share)))


_SHEAR_X = _warp(lambda _, factor: (1, factor, 0, 0, 1, 0))
_SHEAR_Y = _warp(lambda _, factor: (1, 0, 0, factor, 1, 0))
_AUTO_CONTRAST = _colours(lambda image, _: ImageOps.autocontrast(image))
_EQUALIZE = _colours(lambda image, _: ImageOps.equalize(image))
_INVERT = _by_table(lambda value, _: 255 - value)
_POSTERIZE = _by_table(_posterized)
_SOLARIZE = _by_table(lambda value, threshold: value if value < threshold else 255 - value)
_SOLARIZE_ADD = _by_table(lambda value, addend: min(255, value + int(addend)) if value < 128 else value)
_BLUR = _colours(lambda image, radius: image.filter(ImageFilter.GaussianBlur(radius)))
_ENHANCEMENTS = {
    "Color": _colours(lambda image, factor: ImageEnhance.Color(image).enhance(factor)),
    "Contrast": _colours(lambda image, factor: ImageEnhance.Contrast(image).enhance(factor)),
    "Brightness": _colours(lambda image, factor: ImageEnhance.Brightness(image).enhance(factor)),
    "Sharpness": _colours(lambda image, factor: ImageEnhance.Sharpness(image).enhance(factor)),
}


def _table(*operations: Operation) -> dict[str, Operation]:
    return {operation.name: operation for operation in operations}


def _share_of(most: float) -> Callable[[float], float]:
    """level -> argument, from 0 to `most`."""
    return lambda level: (level / HIGHEST) * most


def relative_translations(most: float) -> dict[str, Operation]:
    """Return translations by at most this fraction of the image's side."""
    across = _warp(lambda image, share: (1, 0, share * image.width, 0, 1, 0))
    down = _warp(lambda image, share: (1, 0, 0, 0, 1, share * image.height))
    return _table(
        Operation("TranslateXRel", across, _share_of(most), signed=True),
        Operation("TranslateYRel", down, _share_of(most), signed=True),
    )


def _four_bits(level: float) -> int:
    return int((level / HIGHEST) * 4)


def _threshold(level: float) -> int:
    return min(256, int((level / HIGHEST) * 256))


def _within(low: float, high: float) -> Callable[[float], float]:
    return lambda level: max(low, min(high, low + (high - low) * (level / HIGHEST)))


# Those called "Increasing" change the image more at a higher level; the others of the same kind need not.
OPERATIONS: dict[str, Operation] = {
    **_table(
        Operation("AutoContrast", _AUTO_CONTRAST),
        Operation("Equalize", _EQUALIZE),
        Operation("Invert", _INVERT),
        Operation("Rotate", _rotate, _share_of(30.0), signed=True),
        Operation("ShearX", _SHEAR_X, _share_of(0.3), signed=True),
        Operation("ShearY", _SHEAR_Y, _share_of(0.3), signed=True),
        Operation("Posterize", _POSTERIZE, _four_bits),
        Operation("PosterizeIncreasing", _POSTERIZE, lambda level: 4 - _four_bits(level)),
        Operation("PosterizeOriginal", _POSTERIZE, lambda level: 4 + _four_bits(level)),
        Operation("Solarize", _SOLARIZE, _threshold),
        Operation("SolarizeIncreasing", _SOLARIZE, lambda level: 256 - _threshold(level)),
        Operation("SolarizeAdd", _SOLARIZE_ADD, lambda level: min(128, int((level / HIGHEST) * 110))),
        Operation("Desaturate", _colours(_desaturate), _within(0.5, 1.0)),
        Operation("GaussianBlur", _BLUR, _within(0.1, 2.0)),
        Operation("GaussianBlurRand", _BLUR, lambda level: 2.0 * _within(0.0, 1.0)(level), least=0.1),
    ),
    **relative_translations(0.45),
    **_table(*(Operation(name, _ENHANCEMENTS[name], lambda level: 0.1 + (level / HIGHEST) * 1.8)
               for name in _ENHANCEMENTS)),
    **_table(*(Operation(f"{name}Increasing", apply, lambda level: max(0.1, 1.0 + (level / HIGHEST) * 0.9), signed=True)
               for name, apply in _ENHANCEMENTS.items())),
}  # fmt: skip

_PIXELS_ACROSS = _warp(lambda _, pixels: (1, 0, pixels, 0, 1, 0))
_PIXELS_DOWN = _warp(lambda _, pixels: (1, 0, 0, 0, 1, pixels))
TRIVIAL_OPERATIONS: dict[str, Operation] = _table(
    Operation("Identity", _colours(lambda image, _: image)),
    Operation("ShearX", _SHEAR_X, _share_of(0.99), signed=True),
    Operation("ShearY", _SHEAR_Y, _share_of(0.99), signed=True),
    Operation("TranslateX", _PIXELS_ACROSS, lambda level: int((level / HIGHEST) * 32), signed=True),
    Operation("TranslateY", _PIXELS_DOWN, lambda level: int((level / HIGHEST) * 32), signed=True),
    Operation("Rotate", _rotate, _share_of(135.0), signed=True),
    *(Operation(name, apply, lambda level: 1.0 + (level / HIGHEST) * 0.99, signed=True)
      for name, apply in _ENHANCEMENTS.items()),
    Operation("Posterize", _POSTERIZE, lambda level: 8 - round((level / HIGHEST) * 6)),
    Operation("Solarize", _SOLARIZE, lambda level: 255.0 - (level / HIGHEST) * 255.0),
    Operation("AutoContrast", _AUTO_CONTRAST),
    Operation("Equalize", _EQUALIZE),
)  # fmt: skip
