"""Renaming of weights from another tool, shared by the import tables. Pure NumPy."""

import re
from collections.abc import Callable, Iterable, Mapping

import numpy as np

# (pattern, replacement), as `re.sub` takes them.
Rule = tuple[str, str | Callable[[re.Match], str]]


def rename(names: Iterable[str], rules: Iterable[Rule]) -> dict[str, str]:
    """Map each name to its translation by the rules, applied in order."""
    rules = list(rules)
    renamed = {}
    for name in names:
        renamed[name] = name
        for pattern, replacement in rules:
            renamed[name] = re.sub(pattern, replacement, renamed[name])
    return renamed


def take(weights: Mapping[str, np.ndarray], names: Mapping[str, str], tool: str) -> dict[str, np.ndarray]:
    """Return the weights under our names.

    Args:
        weights: by the tool's names, without other entries.
        names: our name -> the tool's.
        tool: whose weights they are, for the message.
    Raises:
        ValueError: if a name on either side has no counterpart; the message lists both.
    """
    missing = sorted(set(names.values()) - weights.keys())
    unknown = sorted(weights.keys() - set(names.values()))
    if missing or unknown:
        raise ValueError(
            f"these {tool} weights do not belong to this network.\n"
            f"Missing from the weights: {', '.join(missing) or 'nothing'}.\n"
            f"Unknown to the network: {', '.join(unknown) or 'nothing'}."
        )
    return {name: np.asarray(weights[its_name]) for name, its_name in names.items()}
