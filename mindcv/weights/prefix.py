"""Removal of a prefix that a wrapper added to the names of a network's weights."""

import os
import re
from collections.abc import Iterable

# Beginnings of the names of this package, then of timm and MindCV.
_KNOWN = re.compile(r"(stem|stages|classifier|conv1|bn1|layer\d+|fc)\.")
_PARTS = {"backbone", "head"}  # the two parts of a classifier in mmpretrain, each with its own prefix


def is_known(name: str) -> bool:
    """Return whether a name begins like those of this package, of timm or of MindCV."""
    return _KNOWN.match(name) is not None


def without_prefix(names: Iterable[str]) -> tuple[list[str], str]:
    """Remove the common prefix of all names, if no name is known with it and some are known without it.

    Such prefixes come from Lightning ("model.", "net."), mmpretrain ("backbone." and "head."), Sequential ("0."), DDP
    ("module."), torch.compile ("_orig_mod."), an average of the weights ("ema."), or several of them.

    Returns:
        The names in the given order, and the prefix that was removed, or "".
    """
    names = list(names)
    shared = os.path.commonprefix(names)  # noqa: RUF071 (character by character)
    for start in (0, *(dot.end() for dot in re.finditer(r"\.", shared))):
        short, prefix = [name[start:] for name in names], shared[:start]
        if {name.partition(".")[0] for name in short} == _PARTS:
            short = [name.partition(".")[2] for name in short]
            prefix = " and ".join(f"{shared[:start]}{part}." for part in sorted(_PARTS))
        if any(map(is_known, short)) and len(set(short)) == len(short):
            return short, prefix
    return names, ""
