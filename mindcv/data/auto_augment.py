"""Automatic augmentation, spelled as in timm and MindCV: RandAugment, AutoAugment, TrivialAugment, AugMix, 3-Augment.

Sources: Cubuk et al. 2020, "RandAugment"; Cubuk et al. 2019, "AutoAugment"; Müller and Hutter 2021, "TrivialAugment";
Hendrycks et al. 2020, "AugMix"; Touvron et al. 2022, "DeiT III", section 3.2 (3-Augment). Levels, probabilities and
the noise of the strength are those of timm/data/auto_augment.py.
"""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from mindcv.data.pillow_ops import (
    HIGHEST,
    OPERATIONS,
    TRIVIAL_OPERATIONS,
    Canvas,
    Operation,
    Step,
    apply_steps,
    relative_translations,
)
from mindcv.data.policies import AUGMIX, RAND, SETS, SUB_POLICIES, W0, increasing
from mindcv.nearest import did_you_mean

_BINS = 31  # levels of TrivialAugment
_AUGMIX_TRANSLATION = 0.3  # of the image's side at most, as in timm
_DEEPEST = 3  # operations of a chain of AugMix


@dataclass(frozen=True)
class Magnitude:
    """The level of an operation: normal around `mean`, or with std=inf uniform in 0 to `mean`; then cut to 0..top."""

    mean: float
    std: float = 0.0
    top: float = HIGHEST

    def draw(self, rng: np.random.Generator) -> float:
        level = self.mean
        if self.std == math.inf:
            level = rng.uniform(0.0, self.mean)
        elif self.std:
            level = rng.normal(self.mean, self.std)
        return max(0.0, min(level, self.top))


@dataclass(frozen=True)
class Candidate:
    """An operation that a policy may choose, and the probability that it is then applied."""

    operation: Operation
    magnitude: Magnitude
    probability: float = 1.0

    def draw(self, rng: np.random.Generator) -> list[Step]:
        if self.probability < 1.0 and rng.random() >= self.probability:
            return []
        return [self.operation.draw(self.magnitude.draw(rng), rng)]


class Policy(ABC):
    """Draws operations for an image and applies them one after another."""

    def __init__(self, canvas: Canvas) -> None:
        self.canvas = canvas

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> list[Step]: ...

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        return apply_steps(image, self.draw(rng), self.canvas, rng)


class RandAugment(Policy):
    """Choose `count` candidates; with weights, which sum to 1, each at most once."""

    def __init__(
        self, canvas: Canvas, candidates: Sequence[Candidate], count: int, weights: Sequence[float] | None
    ) -> None:
        super().__init__(canvas)
        self.candidates, self.count, self.weights = candidates, count, weights

    def draw(self, rng: np.random.Generator) -> list[Step]:
        if self.weights is None:
            chosen = rng.integers(len(self.candidates), size=self.count)
        else:
            chosen = rng.choice(len(self.candidates), self.count, replace=False, p=self.weights)
        return [step for index in chosen for step in self.candidates[index].draw(rng)]


class AutoAugment(Policy):
    """Choose one sub-policy and apply its candidates in their order."""

    def __init__(self, canvas: Canvas, sub_policies: Sequence[Sequence[Candidate]]) -> None:
        super().__init__(canvas)
        self.sub_policies = sub_policies

    def draw(self, rng: np.random.Generator) -> list[Step]:
        chosen = self.sub_policies[rng.integers(len(self.sub_policies))]
        return [step for candidate in chosen for step in candidate.draw(rng)]


class TrivialAugment(Policy):
    """Choose one operation and one of 31 levels."""

    def draw(self, rng: np.random.Generator) -> list[Step]:
        operation = list(TRIVIAL_OPERATIONS.values())[rng.integers(len(TRIVIAL_OPERATIONS))]
        return [operation.draw(rng.integers(_BINS) * (HIGHEST / (_BINS - 1)), rng)]


