"""A lock that keeps a folder to one training run."""

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
# A run on another machine without a heartbeat for this long counts as dead.
EXPIRY_SECONDS = 120
# Without flock, two runs that start together both write their names; after this pause the last one has the lock.
SETTLE_SECONDS = 0.5
_NO_FLOCK = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK}


class FolderLock:
    """Lock a folder for one run; for a second run, entering is an error that names the first.

    On one machine `flock` decides: the system releases it when the process ends. Other machines that share the file
    system, and containers, may not see it. They use the heartbeat: the modification time of the file `.lock`, by the
    clock of the file system. A host name alone does not block: containers get a new one at every restart. Runs
    that start at the same moment on two machines without a shared `flock` are not detected.

    Args:
        folder: must exist and be writable.

    Attributes:
        took_over: a sentence for the user if a dead run left its lock, else None.

    Raises:
        ValueError: on entering, if another run has the folder, with its host, process and start time.
        OSError: on entering, if the folder is not writable.
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
        if self._descriptor is None:  # in a forked child
            return
        self._released.set()
        self._heart.join()
        _held.discard(self)
        with contextlib.suppress(OSError):  # a file that cannot be removed does not block another run
            if _is_at(self._descriptor, self.path):
                self.path.unlink()
        os.close(self._descriptor)
        self._descriptor = None

    def _claim(self) -> int:
        """Return a descriptor of the file `.lock`, locked and with the name of this run."""
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                locks = self._flock(descriptor)
                # A run that ended between our opening and locking has removed the file: try again.
                if _is_at(descriptor, self.path):
                    self._check_not_held(descriptor, locks)
                    run = _this_run()
                    _write(descriptor, run)
                    if not locks:
                        self._check_still_ours(descriptor, run)
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

    def _check_not_held(self, descriptor: int, locks: bool) -> None:
        run = _read(descriptor)
        if run is None:
            return
        is_here = run["host"] == socket.gethostname() and run.get("boot") == _boot()
        if is_here and not locks and run["ticks"] and run["ticks"] == _started(run["pid"]):
            raise self._refusal(run)  # even without a heartbeat: a suspended process may continue
        left = EXPIRY_SECONDS - (self._clock() - os.fstat(descriptor).st_mtime)
        if left > 0 and not (is_here and locks):
            raise self._refusal(run, left)
        self.took_over = f"took over {self.folder} from a run that is no longer alive: {_describe(run)}"

    def _check_still_ours(self, descriptor: int, run: dict[str, Any]) -> None:
        time.sleep(SETTLE_SECONDS)
        written = _read_patiently(descriptor)
        if written != run:
            raise self._refusal(written)

    def _clock(self) -> float:
        """Return the time by the clock of the file system, which may be another machine's."""
        with tempfile.TemporaryFile(dir=self.folder) as probe:
            return os.fstat(probe.fileno()).st_mtime

    def _beat(self) -> None:
        while not self._released.wait(HEARTBEAT_SECONDS):
            with contextlib.suppress(OSError):  # the file system may be unavailable for a while
                os.utime(self.path)

    def _refusal(self, run: dict[str, Any] | None, left: float | None = None) -> ValueError:
        until = "Wait for it to end" + ("" if left is None else f" (if it is dead already: {left:.0f} s)")
        return ValueError(
            f"another run writes to {self.folder}{': ' + _describe(run) if run else ''}. {until}, or choose another "
            "--ckpt_save_dir."
        )


_held: "weakref.WeakSet[FolderLock]" = weakref.WeakSet()


def _release_after_fork() -> None:
    """Close the lock in a forked child: it must not hold the lock after its parent's death, nor remove it."""
    for lock in list(_held):
        if lock._descriptor is not None:
            os.close(lock._descriptor)
        lock._descriptor = None


os.register_at_fork(after_in_child=_release_after_fork)


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
    """Return an id of this machine and boot, None if there is none; containers share it, as they share `flock`."""
    with contextlib.suppress(FileNotFoundError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return None


def _started(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None if there is no such process or no /proc."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        # Field 22; field 2, the name, is in parentheses and may contain anything.
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
    """Return the run that the file names; None if it names none, as after a crash of the machine."""
    try:
        run = json.loads(os.pread(descriptor, 4096, 0))
    except ValueError:
        return None
    return run if isinstance(run, dict) and {"host", "pid", "started", "ticks"} <= run.keys() else None


def _read_patiently(descriptor: int) -> dict[str, Any] | None:
    """Read as `_read`, but wait for an owner that has not written the file yet."""
    for _ in range(20):
        run = _read(descriptor)
        if run is not None:
            return run
        time.sleep(0.02)
    return None
