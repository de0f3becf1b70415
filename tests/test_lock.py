"""One run per folder: which run gets the lock, the error of the others, and locks of dead processes."""

import errno
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from mindcv.checkpoint import lock as lock_module
from mindcv.checkpoint.lock import EXPIRY_SECONDS, FolderLock

ROOT = Path(__file__).parent.parent
# The module alone: `import mindcv.checkpoint` would import MindSpore, which takes seconds per process.
LOAD = f"""
import importlib.util, os, sys, time
spec = importlib.util.spec_from_file_location("lock", {str(ROOT / "mindcv/checkpoint/lock.py")!r})
lock = importlib.util.module_from_spec(spec)
spec.loader.exec_module(lock)
"""
HOLD = LOAD + "\nwith lock.FolderLock(sys.argv[1]):\n    print('holds', flush=True)\n    sys.stdin.read()\n"


def start(code, *arguments):
    line = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def holder(tmp_path):
    """Another process that holds `tmp_path`."""
    process = start(HOLD, tmp_path)
    assert process.stdout.readline() == "holds\n"
    yield process
    process.kill()
    process.communicate()


def left_behind(folder, *, age=0.0, **changes):
    """Write the lock that a run has left `age` seconds ago."""
    run = lock_module._this_run() | {"pid": 4194305, "ticks": 1} | changes  # a pid above Linux' largest
    path = folder / ".lock"
    path.write_text(json.dumps(run))
    os.utime(path, (time.time() - age,) * 2)
    return run


@pytest.fixture
def no_flock(monkeypatch):
    def flock(descriptor, operation):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.setattr(lock_module, "SETTLE_SECONDS", 0.05)


def test_the_error_of_a_second_run_names_the_owner_of_the_folder(holder, tmp_path):
    with pytest.raises(ValueError) as caught, FolderLock(tmp_path):
        pass
    pattern = (
        rf"another run writes to {re.escape(str(tmp_path))}: process {holder.pid} on host "
        rf"{re.escape(socket.gethostname())}, started \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d\. "
        r"Wait for it to end, or choose another --ckpt_save_dir\."
    )
    assert re.fullmatch(pattern, str(caught.value))


def test_a_folder_is_unlocked_after_the_run_and_the_lock_file_removed(tmp_path):
    for _ in range(2):
        with FolderLock(tmp_path) as lock:
            assert [path.name for path in tmp_path.iterdir()] == [".lock"]
        assert lock.took_over is None
        assert not any(tmp_path.iterdir())


def test_a_rejected_run_does_not_change_the_lock(holder, tmp_path):
    before = (tmp_path / ".lock").read_text(), (tmp_path / ".lock").stat().st_mtime_ns
    for _ in range(2):
        with pytest.raises(ValueError, match="another run"), FolderLock(tmp_path):
            pass
    assert ((tmp_path / ".lock").read_text(), (tmp_path / ".lock").stat().st_mtime_ns) == before
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_one_process_cannot_enter_twice(tmp_path):
    with FolderLock(tmp_path):
        with pytest.raises(ValueError, match=f"process {os.getpid()} on"), FolderLock(tmp_path):
            pass
        assert (tmp_path / ".lock").exists()


def test_the_lock_of_a_killed_process_is_taken_over_at_once_and_reported(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / ".lock").exists()
    with FolderLock(tmp_path) as lock:
        assert f"no longer alive: process {holder.pid} on host" in lock.took_over
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()


def test_a_reused_process_number_does_not_look_like_the_dead_run(tmp_path):
    left_behind(tmp_path, pid=os.getppid(), ticks=lock_module._started(os.getppid()))
    with FolderLock(tmp_path) as lock:
        assert lock.took_over


def test_a_forked_child_neither_keeps_the_lock_alive_nor_removes_it(tmp_path):
    fork = """
with lock.FolderLock(sys.argv[1]):
    if os.fork() == 0:
        os.setsid()
    else:
        print("holds", flush=True)
        sys.stdin.read()
# Only the child comes here while the parent holds: it has left the context.
print(os.getpid(), os.path.exists(os.path.join(sys.argv[1], ".lock")), flush=True)
time.sleep(60)
"""
    process = start(LOAD + fork, tmp_path)
    lines = sorted([process.stdout.readline().strip(), process.stdout.readline().strip()])
    child, still_there = lines[0].split()
    assert (lines[1], still_there) == ("holds", "True")
    with pytest.raises(ValueError, match=f"process {process.pid} on"), FolderLock(tmp_path):
        pass
    process.kill()
    process.wait()
    with FolderLock(tmp_path) as lock:
        assert lock.took_over
        os.kill(int(child), signal.SIGKILL)  # it was alive all the time
    process.communicate()


@pytest.mark.parametrize("stale", [False, True], ids=["empty folder", "stale lock"])
def test_exactly_one_of_several_simultaneous_runs_gets_the_lock(tmp_path, stale):
    contend = """
folder, rounds = sys.argv[1], int(sys.argv[2])
for line in sys.stdin:
    try:
        with lock.FolderLock(folder):
            print("won", flush=True)
            sys.stdin.readline()
        print("left", flush=True)
    except ValueError:
        print("lost", flush=True)
"""
    rivals = [start(LOAD + contend, tmp_path, 0) for _ in range(5)]
    for _ in range(12):
        if stale:
            left_behind(tmp_path)
        for rival in rivals:
            rival.stdin.write("go\n")
            rival.stdin.flush()
        answers = [rival.stdout.readline().strip() for rival in rivals]
        assert sorted(answers) == ["lost"] * 4 + ["won"]
        winner = rivals[answers.index("won")]
        winner.stdin.write("stop\n")
        winner.stdin.flush()
        assert winner.stdout.readline() == "left\n"
    for rival in rivals:
        rival.communicate()


