"""The registry of models, data sets, losses, optimizers and schedules by name."""

from collections.abc import Callable, Sequence
from typing import Any

from mindcv.nearest import did_you_mean


def unknown(kind: str, name: str, known: Sequence[str]) -> ValueError:
    """Return the error for an unknown name, with the nearest and all known ones."""
    return ValueError(f"unknown {kind} {name!r}.{did_you_mean(name, known)} Known: {', '.join(known)}.")


class Registry:
    """Maps names to callables of one kind.

    Args:
        kind: what the entries are, in the singular, for messages ("model").
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Callable[..., Any]] = {}

    def register(self, name: str | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Return a decorator that registers a callable under `name`, by default under its own name.

        Raises:
            ValueError: if the name is taken.
        """

        def enter(entry: Callable[..., Any]) -> Callable[..., Any]:
            key = name or entry.__name__
            if key in self._entries:
                raise ValueError(f"{self.kind} {key!r} is registered already; choose another name.")
            self._entries[key] = entry
            return entry

        return enter

    def get(self, name: str) -> Callable[..., Any]:
        """Return the entry called `name`.

        Raises:
            ValueError: if there is none; the message names the nearest ones.
        """
        if name not in self._entries:
            raise unknown(self.kind, name, self.names())
        return self._entries[name]

    def names(self) -> list[str]:
        """Return all names, sorted."""
        return sorted(self._entries)
