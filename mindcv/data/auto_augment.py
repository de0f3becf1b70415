"""Automatic augmentation policies, built on MindData's C++ operations and spelled as in timm and MindCV.

Sources: Cubuk et al. 2020, "RandAugment"; Müller and Hutter 2021, "TrivialAugment"; Cubuk et al. 2019, "AutoAugment".
"""

import re
from collections.abc import Sequence

import mindspore.dataset.vision as vision
from mindspore.dataset.vision import Inter

from mindcv.nearest import did_you_mean

_FAMILIES = {
    "randaug": "randaug",
    "rand": "randaug",  # timm's name
    "trivialaug": "trivialaug",
    "trivialaugwide": "trivialaug",  # MindCV's name
    "autoaug": "autoaug",
}
STRONGEST = 10  # the scale of m in timm and MindCV; the paper's and torchvision's goes to 30
_LEGAL = (
    f"Legal: randaug, randaug-m9-n2 (m: strength, 0 to {STRONGEST}; n: operations, at least 1), trivialaug, autoaug."
)


def create_auto_augment(policy: str, interpolation: Inter, fill: Sequence[float]) -> vision.transforms.TensorOperation:
    """Return the operation named by `policy`, for an RGB image, (H, W, 3) uint8.

    Args:
        policy: "trivialaug" (also "trivialaugwide"): one operation of random strength. "autoaug": the policy found
            for ImageNet. "randaug-mM-nN" (also "rand-..."): N operations of strength M, by default 2 of strength 9,
            drawn from the paper's 14 ("identity" is one of them). timm and MindCV skip each with probability 0.5; here
            all are applied. `inc1` and `mstd0` may follow: they describe MindData's behaviour.
        interpolation: of rotations, shears and translations.
        fill: colour of uncovered pixels, one value per channel, 0..255.

    Raises:
        ValueError: if `policy` is unknown or not supported by MindData.
    """
    family, *parts = str(policy).split("-")
    if family not in _FAMILIES:
        hint = did_you_mean(family, list(_FAMILIES))
        raise ValueError(f"unknown auto_augment {policy!r}.{hint} {_LEGAL}")
    colour = tuple(min(max(round(value), 0), 255) for value in fill)
    if _FAMILIES[family] == "randaug":
        strength, count = _rand_settings(policy, parts)
        return vision.RandAugment(count, strength, STRONGEST + 1, interpolation, colour)
    if parts:
        raise ValueError(f"auto_augment {policy!r}: {family} has no settings; got {parts[0]!r}. {_LEGAL}")
    if _FAMILIES[family] == "trivialaug":
        return vision.TrivialAugmentWide(interpolation=interpolation, fill_value=colour)
    return vision.AutoAugment(interpolation=interpolation, fill_value=colour)


def _rand_settings(policy: str, parts: Sequence[str]) -> tuple[int, int]:
    """Return the strength and the number of operations."""
    settings = {"m": 9, "n": 2}
    seen: set[str] = set()
    for part in parts:
        match = re.fullmatch(r"([a-z]+)([0-9]{1,3}(?:\.[0-9]+)?|inf)", part)
        key, value = match.groups() if match else (part, "")
        if key in seen:
            raise ValueError(f"auto_augment {policy!r} has two parts {key!r}. {_LEGAL}")
        seen.add(key)
        if key in settings and value.isdigit():
            settings[key] = int(value)
        elif key == "mstd" and float(value or "nan") != 0:
            raise ValueError(
                f"auto_augment {policy!r}: {part!r} is not supported: MindData applies one strength to all images. "
                f"Leave it out. {_LEGAL}"
            )
        elif key == "inc" and value != "1":
            raise ValueError(
                f"auto_augment {policy!r}: {part!r} is not supported: all operations grow with m (inc1). {_LEGAL}"
            )
        elif key not in ("mstd", "inc"):
            raise ValueError(f"auto_augment {policy!r}: {part!r} is unknown or not supported. {_LEGAL}")
    if not (0 <= settings["m"] <= STRONGEST and settings["n"] >= 1):
        raise ValueError(f"auto_augment {policy!r}: m={settings['m']}, n={settings['n']} is out of range. {_LEGAL}")
    return settings["m"], settings["n"]
