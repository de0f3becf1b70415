"""Dividing a folder of images into a training and a validation part, so that it stays divided that way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from unicodedata import normalize

from mindcv import arguments

VAL_FRACTION = 0.2


@dataclass(frozen=True)
class Holdout:
    """Which images are held out for validation: in each class those whose hash is at most the class's limit.

    The hash is that of the image's name below the data set's folder and the seed, so an image stays on its side
    whatever is added to the folder, removed from it or moved with it. An image that is added comes to a side by its
    hash, like the others.

    Attributes:
        fraction: of the images of each class, when the limits were chosen.
        seed: of the hash.
        limits: class -> largest hash, 16 hexadecimal digits. Of a class without a limit every image is held out.
    """

    fraction: float
    seed: int
    limits: Mapping[str, str]

    @classmethod
    def choose(
        cls, images: Mapping[str, Sequence[str]], fraction: float, seed: int, limits: Mapping[str, str] | None = None
    ) -> Holdout:
        """Hold out a fraction of each class, rounded, but at least one image, and leave at least one for training.

        Args:
            images: class -> names of its images below the class's folder.
            fraction: in (0, 1]; 1 holds out everything.
            limits: of classes for which they were chosen before; they stay.
        Raises:
            ValueError: for another fraction, or if a class has a single image.
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


def _hash(seed: int, class_name: str, image: str) -> str:
    # Systems differ in how they write an accent; the name is the same.
    name = normalize("NFC", f"{seed}/{class_name}/{image}")
    return blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
