"""Write augment_goldens.npz: each operation of timm's policies, and of torchvision's TrivialAugment, on a small image.

    python tests/goldens/make_augment_goldens.py

Needs timm, torchvision and Pillow. A case is called `timm NAME LEVEL SIGN` or `torchvision NAME BIN SIGN`; with its
result is the argument that timm's level or torchvision's bin stands for.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from timm.data import auto_augment
from torchvision.transforms import functional
from torchvision.transforms.autoaugment import TrivialAugmentWide, _apply_op
from torchvision.transforms.functional import InterpolationMode

GOLDENS = Path(__file__).parent / "augment_goldens.npz"
SIZE = (13, 9)  # width, height
FILL = (124, 116, 104)
LEVELS = (0.0, 4.3, 9.0, 10.0)
BINS = (0, 13, 30)  # levels of TrivialAugment


def picture() -> Image.Image:
    """Smooth, with a sharp edge and no symmetry."""
    coarse = Image.fromarray(np.random.default_rng(5).integers(0, 256, (3, 4, 3), np.uint8))
    image = np.asarray(coarse.resize(SIZE, Image.Resampling.BICUBIC)).copy()
    image[2:5, 7:] //= 3
    return Image.fromarray(image)


def of_timm(image: Image.Image) -> Iterator[tuple[str, Image.Image, float]]:
    hparams = {"img_mean": FILL, "interpolation": Image.Resampling.BICUBIC, "translate_const": 250}
    for name in auto_augment.NAME_TO_OP:
        if name in ("TranslateX", "TranslateY"):  # in pixels: no policy has them
            continue
        to_argument = auto_augment.LEVEL_TO_ARG[name]
        for level in LEVELS if to_argument else LEVELS[:1]:
            positive = None
            for sign, drawn in (("+", 0.0), ("-", 1.0)):
                random.random = lambda drawn=drawn: drawn
                random.uniform = lambda low, high: high  # the strongest blur of those drawn
                arguments = to_argument(level, hparams) if to_argument else ()
                if sign == "-" and arguments == positive:
                    continue
                positive = arguments
                if name.startswith("Posterize") and arguments[0] < 1:
                    continue  # Pillow 13 refuses
                result = auto_augment.NAME_TO_OP[name](
                    image, *arguments, fillcolor=FILL, resample=Image.Resampling.BICUBIC
                )
                yield f"timm {name} {level} {sign}", result, float(*arguments)


def of_torchvision(image: Image.Image) -> Iterator[tuple[str, Image.Image, float]]:
    space = TrivialAugmentWide()._augmentation_space(31)
    for name, (magnitudes, signed) in space.items():
        for index in BINS if magnitudes.ndim else BINS[:1]:
            magnitude = float(magnitudes[index]) if magnitudes.ndim else 0.0
            for sign in "+-" if signed else "+":
                value = -magnitude if sign == "-" else magnitude
                result = _apply_op(image, name, value, InterpolationMode.BICUBIC, list(FILL))
                yield f"torchvision {name} {index} {sign}", result, value
    for turn in (-0.37, 0.21):
        yield "hue", functional.adjust_hue(image, turn), turn
    yield "grey", functional.rgb_to_grayscale(image, 3), 0.0


def main() -> None:
    image = picture()
    cases, results, arguments = zip(*of_timm(image), *of_torchvision(image), strict=True)
    images = np.stack([np.asarray(each) for each in (image, *results)])
    np.savez_compressed(GOLDENS, cases=np.array(cases), images=images, arguments=np.array(arguments))
    print(f"{len(cases)} cases, {GOLDENS.stat().st_size} bytes")


if __name__ == "__main__":
    main()
