"""A picture of training batches as the network receives them, to look at the augmentation."""

import functools
import itertools
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mindcv.console import printable
from mindcv.files import replacing

COLUMNS = ROWS = 8  # images in a row; rows, unless a batch has more views
_SIDES = (96, 224)  # smallest and largest side of a shown image, pixels
_GAP, _MARGIN, _LINE = 8, 64, 15  # pixels: between images, left of them for the number of the batch, per line of text
_LABEL_LINES = 2  # a class and the one mixed with it
_LEAST_WEIGHT = 0.005  # of a class that is listed
_WHITE, _BLACK, _GREY = (255, 255, 255), (20, 20, 20), (110, 110, 110)
# A name, pictures, and the classes of each picture: name and weight.
_Strip: TypeAlias = tuple[str, Sequence[Image.Image], Sequence[list[tuple[str, str]]]]


def write_contact_sheet(
    path: str | Path,
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    count: int,
    class_names: Sequence[str],
    *,
    mean: Sequence[float],
    std: Sequence[float],
    title: str,
    splits: int = 1,
) -> int:
    """Draw the first images of the first batches, with their classes and, of mixed images, the weights, as a PNG.

    Small images are enlarged by a whole number, pixels stay visible; those above 224 pixels are reduced.

    Args:
        path: of the PNG; an existing file is replaced.
        batches: (B, C, H, W) normalised images with C = 1 or 3, and labels, (B,) integers or (B, K) weights. With
            splits, the batch is all first views, then all second views, and so on.
        count: number of batches; as many are drawn as there are rows, and each has several rows if they are few.
        class_names: name of each class; one that is not in ASCII is shown as its number.
        mean, std: of the normalisation, per channel, in units of 0..255.
        title: a line above the images.
        splits: views of each example in a batch.

    Returns:
        The number of batches drawn.

    Raises:
        OSError: if the file cannot be written.
    """
    drawn = min(count, max(ROWS // splits, 1))
    most = COLUMNS * max(ROWS // (drawn * splits), 1)
    strips: list[_Strip] = []
    for number, (images, labels) in enumerate(itertools.islice(batches, drawn), 1):
        views = zip(np.split(images, splits), np.split(labels, splits), strict=True)
        for view, (pictures, classes) in enumerate(views, 1):
            name = f"batch {number}" if view == 1 else f"view {view}"
            shown = [_denormalise(image, mean, std) for image in pictures[:most]]
            described = [_describe(label, class_names) for label in classes[:most]]
            for start in range(0, len(shown), COLUMNS):
                part = slice(start, start + COLUMNS)
                strips.append((name if start == 0 else "", shown[part], described[part]))
    sheet = _draw(title, strips)
    with replacing(path) as temporary:
        sheet.save(temporary, "PNG")
    return drawn


@functools.cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(12)  # has ASCII only


def _denormalise(image: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> Image.Image:
    """Return a (C, H, W) normalised image as a picture, in the size in which it is shown."""
    pixels = image.transpose(1, 2, 0) * np.array(std) + np.array(mean)
    pixels = np.rint(pixels).clip(0, 255).astype(np.uint8)
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).convert("RGB")
    longest = max(picture.size)
    if longest > _SIDES[1]:
        width, height = (max(round(side * _SIDES[1] / longest), 1) for side in picture.size)
        return picture.resize((width, height), Image.Resampling.LANCZOS)
    factor = math.ceil(_SIDES[0] / longest)
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def _describe(label: np.ndarray, class_names: Sequence[str]) -> list[tuple[str, str]]:
    """Return name and weight of each class of an image, the largest weight first; without weights an empty text."""
    if label.ndim == 0:
        return [(_drawable(class_names[int(label)], int(label)), "")]
    classes = [int(k) for k in np.argsort(-label, kind="stable") if label[k] >= _LEAST_WEIGHT]
    return [(_drawable(class_names[k], k), f" {label[k]:.2f}") for k in classes]


def _drawable(name: str, number: int) -> str:
    """Return a class's name, or its number if the font lacks one of its characters."""
    return printable(name) if name.isascii() else f"class {number}"


def _draw(title: str, strips: Sequence[_Strip]) -> Image.Image:
    """Return the sheet: a title, and the strips below one another."""
    sides = {picture.size for _, pictures, _ in strips for picture in pictures}
    width, height = (max(side[axis] for side in sides) for axis in (0, 1))
    columns = max(len(pictures) for _, pictures, _ in strips)
    row_height = height + _LABEL_LINES * _LINE + _GAP
    top = _GAP + _LINE + _GAP
    wide = max(_MARGIN + columns * (width + _GAP), int(_font().getlength(title)) + 2 * _GAP)
    sheet = Image.new("RGB", (wide, top + len(strips) * row_height), _WHITE)
    pen = ImageDraw.Draw(sheet)
    pen.text((_GAP, _GAP), title, _BLACK, _font())
    for row, (name, pictures, labels) in enumerate(strips):
        y = top + row * row_height
        pen.text((_GAP, y), name, _GREY, _font())
        for column, (picture, classes) in enumerate(zip(pictures, labels, strict=True)):
            x = _MARGIN + column * (width + _GAP)
            sheet.paste(picture, (x, y))
            pen.rectangle((x - 1, y - 1, x + picture.width, y + picture.height), outline=_GREY)
            for number, (name, weight) in enumerate(classes[:_LABEL_LINES]):
                end = weight + " ..." * (number == _LABEL_LINES - 1 < len(classes) - 1)
                text = _cut(name, width - _font().getlength(end)) + end
                pen.text((x, y + height + 2 + number * _LINE), text, _GREY if number else _BLACK, _font())
    return sheet


def _cut(text: str, width: float) -> str:
    """Return a text that fits into a width in pixels; dots stand for its end."""
    if _font().getlength(text) <= width:
        return text
    while text and _font().getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text.rstrip()}..."