@dataclass(frozen=True)
class AugMix:
    """Mix chains of operations with one another, and the mixture with the image.

    Attributes:
        canvas, candidates: of the operations.
        width: chains.
        depth: operations of a chain; 0: drawn from 1 to 3.
        alpha: of the Dirichlet and the beta distribution of the weights.
        blended: timm's faster way, which rounds to whole grey levels after each chain.
    """

    canvas: Canvas
    candidates: Sequence[Candidate]
    width: int
    depth: int
    alpha: float
    blended: bool

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, list[list[Step]], float]:
        """Return the chains' weights (width,) float32, the chains, and the share of their mixture."""
        weights = rng.dirichlet([self.alpha] * self.width).astype(np.float32)
        share = float(np.float32(rng.beta(self.alpha, self.alpha)))
        depths = [self.depth or int(rng.integers(1, _DEEPEST + 1)) for _ in range(self.width)]
        indices = [rng.integers(len(self.candidates), size=depth) for depth in depths]
        return weights, [[s for index in chosen for s in self.candidates[index].draw(rng)] for chosen in indices], share

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        weights, chains, share = self.draw(rng)
        views = (apply_steps(image, chain, self.canvas, rng) for chain in chains)
        if self.blended:
            for view, weight in zip(views, blending_weights(weights * np.float32(share)), strict=True):
                image = Image.blend(image, view, weight)
            return image
        mixture = np.zeros((), np.float32)
        for view, weight in zip(views, weights, strict=True):
            mixture = mixture + weight * np.asarray(view, np.float32)
        return Image.blend(image, Image.fromarray(mixture.clip(0, 255).astype(np.uint8)), share)


def blending_weights(shares: np.ndarray) -> list[float]:
    """Return the weights with which images must be blended in, one after another, so that each has its share."""
    weights, rest = [], 1.0
    for share in shares[::-1]:
        weights.append(min(1.0, float(share) / rest) if rest > 0 else 0.0)
        rest *= 1 - weights[-1]
    return weights[::-1]


@dataclass(frozen=True)
class _Part:
    """A part of a policy's text after its name: the pattern and the range of its value, and what it means."""

    pattern: str
    meaning: str
    low: float = 0
    high: float = math.inf


_INTEGER, _NUMBER = "[0-9]{1,4}", r"[0-9]{1,4}(?:\.[0-9]{1,9})?"
_STD = _Part(f"{_NUMBER}|inf", "mstd0.5: the strength's deviation from image to image; inf: uniform up to the strength")
_RAND_PARTS = {
    "m": _Part(_INTEGER, f"m9: strength, 0 to {HIGHEST}, or to mmax"),
    "n": _Part(_INTEGER, "n2: operations", 1),
    "p": _Part(_NUMBER, "p0.5: probability of each", 0, 1),
    "mstd": _STD,
    "mmax": _Part(_INTEGER, f"mmax10: highest strength, {HIGHEST} if not given", 1),
    "inc": _Part("[01]", "inc1: all operations grow with the strength"),
    "w": _Part("0", "w0: MindCV's weights of the operations"),
    "t": _Part("|".join(SETS), f"{', '.join('t' + name for name in SETS)}: timm's sets of operations"),
}
_AUGMIX_PARTS = {
    "m": _Part(_INTEGER, f"m3: strength, 0 to {HIGHEST}", 0, HIGHEST),
    "w": _Part(_INTEGER, "w3: chains", 1),
    "d": _Part(_INTEGER, "d2: operations of a chain; 0: drawn from 1 to 3"),
    "a": _Part(_NUMBER, "a1: alpha of the mixture's weights", 1e-3),
    "b": _Part("[01]", "b1: blend chain by chain"),
    "mstd": _STD,
}
_AUTO_PARTS = {"mstd": _STD}
# name: kind, legal parts, their defaults. MindCV's names have MindCV's defaults, timm's have timm's.
_FAMILIES: dict[str, tuple[str, dict[str, _Part], str]] = {
    "rand": ("rand", _RAND_PARTS, "m10-n2-p0.5-mstd0-mmax10-inc0"),
    "randaug": ("rand", _RAND_PARTS, "m10-n2-p0.5-mstd0.5-mmax10-inc0"),
    **{name: (name, _AUTO_PARTS, "mstd0") for name in SUB_POLICIES},
    "autoaug": ("original", _AUTO_PARTS, "mstd0.5"),
    "autoaugr": ("originalr", _AUTO_PARTS, "mstd0.5"),
    "augmix": ("augmix", _AUGMIX_PARTS, "m3-w3-d0-a1-b0-mstdinf"),
    "trivialaug": ("trivial", {}, ""),
    "trivialaugwide": ("trivial", {}, ""),
}
_UNIFORM_ABOVE = 100.0  # a larger mstd means inf, as in timm


