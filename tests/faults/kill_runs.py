"""Small trainings with a kill or an error at chosen file operations.

A server process imports everything once and forks a process per attempt, before MindSpore has run an operator, so that
an attempt takes about a second. Run as a script, this file is the server.
"""

import json
import os
import re
import resource
import select
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MODEL = "kill_net"
HANG_SECONDS = 120  # an attempt takes one or two

# Python's audit events of file operations, except "open" -> their names here.
_OPERATIONS = {
    **{"os.rename": "rename", "os.remove": "unlink", "os.link": "link", "os.chmod": "chmod", "os.mkdir": "mkdir"},
    **{"os.rmdir": "rmdir", "os.truncate": "truncate"},
}
_USUAL = {
    "model": MODEL,
    "dataset": "digits",
    "device_target": "CPU",
    "image_resize": 8,
    "batch_size": 8,
    "num_samples": 32,
    "epoch_size": 3,
    "num_parallel_workers": 1,
    "drop_rate": 0.2,
    "drop_path_rate": 0.2,
    "ckpt_save_steps": 1,
    "lr": 0.05,
    "warmup_epochs": 0,
}


def command(folder: Path, **options: Any) -> list[str]:
    """The command line of a run of seconds; options replace the usual ones."""
    return [f"--{key}={value}" for key, value in {**_USUAL, "ckpt_save_dir": folder, **options}.items()]


@dataclass(frozen=True)
class Attempt:
    """Result of one process.

    Attributes:
        code: exit code, or minus the number of the signal that killed it.
        console: its output.
        events: its operations on files below the watched folder, in order; the last one may not have happened.
        seconds: time taken.
    """

    code: int
    console: str
    events: list[str]
    seconds: float


@dataclass
class Fault:
    """A fault of a process at file operations.

    Attributes:
        action: "kill": SIGKILL. "error": the operation fails. "limit": from then on, files cannot grow beyond `size`;
            "cut": as "limit", but the process dies in the middle of a write.
        match: a regular expression for whole events, such as "fsync .*".
        after: another one for the previous event.
        skip: number of matching events to skip first.
        count: number of matching events affected; None: all others.
        errno: of "error".
        size: bytes, of "limit" and "cut".
    """

    action: str
    match: str = ".*"
    after: str = ".*"
    skip: int = 0
    count: int | None = None
    errno: int = 0
    size: int = 0


class Runner:
    """The client of the server, a context manager."""

    def __enter__(self) -> "Runner":
        self._server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stdin.close()
        self._server.stdout.close()
        self._server.wait()

    def train(
        self, argv: list[str], watch: Path, *, fault: Fault | None = None, kill_after: float | None = None
    ) -> Attempt:
        """Run `train.py` with these arguments in a separate process.

        Args:
            watch: folder for whose files operations are recorded and faults happen.
            kill_after: seconds until a SIGKILL.
        """
        request = {"argv": argv, "watch": str(watch), "fault": fault and vars(fault), "kill_after": kill_after}
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        attempt = Attempt(**json.loads(self._server.stdout.readline()))
        assert attempt.seconds < HANG_SECONDS, f"hangs: {attempt.console}"
        return attempt


