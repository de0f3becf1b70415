"""Console output of scripts: lines, progress bars, and text that is safe on a terminal.

Output errors (a closed pipe, a full disk, a lost terminal) are not raised: they must not prevent a result from being
written to its file.
"""

import contextlib
import io
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from tqdm import tqdm
from tqdm.utils import ObjectWrapper

from mindcv.distributed import World

COLUMNS = 100  # width of our longest line and of the widest bar
_LINE_SECONDS = 60.0  # between two progress lines without a terminal
_REDRAW_SECONDS = 0.1
_lost: OSError | ValueError | None = None  # why a line could not be written to stdout
_speaks = True  # whether this process prints


def speak_for(world: World | None) -> None:
    """Let only the main one of several processes print, except for errors; None: let nobody."""
    global _speaks
    _speaks = world is not None and world.is_main


def say(text: str) -> None:
    """Print a text to stdout, above a progress bar if there is one, and flush."""
    global _lost
    stream = sys.stdout
    if stream is None or not _speaks:
        return
    try:
        tqdm.write(text, file=stream)
        stream.flush()
    except (OSError, ValueError) as error:  # ValueError: the stream is closed
        _lost = _lost or error


def warn(text: str) -> None:
    """Print a warning with `say`."""
    say(f"warning: {text}")


def tell_error(text: str) -> None:
    """Print a text to stderr, above a progress bar if there is one."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            tqdm.write(text, file=sys.stderr)
            sys.stderr.flush()


def printable(text: str) -> str:
    """Escape everything that would break a line or control the terminal; a file name may contain any byte."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def command(script: str, *arguments: str) -> str:
    """Return the command that runs a script of this checkout from the current folder with the current Python."""
    found = shutil.which("python")
    same = found and os.path.dirname(os.path.abspath(found)) == os.path.dirname(os.path.abspath(sys.executable))
    python = "python" if same or not sys.executable else _nearby(sys.executable)
    path = Path(__file__).parent.parent / script
    return shlex.join([python, _nearby(path) if path.exists() else script, *arguments])


def prepare_streams() -> None:
    """Make stdin, stdout and stderr usable for a script.

    A closed one becomes the null device: else the next opened file gets its number, and with it the messages that
    MindSpore's C++ code writes to stderr. Undecodable bytes of file names are escaped.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
            assert opened == number
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def finish() -> str | None:
    """Flush the streams. Call it last: afterwards a stream that could not be written is the null device.

    Returns:
        Why output was lost, or None. A reader that closed its pipe (`| head -1`) is no loss.
    """
    global _lost
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError) as error:
            if stream is sys.stdout:
                _lost = _lost or error
            _silence(stream)  # else the interpreter tries again at exit and fails with code 120
    lost, _lost = _lost, None
    if lost is None or isinstance(lost, BrokenPipeError):
        return None
    return getattr(lost, "strerror", None) or str(lost)


class Progress:
    """Progress of a loop: a bar if stderr is a terminal, else a line on stdout about once a minute.

        with Progress("validate", total=10, unit="batch") as progress:
            for batch in batches:
                ...
                progress.advance("3 bad")

    Args:
        title: name of the work.
        total: number of units; None if unknown.
        unit: name of a unit, in the singular.
        start: units that were done before.
        interval: units between two lines, which are then printed beside a bar as well.
        shown: False shows nothing.
        clock: time in seconds, with any origin.
        pace: expected seconds per unit, until measured.
        rest: pace -> seconds of the work after the loop, added to the time left.
    """

    def __init__(
        self,
        title: str,
        total: int | None,
        unit: str,
        *,
        start: int = 0,
        interval: int | None = None,
        shown: bool = True,
        clock: Callable[[], float] = time.perf_counter,
        pace: float | None = None,
        rest: Callable[[float], float] = lambda pace: 0.0,
    ) -> None:
        self.title, self.total, self.unit, self.count = title, total, unit, start
        self._start, self._interval, self._shown, self._clock = start, interval, shown, clock
        self.pace, self._rest = pace, rest
        form = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}{postfix}"
        self._bar = _draw_bar(shown, desc=title, total=total, initial=start, bar_format=form)

    def __enter__(self) -> "Progress":
        global _active
        self._outer, _active = _active, self
        self._first: float | None = None  # when the first unit was done
        self._said = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        global _active
        _active = self._outer
        self._bar.close()

    def advance(self, note: str = "") -> None:
        """Count a unit, and show a note beside it."""
        self.count += 1
        if self._first is None:
            self._first = self._clock()  # the first unit often takes longer and does not count for the pace
        else:
            self.pace = (self._clock() - self._first) / (self.count - self._start - 1)
        if not self._shown:
            return
        by_interval = self._interval is not None and self.count % self._interval == 0
        by_time = self._interval is None and not _seen() and time.monotonic() - self._said >= _LINE_SECONDS
        if self._bar.disable and not (by_interval or by_time):
            return
        left = ""
        if self.total is not None and self.pace is not None:
            left = f"{duration(self.pace * (self.total - self.count) + self._rest(self.pace))} left"
        text = ", ".join(filter(None, (note, left)))
        if by_interval or by_time:
            self._said = time.monotonic()
            done = f"{self.count:,}" if self.total is None else f"{self.count:,} of {self.total:,}"
            say(f"{self.title}, {self.unit} {done}: {text}" if text else f"{self.title}, {self.unit} {done}")
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update()

    def remark(self, text: str) -> bool:
        """Show a text in place of the note until the next unit; return whether there is a bar to show it."""
        if text:
            self._bar.set_postfix_str(text)
        return not self._bar.disable


_active: Progress | None = None  # the innermost loop


def byte_bar(title: str, total: int, start: int = 0) -> tqdm:
    """Return a bar for a download, shown if stderr is a terminal: tqdm's object, which pooch accepts."""
    return _draw_bar(True, desc=title, total=total, initial=start, unit="B", unit_scale=True)