def test_no_two_runs_are_inside_while_others_come_and_go(tmp_path):
    """The race of removing a lock: a file that was opened before its removal and locked after is not a lock."""
    storm = """
won, end = 0, time.monotonic() + float(sys.argv[2])
inside = os.path.join(sys.argv[1], "inside")
while time.monotonic() < end:
    try:
        with lock.FolderLock(sys.argv[1]):
            os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
            os.unlink(inside)
            won += 1
    except ValueError:
        pass
print(won)
"""
    rivals = [start(LOAD + storm, tmp_path, 1.5) for _ in range(4)]
    wins = [int(rival.communicate()[0] or -1) for rival in rivals]
    assert [rival.returncode for rival in rivals] == [0] * 4
    assert sum(wins) > 20


@pytest.mark.parametrize("locks", [True, False], ids=["flock", "no flock"])
def test_a_run_on_another_host_blocks_while_its_heartbeat_is_recent(tmp_path, locks, request):
    if not locks:
        request.getfixturevalue("no_flock")
    left_behind(tmp_path, host="far", pid=77, started="2026-11-24 12:01:03", age=35)
    with pytest.raises(ValueError) as caught, FolderLock(tmp_path):
        pass
    found = re.search(
        r"process 77 on host far, started 2026-11-24 12:01:03\. "
        r"Wait for it to end \(if it is dead already: (\d+) s\), or choose another --ckpt_save_dir\.$",
        str(caught.value),
    )
    assert EXPIRY_SECONDS - 45 <= int(found[1]) <= EXPIRY_SECONDS - 35


@pytest.mark.parametrize("locks", [True, False], ids=["flock", "no flock"])
def test_the_lock_of_a_run_on_another_host_without_heartbeat_is_taken_over(tmp_path, locks, request):
    if not locks:
        request.getfixturevalue("no_flock")
    left_behind(tmp_path, host="far", pid=77, age=EXPIRY_SECONDS + 5)
    with FolderLock(tmp_path) as lock:
        assert "process 77 on host far" in lock.took_over


def test_a_system_without_proc_relies_on_the_heartbeat(tmp_path, no_flock, monkeypatch):
    monkeypatch.setattr(lock_module, "_started", lambda pid: None)
    left_behind(tmp_path, ticks=None, age=EXPIRY_SECONDS + 5)
    with FolderLock(tmp_path) as lock:
        assert lock.took_over


def test_a_rebooted_machine_counts_as_another_machine(tmp_path):
    left_behind(tmp_path, boot="before")
    with pytest.raises(ValueError, match="if it is dead already"), FolderLock(tmp_path):
        pass


def test_ages_are_measured_by_the_clock_of_the_file_system(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 0.0)
    path = tmp_path / ".lock"
    with FolderLock(tmp_path):
        run = json.loads(path.read_text())
    path.write_text(json.dumps(run | {"host": "far"}))
    with pytest.raises(ValueError, match=r"host far.*dead already: 1[12][0-9] s"), FolderLock(tmp_path):
        pass


def test_the_heartbeat_is_updated(tmp_path, monkeypatch):
    monkeypatch.setattr(lock_module, "HEARTBEAT_SECONDS", 0.02)
    with FolderLock(tmp_path):
        path = tmp_path / ".lock"
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 10
        while path.stat().st_mtime < 1e9:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_without_flock_a_live_local_process_blocks_even_without_heartbeat(tmp_path, no_flock):
    left_behind(tmp_path, pid=os.getpid(), ticks=lock_module._started(os.getpid()), age=1e6)
    with pytest.raises(ValueError, match=f"process {os.getpid()} "), FolderLock(tmp_path):
        pass


def test_without_flock_the_last_of_two_simultaneous_runs_gets_the_lock(tmp_path, no_flock, monkeypatch):
    def overtaken(seconds):
        left_behind(tmp_path, host="far", pid=77)

    monkeypatch.setattr(lock_module, "time", type("Time", (), {"sleep": staticmethod(overtaken)}))
    with pytest.raises(ValueError, match="process 77 on host far"), FolderLock(tmp_path):
        pass
    assert json.loads((tmp_path / ".lock").read_text())["pid"] == 77


@pytest.mark.parametrize("text", ["", "\0\0\0\0", "[]", '{"pid": 3}'])
def test_a_lock_without_an_owner_does_not_block(tmp_path, text):
    (tmp_path / ".lock").write_text(text)
    with FolderLock(tmp_path) as lock:
        assert lock.took_over is None


def test_unlocking_a_folder_that_is_gone_or_has_a_new_owner_changes_nothing(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    with FolderLock(folder):
        (folder / ".lock").unlink()
        folder.rmdir()
    assert not folder.exists()
    with FolderLock(tmp_path):
        (tmp_path / ".lock").unlink()
        left_behind(tmp_path, pid=77)
    assert json.loads((tmp_path / ".lock").read_text())["pid"] == 77


def test_a_read_only_folder_is_an_os_error():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o555)
        is_root = os.geteuid() == 0  # for whom permissions do not apply
        if is_root:
            os.seteuid(65534)
        try:
            with pytest.raises(PermissionError), FolderLock(folder):
                pass
        finally:
            if is_root:
                os.seteuid(0)
