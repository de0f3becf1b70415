"""The prefix that a wrapper gave to all names of a network's weights."""

import os
import re
from collections.abc import Iterable

# How the names of this package begin, then those of timm and MindCV.
_KNOWN = re.compile(r"(stem|stages|classifier|conv1|bn1|layer\d+|fc)\.")
_PARTS = {"backbone", "head"}  # the two parts of a classifier in mmpretrain, each with a prefix of its own


def is_known(name: str) -> bool:
    """Whether a name begins as one of this package, of timm or of MindCV does."""
    return _KNOWN.match(name) is not None


def without_prefix(names: Iterable[str]) -> tuple[list[str], str]:
    """Names without what all of them begin with, if not one is known with it and some are known without.

    That is what Lightning ("model.", "net."), mmpretrain ("backbone." and "head."), Sequential ("0."), DDP ("module.")
    torch.compile ("_orig_mod.") and an average of the weights ("ema.") leave, or several of them.

    Returns:
        The names in the given order, and what was taken off; "" if nothing was.
    """
    names = list(names)
    shared = os.path.commonprefix(names)  # noqa: RUF071 (character by character is what is meant)
    for start in (0, *(dot.end() for dot in re.finditer(r"\.", shared))):
        short, prefix = [name[start:] for name in names], shared[:start]
        if {name.partition(".")[0] for name in short} == _PARTS:
            short = [name.partition(".")[2] for name in short]
            prefix = " and ".join(f"{shared[:start]}{part}." for part in sorted(_PARTS))
        if any(map(is_known, short)) and len(set(short)) == len(short):
            return short, prefix
    return names, ""