def status(text: str) -> None:
    """Show the current activity beside the progress bar, or in a line that the next status replaces; "" clears it.

    Shown only if stderr is a terminal.
    """
    on_bar = _active is not None and _active.remark(text)
    if not on_bar and _speaks and watched():
        with contextlib.suppress(OSError, ValueError):
            width = _width() - 1
            sys.stderr.write(f"\r{text:{width}.{width}}" if text else f"\r{'':{width}}\r")
            sys.stderr.flush()


def watched() -> bool:
    """Return whether stderr is a terminal, where a bar can be drawn."""
    with contextlib.suppress(OSError, ValueError):
        return sys.stderr is not None and sys.stderr.isatty()
    return False


def duration(seconds: float) -> str:
    """Format seconds as "0:07", "12:34", "3:25:45" or "2 d 3:25:45"."""
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    text = f"{hours}:{minutes:02d}:{rest:02d}" if hours or days else f"{minutes}:{rest:02d}"
    return f"{days} d {text}" if days else text


class _Forgiving(ObjectWrapper):
    """A stream whose errors are ignored: tqdm itself ignores only a lost terminal."""

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._wrapped.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._wrapped.flush()

    def __eq__(self, other: object) -> bool:  # tqdm compares a bar's stream with the one it writes a line to
        return self._wrapped is getattr(other, "_wrapped", other)


def _draw_bar(shown: bool, **options: Any) -> tqdm:
    options |= {"leave": False, "mininterval": _REDRAW_SECONDS, "ncols": _width()}
    options["nrows"] = 20  # else tqdm draws nothing on a terminal that reports no rows
    if shown and _speaks and watched():
        with contextlib.suppress(OSError, ValueError):  # tqdm first flushes stdout and stderr
            return tqdm(file=_Forgiving(sys.stderr), **options)
    return tqdm(disable=True, **options)


def _width() -> int:
    return min(shutil.get_terminal_size().columns, COLUMNS)


def _seen() -> bool:
    """Return whether stdout and stderr are both terminals, so that a reader of stdout sees the bar."""
    with contextlib.suppress(OSError, ValueError):
        return watched() and sys.stdout is not None and sys.stdout.isatty()
    return False


def _silence(stream: TextIO) -> None:
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def _nearby(path: str | Path) -> str:
    """Return a path relative to the current folder if it is below it, else absolute."""
    relative = os.path.relpath(path)
    return os.path.abspath(path) if relative.startswith(os.pardir) else relative
