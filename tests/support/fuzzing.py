"""Random inputs of fuzz tests: the same in every run; with MINDCV_FUZZ=20, 20 times as many, new in every run.

`python tests/support/fuzzing.py` lists how many inputs each fuzz test gets.
"""

import importlib
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings

SCALE = int(os.environ.get("MINDCV_FUZZ", "1"))
INPUTS: Counter[str] = Counter()  # fuzz test -> maximum number of inputs
LONGEST_MESSAGE = 4000  # characters; an error may name twenty keys of a MindCV recipe


def fuzz(examples: int) -> Callable[[Any], Any]:
    """Give a hypothesis test this many inputs, times MINDCV_FUZZ."""

    def decorate(test: Any) -> Any:
        INPUTS[f"{Path(test.__code__.co_filename).name}: {test.__name__}"] = examples * SCALE
        checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
        return settings(
            max_examples=examples * SCALE,
            derandomize=SCALE == 1,
            database=None,
            deadline=None,
            suppress_health_check=checks,
        )(test)

    return decorate


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Make a hang a failure."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def refusal(call: Callable[[], Any]) -> tuple[Any, str | None]:
    """The result of `call` and None, or None and the message of a ValueError; nothing else may be raised."""
    try:
        with time_limit(30):
            return call(), None
    except ValueError as error:
        assert not isinstance(error, UnicodeError), f"{error!r} is no sentence"
        message = str(error)
        assert message.strip() and len(message) <= LONGEST_MESSAGE, f"{len(message)} characters: {message[:200]}"
        return None, message


def main() -> None:
    folder = Path(__file__).parents[1]
    sys.path[:0] = [str(folder), str(folder.parent), str(folder / "support"), str(folder / "faults")]
    for path in sorted((folder / "faults").glob("test_fuzz_*.py")):
        importlib.import_module(path.stem)
    inputs = sys.modules["fuzzing"].INPUTS
    for name, count in inputs.items():
        print(f"{count:7,}  {name}")
    print(f"{inputs.total():7,}  in all")


if __name__ == "__main__":
    main()
