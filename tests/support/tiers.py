"""The cases of a test that run by default, and those that run in `make test-full` only."""

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def full(values: Iterable[Any], *, by_default: Collection[Any] = ()) -> list[Any]:
    """The values as parameters of a test, all but `by_default` marked slow."""
    return [value if value in by_default else pytest.param(value, marks=pytest.mark.slow) for value in values]


# Graph mode in `make test-full` only, where compiling takes longer than all else and another test compiles the like.
_MODES = (pytest.param("graph", marks=pytest.mark.slow), "pynative")
COMPILED_LATER = pytest.mark.parametrize("mode", _MODES, indirect=True)


def in_both_modes(name: str, values: Iterable[Any], *, compiled: Collection[Any], by_default: Collection[Any]) -> Any:
    """Decorator: a test of the fixture `mode` and of one parameter, which runs with each value in both modes.

    Args:
        compiled: the values that run in Graph mode by default.
        by_default: those that run in Pynative mode by default.
    """
    defaults = {"graph": compiled, "pynative": by_default}
    cases = [
        pytest.param(mode, value, marks=[] if value in chosen else pytest.mark.slow)
        for mode, chosen in defaults.items()
        for value in values
    ]
    return pytest.mark.parametrize(("mode", name), cases, indirect=["mode"])


def slow(*values: Any) -> Any:
    """One case of several parameters, marked slow."""
    return pytest.param(*values, marks=pytest.mark.slow)
