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


def slow(*values: Any) -> Any:
    """One case of several parameters, marked slow."""
    return pytest.param(*values, marks=pytest.mark.slow)
