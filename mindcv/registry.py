"""The registry of models, data sets, losses, optimizers and schedules by name."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from mindcv.nearest import did_you_mean


def unknown(kind: str, name: str, known: Sequence[str]) -> ValueError:
    """Return the error for an unknown name, with the nearest and all known ones."""
    return ValueError(f"unknown {kind} {name!r}.{did_you_mean(name, known)} Known: {', '.join(known)}.")


Entry = TypeVar("Entry", bound=Callable[..., Any])


class Registry(Generic[Entry]):
    """Maps names to callables of one kind.

    Args:
        kind: what the entries are, in the singular, for messages ("model").
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Entry] = {}

    def register(self, name: str | None = None) -> Callable[[Entry], Entry]:
        """Return a decorator that registers a callable under `name`, by default under its own name.

        Raises:
            ValueError: if the name is taken.
        """

        def enter(entry: Entry) -> Entry:
            key = name or entry.__name__
            if key in self._entries:
                raise ValueError(f"{self.kind} {key!r} is registered already; choose another name.")
            self._entries[key] = entry
            return entry

        return enter

    def get(self, name: str) -> Entry:
        """Return the entry called `name`.

        Raises:
            ValueError: if there is none; the message names the nearest ones.
        """
        if name not in self._entries:
            raise unknown(self.kind, name, self.names())
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        """All names, in the order of registration."""
        return iter(self._entries)

    def options(self, name: str) -> tuple[str, ...]:
        """The options that an entry uses: its keyword-only parameters."""
        return tuple(self._keywords(name))

    def default(self, name: str, option: str) -> Any:
        """An entry's own default of an option that it uses; None if it has none."""
        default = self._keywords(name)[option].default
        return None if default is inspect.Parameter.empty else default

    def _keywords(self, name: str) -> dict[str, inspect.Parameter]:
        parameters = inspect.signature(self.get(name)).parameters.values()
        return {parameter.name: parameter for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}

    def users(self, option: str) -> list[str]:
        """Names of the entries that use an option, in the order of registration."""
        return [name for name in self if option in self.options(name)]

    def names(self) -> list[str]:
        """Return all names, sorted."""
        return sorted(self._entries)
