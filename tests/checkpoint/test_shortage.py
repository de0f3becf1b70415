"""A checkpoint that cannot be read for lack of memory, permission or a working disk is not called damaged."""

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from mindcv.checkpoint import CheckpointStore, read_checkpoint, save_checkpoint
from mindcv.checkpoint import file as checkpoint_file

WEIGHTS = {"w": np.arange(3, dtype=np.float32)}
SHORTAGES = {
    "memory": MemoryError(),
    "memory to map": OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
    "file descriptors": OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
    "permission": PermissionError(errno.EACCES, os.strerror(errno.EACCES)),
    "a working disk": OSError(errno.EIO, os.strerror(errno.EIO)),
}


@pytest.fixture
def store(tmp_path):
    """A run's folder with last, previous and best."""
    store = CheckpointStore(tmp_path, "m")
    for epoch in (1, 2):
        info = {"epoch": epoch, "metrics": {}, "training": {"progress": {"epoch": epoch}}}
        store.save(WEIGHTS, info, {"moments.w": np.ones(3, np.float32)}, epoch=epoch, is_best=True, is_final=False)
    return store


def without(monkeypatch, what, path):
    """Make reading one file fail."""
    read = checkpoint_file.read_arrays

    def fail(file):
        if Path(file.name) == path:
            raise SHORTAGES[what]
        return read(file)

    monkeypatch.setattr(checkpoint_file, "read_arrays", fail)


@pytest.mark.parametrize("what", SHORTAGES)
def test_a_run_does_not_resume_from_an_older_checkpoint_for_lack_of(what, store, monkeypatch):
    without(monkeypatch, what, store.last)
    with pytest.raises((OSError, MemoryError), match=rf"read {store.last}") as caught:
        store.newest()
    assert getattr(SHORTAGES[what], "strerror", None) in (None, str(caught.value).split(": ")[-1])


@pytest.mark.parametrize("what", SHORTAGES)
def test_no_checkpoint_is_renamed_for_lack_of(what, store, monkeypatch):
    start = store.newest()[0]
    before = sorted(os.listdir(store.folder))
    without(monkeypatch, what, store.best)
    with pytest.raises((OSError, MemoryError), match=rf"read {store.best}"):
        store.prepare_to_resume(start)
    assert sorted(os.listdir(store.folder)) == before


def test_memory_used_by_cached_files_does_not_prevent_saving_and_reading(tmp_path, monkeypatch):
    sysconf = os.sysconf
    monkeypatch.setattr(os, "sysconf", lambda name: 1 if name == "SC_AVPHYS_PAGES" else sysconf(name))
    save_checkpoint(tmp_path / "m.ckpt", {"w": np.ones(10_000, np.float32)}, {"epoch": 1})  # MindSpore's loader refuses
    assert read_checkpoint(tmp_path / "m.ckpt").info["epoch"] == 1


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the limit is set by what Linux reports")
def test_a_process_at_its_limits_does_not_change_intact_checkpoints(tmp_path):
    code = """
        import os, resource, sys
        from pathlib import Path
        import numpy as np
        from mindcv.checkpoint import CheckpointStore, read_checkpoint

        store = CheckpointStore(sys.argv[1], "m")
        weights = {"w": np.ones(1 << 24, np.float32)}  # 64 MB
        info = {"epoch": 1, "metrics": {}, "training": {}}

        def limit(extra):
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + extra, resource.RLIM_INFINITY))

        def outcome(function, *args):
            try:
                return function(*args)
            except Exception as error:
                return f"{type(error).__name__}: {error}"

        limit(16 << 20)
        print(outcome(lambda: store.save(weights, info, {"s": weights["w"]}, epoch=1, is_best=True, is_final=True)))
        print(outcome(store.newest))
        print(outcome(store.prepare_to_resume, type("Start", (), {"path": store.previous})))
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
        print(outcome(read_checkpoint, store.last))
    """
    argv = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    run = subprocess.run(argv, capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=120)
    last = tmp_path / "m-last.ckpt"
    assert run.stdout.splitlines() == [
        "None",
        f"MemoryError: not enough memory to read {last}",
        f"MemoryError: not enough memory to read {last}",
        f"OSError: cannot read {last}: {os.strerror(errno.EMFILE)}",
    ], run.stderr
    assert sorted(os.listdir(tmp_path)) == ["m-best.ckpt", "m-last.ckpt"]