def serve() -> None:
    """Answer one request per line of stdin."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # no threads in a process that forks
    sys.path[:0] = [str(ROOT)]

    # isort: split
    from sklearn.datasets import load_digits

    import resume  # noqa: F401
    import train

    load_digits()
    _register()
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        answers.write(json.dumps(_attempt(train.main, **json.loads(line))) + "\n")
        answers.flush()


def _register() -> None:
    from mindspore import Tensor, nn, ops

    from mindcv.models.classifier import IMAGENET
    from mindcv.models.factory import MODELS
    from mindcv.models.layers import Dropout, DropPath

    class KillNet(nn.Cell):
        """Compiles in a second and has random layers, which are hard to resume."""

        default_cfg = IMAGENET

        def __init__(self, num_classes: int, in_channels: int, drop_rate: float, drop_path_rate: float) -> None:
            super().__init__()
            self.stem = nn.Conv2d(in_channels, 4, 3, stride=2, pad_mode="pad", padding=1)
            self.norm = nn.BatchNorm2d(4, momentum=0.9)
            self.drop_path = DropPath(drop_path_rate, 1)
            self.hidden = nn.Dense(64, 128)
            self.dropout = Dropout(drop_rate, 2)
            self.classifier = nn.Dense(128, num_classes)

        def construct(self, x: Tensor) -> Tensor:
            x = self.norm(self.stem(x))
            x = ops.relu(x + self.drop_path(x))
            x = ops.relu(self.hidden(x.reshape(x.shape[0], -1)))
            return self.classifier(self.dropout(x))

    MODELS.register(MODEL)(KillNet)


def _attempt(main: Any, argv: list[str], watch: str, fault: Any, kill_after: float | None) -> dict[str, Any]:
    pipes = {"console": os.pipe(), "events": os.pipe()}
    begin = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _become_run(main, argv, watch, fault and Fault(**fault), pipes["console"][1], pipes["events"][1])
    texts = {}
    for name, (read, write) in pipes.items():
        os.close(write)
        texts[read] = (name, [])
    is_open = set(texts)
    deadline = begin + (HANG_SECONDS if kill_after is None else kill_after)
    is_alive = True
    while is_open:
        ready, _, _ = select.select(is_open, [], [], max(0.0, deadline - time.monotonic()) if is_alive else None)
        if not ready:
            os.kill(pid, signal.SIGKILL)  # not waited for yet, so the pid is still valid
            is_alive = False
        for descriptor in ready:
            block = os.read(descriptor, 1 << 16)
            texts[descriptor][1].append(block)
            if not block:
                is_open.discard(descriptor)
                os.close(descriptor)
    _, status = os.waitpid(pid, 0)
    found = {name: b"".join(blocks).decode(errors="replace") for name, blocks in texts.values()}
    return {
        "code": os.waitstatus_to_exitcode(status),
        "console": found["console"],
        "events": found["events"].splitlines(),
        "seconds": time.monotonic() - begin,
    }


def _become_run(main: Any, argv: list[str], watch: str, fault: Fault | None, console: int, events: int) -> None:
    code = 70
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for descriptor, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(console, descriptor)
            setattr(sys, name, os.fdopen(descriptor, "w", buffering=1, closefd=False))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        watcher = Watcher(watch, fault, events)
        sys.addaudithook(watcher.hear)
        fsync = os.fsync
        os.fsync = lambda descriptor: (watcher.meet("fsync", descriptor), fsync(descriptor))[1]
        from mindcv.script import run_script

        run_script(main, argv)
    except SystemExit as exit:
        code = exit.code
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@dataclass
class Watcher:
    """Receives Python's audit events before every operation that changes a file below a folder.

    Writing to an open file raises no event; limits are used for that.
    """

    folder: str
    fault: Fault | None
    output: int
    seen: int = 0
    previous: str = ""

    def hear(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = args
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                self.meet("open", path)
        elif event in _OPERATIONS:
            self.meet(_OPERATIONS[event], *args[: 2 if event in ("os.rename", "os.link") else 1])

    def meet(self, operation: str, *files: Any) -> None:
        names = [self._name(file) for file in files]
        if None in names:
            return
        label = " ".join([operation, *names])
        os.write(self.output, f"{label}\n".encode())
        previous, self.previous = self.previous, label
        fault = self.fault
        if not fault or not re.fullmatch(fault.match, label) or not re.fullmatch(fault.after, previous):
            return
        self.seen += 1
        index = self.seen - 1 - fault.skip
        if index < 0:
            return
        if fault.count is not None and index >= fault.count:
            if fault.action == "limit":
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            return
        if fault.action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif fault.action == "error":
            where = [os.fspath(file) for file in files[:1] if not isinstance(file, int)]
            raise OSError(fault.errno, os.strerror(fault.errno), *where)
        else:
            if fault.action == "cut":
                signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_FSIZE, (fault.size, resource.RLIM_INFINITY))

    def _name(self, file: Any) -> str | None:
        """Return a file's name inside the folder; None if it is elsewhere."""
        path = os.readlink(f"/proc/self/fd/{file}") if isinstance(file, int) else os.fspath(file)
        if not isinstance(path, str) or not f"{path}/".startswith(f"{self.folder}/"):
            return None
        name = os.path.relpath(path, self.folder)
        return re.sub(r"^tmp\w+$", "tmp", name)


if __name__ == "__main__":
    serve()
