"""A stable division of an image folder into a training and a validation part."""

from __future__ import annotations

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


def _hash(seed: int, class_name: str, image: str) -> str:
    # Systems differ in how they encode an accent (NFC or NFD); the name is the same.
    name = normalize("NFC", f"{seed}/{class_name}/{image}")
    return blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
