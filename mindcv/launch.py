"""Starts the processes of one training on this machine: `train.py --processes=N`."""

import contextlib
import ctypes
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import IO

from mindcv import console
from mindcv.distributed import ALONE, LAUNCHER, is_launched, speaks_before_joining

_POLL_SECONDS = 0.1
# After one process has ended with an error the others would wait for it; this long they may end with the same error.
_GRACE_SECONDS = 10.0
# After the main one has ended well.
_END_SECONDS = 60.0
# `timeout` signals the process and then its group: one request arrives twice.
_SAME_REQUEST_SECONDS = 0.1
_FOREVER_SECONDS = 10**7
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SHOWN_LINES = 20  # of what a process wrote before it failed
_PR_SET_PDEATHSIG = 1  # of prctl: the signal that a process gets when its parent ends


def launch(size: int, command: Sequence[str] = ()) -> int:
    """Run this program again in `size` processes that train together, and wait for them; returns the exit code.

    The first process has the terminal. What another writes is shown if it is the first to fail. The first SIGINT or
    SIGTERM is passed on to all; the second ends all at once. Ctrl-Z suspends all. They also end with this process,
    however it ends.

    Args:
        command: what each of them runs instead of the command line of this process. It calls `prepare_process` and
            `mindcv.runtime.join`.
    """
    command = command or [sys.executable, *sys.orig_argv[1:]]
    environment = {
        **os.environ,
        LAUNCHER: str(os.getpid()),
        "MS_WORKER_NUM": str(size),
        "MS_SCHED_HOST": "127.0.0.1",
        "MS_SCHED_PORT": str(_free_port()),
        # This process watches the others. MindSpore's own watch ends all if one is suspended for 30 s.
        "MS_NODE_TIMEOUT": str(_FOREVER_SECONDS),
    }

    def start(role: str, rank: int, output: IO[bytes] | int | None) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            env={**environment, "MS_ROLE": role, "MS_NODE_ID": str(rank)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C reaches only this process, which passes it on
        )

    with contextlib.ExitStack() as stack:
        asked = stack.enter_context(_signals_noted(*_SIGNALS))
        suspended = stack.enter_context(_signals_noted(signal.SIGTSTP))
        texts = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(1, size)]
        workers = [start("MS_WORKER", rank, output) for rank, output in enumerate([None, *texts])]
        meeting = start("MS_SCHED", 0, subprocess.DEVNULL)
        try:
            first = _wait(workers, meeting, asked, suspended)
            codes = [worker.poll() for worker in workers]
        finally:
            for process in (*workers, meeting):
                process.kill()
                process.wait()
        if first is None:
            return 0
        code = codes[first]
        if not code:  # a second signal
            return 128 + asked[-1]
        if asked and codes[0] in (None, -asked[0]):
            name = signal.Signals(asked[0]).name
            console.tell_error(f"{name}: ended at once; --resume continues from the last checkpoint, if there is one")
            return 128 + asked[0]
        if first > 0 or code < 0:
            _explain(first, size, code, texts[first - 1] if first else None)
        return code if code > 0 else 128 - code


def prepare_process() -> None:
    """Do what each process does first: be silent unless it is the main one, and end with its launcher (Linux)."""
    console.speak_for(ALONE if speaks_before_joining() else None)
    if not is_launched():
        return
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(os.environ[LAUNCHER]):  # it has ended already
        os._exit(128 + signal.SIGKILL)


def _wait(
    workers: Sequence[subprocess.Popen[bytes]],
    meeting: subprocess.Popen[bytes],
    asked: Sequence[int],
    suspended: list[int],
) -> int | None:
    """Wait until all have ended, waiting is useless or a second signal comes; return the first to fail, or None.

    If one has ended, the others do, too, or wait for it forever.

    Raises:
        OSError: if the process that brings them together has failed.
    """
    passed_on = False
    first, deadline = None, math.inf
    while any(worker.poll() is None for worker in workers):
        time.sleep(_POLL_SECONDS)
        if len(asked) > 1:
            return 0
        if suspended:
            suspended.clear()
            _suspend([*workers, meeting])
        if asked and not passed_on:
            passed_on = True
            for worker in workers:
                worker.send_signal(asked[0])
        apart = meeting.poll()  # before the others: it ends when they have
        ended = [rank for rank, worker in enumerate(workers) if worker.poll() is not None]
        if first is None:
            first = next((rank for rank in ended if workers[rank].returncode), None)
            if first is not None:
                deadline = time.monotonic() + _GRACE_SECONDS
        if ended and deadline == math.inf:
            deadline = time.monotonic() + _END_SECONDS
        if apart and not ended:
            raise OSError(
                "MindSpore's scheduler, which keeps the processes together, has ended, so they were ended. --resume "
                "continues from the last checkpoint, if there is one."
            )
        if time.monotonic() > deadline:
            break
    # Several may have failed for the same reason: the main one has said it.
    failed = [rank for rank, worker in enumerate(workers) if worker.returncode]
    return 0 if 0 in failed else first if first is not None else next(iter(failed), None)


def _suspend(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Stop these processes and this one, and continue them when this one is continued."""
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    os.kill(os.getpid(), signal.SIGSTOP)
    for process in processes:
        process.send_signal(signal.SIGCONT)


def _explain(rank: int, size: int, code: int, text: IO[bytes] | None) -> None:
    lines = []
    if text is not None:
        text.seek(0)
        lines = text.read().decode(errors="replace").rstrip().splitlines()
    how = f"ended with exit code {code}" if code > 0 else f"was ended by {signal.Signals(-code).name}"
    said = [console.printable(line) for line in lines[-_SHOWN_LINES:]]
    console.tell_error("\n".join([f"error: process {rank} of 0 to {size - 1} {how}; the others were ended", *said]))


@contextlib.contextmanager
def _signals_noted(*signums: int) -> Iterator[list[int]]:
    """Note each of these signals in a list, instead of ending or stopping."""
    noted: list[int] = []
    when = -math.inf

    def note(signum: int, frame: FrameType | None) -> None:
        nonlocal when
        again = bool(noted) and signum == noted[-1] and time.monotonic() - when <= _SAME_REQUEST_SECONDS
        when = time.monotonic()
        if not again:
            noted.append(signum)

    before = {signum: signal.signal(signum, note) for signum in signums}
    try:
        yield noted
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
