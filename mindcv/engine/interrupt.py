"""Graceful shutdown: SIGINT and SIGTERM let the current step finish."""

import ctypes
import os
import signal
import socket
import threading
import time
import weakref
from types import FrameType, TracebackType

from mindcv import console

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# `timeout` signals the process and then its group: one request arrives twice, microseconds apart.
SAME_REQUEST_SECONDS = 0.1
# Intervals of checking whether MindSpore has replaced the SIGINT handler: normally, and at the start of a step.
GUARD_SECONDS = 0.05
HUNT_SECONDS = 0.0005
_HUNTS = 40


class Interruption:
    """During training, make the first SIGINT or SIGTERM a request; the second one ends the process at once.

        with Interruption() as interruption:
            for batch in batches:
                step(batch)
                if interruption.signum:
                    save, and leave with exit code 128 + interruption.signum

    The first one sets `signum` and prints a line to stderr; no exception is raised. The second one calls `os._exit`,
    without `finally` or `atexit`, so writing must be safe against a kill. Both work while the main thread is inside
    MindSpore, where Python runs no signal handlers until the step or compilation ends: Python writes the number of each
    signal to a socket, and a thread reads it.

    Python has signal handlers only in the main thread; entered in another one, this does nothing.

    In every step MindSpore 2.10 replaces the SIGINT handler by one that sends the process a SIGTERM. Ours is restored
    within about a millisecond, if `signum` is read after every step; a SIGINT in between counts as a SIGTERM.

    Args:
        computes_here: whether the main thread computes, as in Pynative mode. Then any signal handler that runs on it
            corrupts the heap in one of ten to a hundred cases (MindSpore 2.10, oneDNN's kernels), and the current step
            crashes. So the main thread blocks both signals, and the system delivers them to the reading thread;
            `setup_runtime` makes MindSpore's threads block them too. Programs started by `subprocess` inherit the mask;
            forked children do not.
    """

    def __init__(self, *, computes_here: bool = False) -> None:
        self._blocks = set(SIGNALS) if computes_here else set()
        self._signum: int | None = None
        self._reader: threading.Thread | None = None
        self._guarding = threading.Lock()

    @property
    def signum(self) -> int | None:
        """Number of the first signal, None before it arrives; final after the context. Read it every step."""
        if self._reader is not None:
            self._guard()
            self._sent.send(_HUNT)  # the next step begins now
        return self._signum

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is not threading.main_thread():
            return self
        received, self._sent = socket.socketpair()
        self._sent.setblocking(False)
        self._previous_fd = signal.set_wakeup_fd(self._sent.fileno(), warn_on_full_buffer=False)
        self._previous = {signum: signal.signal(signum, _do_nothing) for signum in SIGNALS}
        for signum in SIGNALS:
            signal.siginterrupt(signum, False)  # else a system call inside MindSpore would fail with EINTR
        self._installed = {signum: _get_action(signum) for signum in SIGNALS}
        self._blocks -= signal.pthread_sigmask(signal.SIG_BLOCK, self._blocks)
        _active.add(self)
        self._reader = threading.Thread(target=self._read_signals, args=(received,), name="signals", daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reader is None:
            return
        with self._guarding:
            self._restore()
        self._sent.close()  # the reader gets the remaining signals, then the end
        self._reader.join()
        self._reader = None

    def _restore(self) -> None:
        _active.discard(self)
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)
        signal.set_wakeup_fd(self._previous_fd)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._blocks)

    def _read_signals(self, received: socket.socket) -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        first, hunts = 0.0, 0
        with received:
            while True:
                received.settimeout(HUNT_SECONDS if hunts else GUARD_SECONDS)
                try:
                    numbers = received.recv(64)
                except TimeoutError:
                    hunts = 0 if self._guard() else max(0, hunts - 1)
                    continue
                if not numbers:
                    return
                if _HUNT in numbers:
                    hunts = _HUNTS
                for signum in numbers:
                    if signum not in SIGNALS:  # Python writes those of other handlers too
                        continue
                    if self._signum is None:
                        self._signum, first = signum, time.monotonic()
                        _announce(signum)
                    elif signum != self._signum or time.monotonic() - first > SAME_REQUEST_SECONDS:
                        os._exit(128 + signum)

    def _guard(self) -> bool:
        """Restore the handlers that MindSpore replaced below Python (2.10, both modes); return whether it did."""
        replaced = False
        with self._guarding:
            if self in _active:
                for signum, action in self._installed.items():
                    if _handler(_get_action(signum)) != _handler(action):
                        _set_action(signum, action)
                        replaced = True
        return replaced


_HUNT = b"\0"  # no signal has this number
_active: "weakref.WeakSet[Interruption]" = weakref.WeakSet()


def _leave_after_fork() -> None:
    """Restore the handlers in a forked child: it shares the socket, and its signals are not its parent's."""
    for interruption in list(_active):
        interruption._restore()
        interruption._reader = None


os.register_at_fork(after_in_child=_leave_after_fork)


def _do_nothing(signum: int, frame: FrameType | None) -> None:
    """Handle a signal for the reader's sake: Python reports only signals that have a handler."""


_libc = ctypes.CDLL(None)
_ACTION_SIZE = 512  # bytes, more than `struct sigaction` has anywhere


def _get_action(signum: int) -> bytes:
    action = ctypes.create_string_buffer(_ACTION_SIZE)
    _libc.sigaction(ctypes.c_int(signum), None, action)
    return action.raw


def _handler(action: bytes) -> bytes:
    """Return the address of the function, the first member; others may contain uninitialised bytes."""
    return action[: ctypes.sizeof(ctypes.c_void_p)]


def _set_action(signum: int, action: bytes) -> None:
    _libc.sigaction(ctypes.c_int(signum), ctypes.create_string_buffer(action, _ACTION_SIZE), None)


def _announce(signum: int) -> None:
    name = signal.Signals(signum).name
    console.tell_error(f"{name}: finishing the current step, then saving; another signal ends the process at once")
