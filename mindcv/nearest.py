"""Suggestions for mistyped names: the only place that decides which names are near enough."""

from collections.abc import Iterable

_LONGEST = 80  # characters compared
_MOST_NAMES = 3


def nearest(word: str, names: Iterable[str], *, parts: bool = True) -> list[str]:
    """Return at most three of `names` that `word` probably means, nearest first; none rather than a wrong one.

    Names are near within one edit per four letters: an insertion, deletion, substitution or swap. If there are none,
    names that contain the word or its singular ("epochs": "epoch_size"), or names of six letters or more that the word
    begins with ("randaugment": "randaug").

    Args:
        parts: whether such partial matches count. For file names they do not: "data" does not mean
            "assemble_data.py".
    """
    word = word.lower()[:_LONGEST]
    names = list(dict.fromkeys(names))
    allowed = len(word) // 4
    edits = {n: _edits(word, n.lower().rstrip("/")) for n in names if abs(len(n) - len(word)) <= allowed + 1}
    close = sorted((name for name in edits if edits[name] <= allowed), key=edits.__getitem__)
    if close or not parts:
        return [name for name in close if edits[name] == edits[close[0]]][:_MOST_NAMES]
    stem = word.removesuffix("s")
    within = [
        name
        for name in names
        if (len(stem) > 3 and stem in name.lower()) or (len(name) > 5 and word.startswith(name.lower()))
    ]
    return sorted(within, key=lambda name: not name.lower().startswith(stem))[:_MOST_NAMES]


def did_you_mean(word: str, names: Iterable[str], *, parts: bool = True) -> str:
    """Return the sentence to append to a message about an unknown word, or "": `` Did you mean 'x' or 'y'?``."""
    close = nearest(word, names, parts=parts)
    return f" Did you mean {' or '.join(map(repr, close))}?" if close else ""


def _edits(word: str, name: str) -> int:
    """Count the insertions, deletions, substitutions and swaps of neighbours that turn one into the other."""
    before, row = [], list(range(len(name) + 1))
    for i, letter in enumerate(word, 1):
        before, above, row = row, before, [i]
        for j, other in enumerate(name, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (letter != other)))
            if i > 1 and j > 1 and letter == name[j - 2] and word[i - 2] == other:
                row[j] = min(row[j], above[j - 2] + 1)
    return row[-1]