def create_auto_augment(policy: str, canvas: Canvas) -> Policy | AugMix:
    """Return the augmentation named by `policy`, for images in colour or grey.

    Args:
        policy: a name and, after hyphens, its parts in any order:
            "rand" and "randaug": n (2) operations out of 15 (randaug: MindCV's 14), each applied with probability p
            (0.5) at strength m (10 of 10), which is normal with deviation mstd (rand: 0, randaug: 0.5) and cut to
            0..mmax (10). inc1: operations that grow with m. w0, tweights, t3a, t3aw: weights and sets.
            "original", "originalr", "v0", "v0r": AutoAugment's policies for ImageNet, with mstd (0); "autoaug",
            "autoaugr": the first two with MindCV's mstd (0.5). "3a": 3-Augment.
            "augmix": w (3) chains of d (0: 1 to 3) operations of strength m (3) with mstd (inf), mixed with Dirichlet
            weights of a (1); b1: blended chain by chain.
            "trivialaug" (also "trivialaugwide"): one of 14 operations at one of 31 strengths.
        canvas: of rotations, shears and translations.

    Raises:
        ValueError: if `policy` is not legal; names the part and what is legal.
    """
    family, *parts = str(policy).split("-")
    if family not in _FAMILIES:
        hint = did_you_mean(family, list(_FAMILIES))
        raise ValueError(
            f"unknown auto_augment {policy!r}.{hint} Legal: {', '.join(_FAMILIES)}; "
            "with parts: rand-m9-n2-mstd0.5-inc1, original-mstd0.5, augmix-m5-w4-d2."
        )
    kind, legal, defaults = _FAMILIES[family]
    settings = _read(policy, family, parts, legal)
    given = _read(family, family, defaults.split("-") if defaults else [], legal) | settings
    if kind == "trivial":
        return TrivialAugment(canvas)
    std = float(given["mstd"])
    std = math.inf if std > _UNIFORM_ABOVE else std
    if kind == "rand":
        return _rand_augment(policy, given, std, canvas, family)
    if kind == "augmix":
        operations = {**OPERATIONS, **relative_translations(_AUGMIX_TRANSLATION)}
        candidates = [Candidate(operations[name], Magnitude(int(given["m"]), std)) for name in AUGMIX]
        alpha, blended = float(given["a"]), given["b"] == "1"
        return AugMix(canvas, candidates, int(given["w"]), int(given["d"]), alpha, blended)
    return AutoAugment(
        canvas,
        [
            [Candidate(OPERATIONS[name], Magnitude(level, std), probability) for name, probability, level in pair]
            for pair in SUB_POLICIES[kind]
        ],
    )


def _rand_augment(policy: str, given: Mapping[str, str], std: float, canvas: Canvas, family: str) -> RandAugment:
    strength, top, count = int(given["m"]), int(given["mmax"]), int(given["n"])
    if strength > top:
        raise ValueError(f"auto_augment {policy!r}: m{strength} is above the highest strength, mmax{top}. Give mmax.")
    names: Sequence[str] | Mapping[str, float] = RAND if family == "rand" else [n for n in RAND if n != "SolarizeAdd"]
    if "t" in given:
        if given["inc"] == "1" or "w" in given:
            raise ValueError(f"auto_augment {policy!r}: t{given['t']} is a set of its own; leave out inc1 and w0.")
        names = SETS[given["t"]]
    elif "w" in given:
        names = {name: W0[name] for name in names}
    weights = None
    if isinstance(names, Mapping):
        weights = (np.array(list(names.values())) / sum(names.values())).tolist()
        if count > np.count_nonzero(weights):
            raise ValueError(
                f"auto_augment {policy!r}: n{count} is more than the {np.count_nonzero(weights)} operations with a "
                "weight, each of which is applied at most once."
            )
    renamed = [increasing(name) if given["inc"] == "1" else name for name in names]
    magnitude, probability = Magnitude(strength, std, top), float(given["p"])
    return RandAugment(canvas, [Candidate(OPERATIONS[n], magnitude, probability) for n in renamed], count, weights)


def _read(policy: str, family: str, parts: Sequence[str], legal: Mapping[str, _Part]) -> dict[str, str]:
    """Return key -> value of a policy's parts, checked."""
    meanings = "; ".join(part.meaning for part in legal.values())
    settings: dict[str, str] = {}
    for text in parts:
        if not legal:
            raise ValueError(f"auto_augment {policy!r}: {family} has no settings; got {text!r}.")
        key = next((key for key, part in legal.items() if re.fullmatch(f"{key}(?:{part.pattern})", text)), None)
        value = text[len(key) :] if key else ""
        if key is None or (key != "t" and not legal[key].low <= float(value) <= legal[key].high):
            word = re.split("[^a-z]", text)[0]
            wrong = "is not legal" if word in legal else "is unknown"
            raise ValueError(f"auto_augment {policy!r}: {text!r} {wrong}. Legal after {family}: {meanings}.")
        if key in settings:
            raise ValueError(f"auto_augment {policy!r} has two parts {key!r}.")
        settings[key] = value
    return settings
