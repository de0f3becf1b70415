"""Stable divisions of images into a part to train on and a part to validate on."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from unicodedata import normalize

from mindcv import arguments

VAL_FRACTION = 0.2


@dataclass(frozen=True)
class Holdout:
    """The images held out for validation: in each class those whose hash is at most the class's limit.

    The hash depends on the seed and the image's path below the data set's folder, so an image stays in its part when
    others are added or removed, or the folder is moved. Images added later are assigned by their hash too.

    Attributes:
        fraction: of the images of each class, when the limits were chosen.
        seed: of the hash.
        limits: class -> largest hash, 16 hexadecimal digits. A class without a limit is held out completely.
    """

    fraction: float
    seed: int
    limits: Mapping[str, str]

    @classmethod
    def choose(
        cls, images: Mapping[str, Sequence[str]], fraction: float, seed: int, limits: Mapping[str, str] | None = None
    ) -> Holdout:
        """Hold out a fraction of each class, rounded; at least one image and all but one at most.

        Args:
            images: class -> names of its images below the class's folder.
            fraction: in (0, 1]; 1 holds out everything.
            limits: class -> limit that was chosen before and is kept.
        Raises:
            ValueError: if the fraction is out of range or a class has a single image.
        """
        arguments.VAL_FRACTION.check(fraction)
        if fraction == 1:
            return cls(fraction, seed, {})
        limits = dict(limits or {})
        for name, members in images.items():
            if normalize("NFC", name) in limits:
                continue
            if len(members) == 1:
                raise ValueError(
                    f"class {name!r} has a single image: it needs one to train on and one to validate on. Add images, "
                    "or put them into a train and a val folder yourself."
                )
            count = min(max(round(fraction * len(members)), 1), len(members) - 1)
            limits[normalize("NFC", name)] = sorted(_hash(seed, name, member) for member in members)[count - 1]
        return cls(fraction, seed, limits)

    def holds(self, class_name: str, image: str) -> bool:
        """Whether an image is held out for validation.

        Args:
            image: its name below the class's folder.
        """
        limit = self.limits.get(normalize("NFC", class_name))
        return limit is None or _hash(self.seed, class_name, image) <= limit

    def __str__(self) -> str:
        return f"val_fraction={self.fraction:g}, seed={self.seed}"


@dataclass(frozen=True)
class Fold:
    """One of several equal parts of each class, held out for validation: those whose hash is between two limits.

    The hash is that of `Holdout`. Every image is in exactly one fold.

    Attributes:
        folds: number of parts.
        fold: number of the part held out, from 0.
        seed: of the hash.
        limits: class -> the largest hash of each fold but the last. A class without limits is held out completely.
    """

    folds: int
    fold: int
    seed: int
    limits: Mapping[str, Sequence[str]]

    @classmethod
    def choose(
        cls,
        images: Mapping[str, Sequence[str]],
        folds: int,
        fold: int,
        seed: int,
        limits: Mapping[str, Sequence[str]] | None = None,
    ) -> Fold:
        """Divide each class into parts whose sizes differ by one at most.

        Args:
            images: class -> names of its images below the class's folder.
            folds: at least 2.
            fold: from 0 to folds - 1.
            limits: class -> limits that were chosen before and are kept.
        Raises:
            ValueError: if a number is out of range or a class has a single image.
        """
        arguments.FOLDS.check(folds)
        arguments.FOLD.check(fold)
        if fold >= folds:
            raise ValueError(f"fold must be from 0 to folds - 1 = {folds - 1}; got {fold}.")
        limits = dict(limits or {})
        for name, members in images.items():
            if normalize("NFC", name) in limits:
                continue
            if len(members) == 1:
                raise ValueError(f"class {name!r} has a single image: it needs one to train on and one to validate on.")
            hashes = sorted(_hash(seed, name, member) for member in members)
            counts = [len(hashes) * (part + 1) // folds for part in range(folds - 1)]
            limits[normalize("NFC", name)] = [hashes[count - 1] if count else "" for count in counts]
        return cls(folds, fold, seed, limits)

    def holds(self, class_name: str, image: str) -> bool:
        """Whether an image is held out for validation; see `Holdout.holds`."""
        limits = self.limits.get(normalize("NFC", class_name))
        return limits is None or bisect_left(limits, _hash(self.seed, class_name, image)) == self.fold

    def __str__(self) -> str:
        return f"fold={self.fold} of folds={self.folds}, seed={self.seed}"


def _hash(seed: int, class_name: str, image: str) -> str:
    # Systems differ in how they encode an accent (NFC or NFD); the name is the same.
    name = normalize("NFC", f"{seed}/{class_name}/{image}")
    return blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
