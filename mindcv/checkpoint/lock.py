"""One training run per folder."""

import contextlib
import errno
import fcntl
import json
import os
import socket
import tempfile
import threading
import time
import weakref
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

NAME = ".lock"
HEARTBEAT_SECONDS = 20
# A run elsewhere that has missed this many seconds of heartbeats is dead.
EXPIRY_SECONDS = 120
# Without flock two runs that start together both write their names; after this pause the last one stands.
SETTLE_SECONDS = 0.5
_NO_FLOCK = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK}


class FolderLock:
    """Holds a folder for one run; a second run that enters it is told who has it.

    On one machine `flock` decides: it ends with its process, however that ends, and no other process can look like it.
    Other machines of a shared file system, and containers, may not see it. They see the heartbeat, the modification
    time of the file `.lock`, by the clock of the file system. A host name alone blocks nobody: containers get a new one
    at every restart. Two runs that start within the same moment on two machines which do not share `flock` are not told
    apart.

    Args:
        folder: exists and can be written to.

    Attributes:
        took_over: a sentence for the user if a run left its lock behind, else None.

    Raises:
        ValueError: on entering, if another run has the folder: with its host, process and start time.
        OSError: on entering, if the folder cannot be written to.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.path = self.folder / NAME
        self.took_over: str | None = None
        self._descriptor: int | None = None

    def __enter__(self) -> "FolderLock":
        self.took_over = None
        self._descriptor = self._claim()
        _held.add(self)
        self._released = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="folder lock", daemon=True)
        self._heart.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is None:  # a forked child left the context that its parent had entered
            return
        self._released.set()
        self._heart.join()
        _held.discard(self)
        with contextlib.suppress(OSError):  # gone with its folder, or no longer ours to remove: it blocks nobody
            if _is_at(self._descriptor, self.path):
                self.path.unlink()
        os.close(self._descriptor)
        self._descriptor = None

    def _claim(self) -> int:
        """Return a descriptor of the file `.lock`, which holds the lock and names this run."""
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                locks = self._flock(descriptor)
                # Between opening and locking, a run that ended may have removed the file: then the lock is on nothing.
                if _is_at(descriptor, self.path):
                    self._check_nobody_lives(descriptor, locks)
                    run = _this_run()
                    _write(descriptor, run)
                    if not locks:
                        self._check_stands(descriptor, run)
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def _flock(self, descriptor: int) -> bool:
        """Lock the file; False on a file system that has no locks."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._refusal(_read_patiently(descriptor)) from None
        except OSError as error:
            if error.errno in _NO_FLOCK:
                return False
            raise
        return True

    def _check_nobody_lives(self, descriptor: int, locks: bool) -> None:
        run = _read(descriptor)
        if run is None:
            return
        is_here = run["host"] == socket.gethostname() and run.get("boot") == _boot()
        if is_here and not locks and run["ticks"] and run["ticks"] == _started(run["pid"]):
            raise self._refusal(run)  # even if its heart has stopped: a suspended process goes on one day
        left = EXPIRY_SECONDS - (self._clock() - os.fstat(descriptor).st_mtime)
        if left > 0 and not (is_here and locks):
            raise self._refusal(run, left)
        self.took_over = f"took over {self.folder} from a run that is no longer alive: {_describe(run)}"

    def _check_stands(self, descriptor: int, run: dict[str, Any]) -> None:
        time.sleep(SETTLE_SECONDS)
        written = _read_patiently(descriptor)
        if written != run:
            raise self._refusal(written)

    def _clock(self) -> float:
        """The time by the clock of the file system, which may be another machine's."""
        with tempfile.TemporaryFile(dir=self.folder) as probe:
            return os.fstat(probe.fileno()).st_mtime

    def _beat(self) -> None:
        while not self._released.wait(HEARTBEAT_SECONDS):
            with contextlib.suppress(OSError):  # a file system that is away for a while: the next beat will do
                os.utime(self.path)

    def _refusal(self, run: dict[str, Any] | None, left: float | None = None) -> ValueError:
        until = "Wait for it to end" + ("" if left is None else f" (if it is dead already: {left:.0f} s)")
        return ValueError(
            f"another run writes to {self.folder}{': ' + _describe(run) if run else ''}. {until}, or choose another "
            "--ckpt_save_dir."
        )


_held: "weakref.WeakSet[FolderLock]" = weakref.WeakSet()


def _let_go_after_fork() -> None:
    """A forked child must not hold the lock when its parent is dead, and never removes it."""
    for lock in list(_held):
        os.close(lock._descriptor)
        lock._descriptor = None


os.register_at_fork(after_in_child=_let_go_after_fork)


def _this_run() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "boot": _boot(),
        "pid": os.getpid(),
        "started": datetime.now().isoformat(sep=" ", timespec="seconds"),
        "ticks": _started(os.getpid()),
    }


def _describe(run: dict[str, Any]) -> str:
    return f"process {run['pid']} on host {run['host']}, started {run['started']}"


def _boot() -> str | None:
    """What tells this machine, since it was switched on, from all others, where the system says it.

    Containers of one machine have it in common, and `flock`, too.
    """
    with contextlib.suppress(FileNotFoundError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return None


def _started(pid: int) -> int | None:
    """When a process started, in clock ticks since the machine did; None if there is none or /proc is missing."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        # Field 22; the name, field 2, is in parentheses and may hold anything.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return None


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _write(descriptor: int, run: dict[str, Any]) -> None:
    text = json.dumps(run).encode()
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text, 0)


def _read(descriptor: int) -> dict[str, Any] | None:
    """The run that the file names; None if it names none, as after a crash of the machine."""
    try:
        run = json.loads(os.pread(descriptor, 4096, 0))
    except ValueError:
        return None
    return run if isinstance(run, dict) and {"host", "pid", "started", "ticks"} <= run.keys() else None


def _read_patiently(descriptor: int) -> dict[str, Any] | None:
    """As `_read`, for a file that its owner may be about to write."""
    for _ in range(20):
        run = _read(descriptor)
        if run is not None:
            return run
        time.sleep(0.02)
    return None
