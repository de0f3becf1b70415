"""Compilation time: shown while MindSpore compiles, and excluded from rates and estimates."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

from mindspore import nn

from mindcv import console

USUAL = "usually 10 to 60 s"
_TICK_SECONDS = 0.5
_SHOW_AFTER_SECONDS = 1.0  # a compilation is shown after this time: most calls find their graph at once


class _Clock:
    """Seconds that this process has spent in `nn.Cell.compile` within `compiling_shown`."""

    def __init__(self) -> None:
        self.total = 0.0
        self.since: float | None = None  # start of the compilation in progress
        self.loading = False  # whether it is read from the compile cache

    def now(self) -> float:
        since = self.since
        return self.total + (time.perf_counter() - since if since is not None else 0.0)


_clock = _Clock()


def clock() -> float:
    """Return the time in seconds, with any origin, of a clock that stops while MindSpore compiles."""
    return time.perf_counter() - _clock.now()


def loading_compiled_network() -> None:
    """Report that the compilation in progress loads a graph from the cache."""
    _clock.loading = True


@contextlib.contextmanager
def compiling_shown(*, kept: bool) -> Iterator[None]:
    """Within, show the seconds so far while a Cell called in Graph mode is compiled.

    Args:
        kept: whether the compiled network is cached for the next start.
    """
    done, plain = threading.Event(), nn.Cell.compile
    hint = f"{USUAL}, kept for the next start" if kept else USUAL

    def compile(cell: nn.Cell, *inputs: Any, **keywords: Any) -> None:
        if _clock.since is not None:  # a Cell within a Cell
            return plain(cell, *inputs, **keywords)
        _clock.since, _clock.loading = time.perf_counter(), False
        try:
            return plain(cell, *inputs, **keywords)
        finally:
            began, _clock.since = _clock.since, None
            _clock.total += time.perf_counter() - began

    def tick() -> None:
        shown = said = False
        while not done.wait(_TICK_SECONDS):
            since = _clock.since
            seconds = time.perf_counter() - since if since is not None else 0.0
            if seconds >= _SHOW_AFTER_SECONDS:
                what = "loading the compiled network" if _clock.loading else f"compiling the network, {hint}"
                shown = True
                console.status(f"{what}: {seconds:.0f} s")
                if not said and not _clock.loading and not console.watched():
                    said = True
                    console.say(what)
            elif shown:
                shown = False
                console.status("")
        if shown:
            console.status("")

    nn.Cell.compile = compile
    ticker = threading.Thread(target=tick, name="compiling", daemon=True)
    ticker.start()
    try:
        yield
    finally:
        nn.Cell.compile = plain
        done.set()
        ticker.join()
