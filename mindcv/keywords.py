"""Names that MindCV gives the arguments of our functions."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def also_called(
    renamed: Mapping[str, str],
    elsewhere: Mapping[str, tuple[Any, str]] | None = None,
    *,
    first: str | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function take MindCV's keywords as well: `@also_called({"model_name": "name"})`.

    Args:
        renamed: MindCV's keyword -> ours, which means the same.
        elsewhere: MindCV's keyword without a counterpart in this function -> the value that is accepted because it is
            what happens here anyway (None is, too), and a sentence on what to do for others.
        first: MindCV's first argument, a whole number, where ours is not one.
        defaults: MindCV's defaults of arguments that we require; they apply if one of its keywords is used.

    Raises:
        ValueError: by the decorated function, for both names of one argument, or a keyword of `elsewhere` with another
            value than the accepted one.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: Any, **keywords: Any) -> R:
            if first and args and isinstance(args[0], int):
                keywords[first], args = args[0], args[1:]
            if defaults and not renamed.keys().isdisjoint(keywords):
                theirs_of = {ours: theirs for theirs, ours in renamed.items()}
                missing = [key for key in defaults if key not in keywords and theirs_of.get(key) not in keywords]
                keywords |= {key: defaults[key] for key in missing}
            for theirs, ours in renamed.items():
                if theirs in keywords:
                    if ours in keywords:
                        raise ValueError(f"{function.__name__}: {theirs} and {ours} are one argument: give one.")
                    keywords[ours] = keywords.pop(theirs)
            for theirs, (accepted, sentence) in (elsewhere or {}).items():
                refuse_unless(accepted, keywords.pop(theirs, accepted), f"{function.__name__}: {theirs}", sentence)
            return function(*args, **keywords)

        return call

    return decorate


def refuse_unless(accepted: Any, value: Any, name: str, sentence: str) -> None:
    """Raise ValueError with what to do instead, unless a value of MindCV's is None or the accepted one."""
    if value is not None and value != accepted:
        raise ValueError(f"{name}={value!r} is not available here: {sentence}.")
