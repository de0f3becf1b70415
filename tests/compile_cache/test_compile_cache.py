"""Graphs from the cache give the same results as compiled ones, and no state of the cache breaks a run."""

import functools
import json
import os
import subprocess
import time

import mindspore as ms
import numpy as np
import programs
import pytest
from mindspore import Tensor, nn
from tiers import full

from mindcv.compile_cache import cache as compile_cache
from mindcv.compile_cache import compiled_graphs_kept
from mindcv.compile_cache.cache import _GraphCache, _is_whole
from mindcv.compile_cache.store import GraphStore
from mindcv.engine import Trainer, TrainStep, evaluate
from mindcv.loss import create_loss
from mindcv.optim import create_optimizer
from mindcv.runtime import setup_runtime

KEY, OTHER = "a" * 64, "b" * 64
GRAPH = bytes(range(256)) * 40


class Program:
    """programs/train_and_evaluate.py in its own process, in this folder and with this cache folder."""

    def __init__(self, graphs, folder):
        line, pipe = programs.command("train_and_evaluate", graphs), subprocess.PIPE
        environment = os.environ | programs.ENVIRONMENT
        self.process = subprocess.Popen(line, cwd=folder, env=environment, text=True, stdout=pipe, stderr=pipe)

    def result(self) -> dict:
        out, errors = self.process.communicate(timeout=300)
        assert self.process.returncode == 0, errors
        return json.loads(out.splitlines()[-1])


@pytest.mark.slow
def test_reused_graphs_give_identical_results_despite_damage_and_concurrent_starts(tmp_path):
    folder = tmp_path / "graphs"
    start = functools.partial(Program, folder=tmp_path)
    plain, *together = (start(""), start(folder), start(folder))
    plain, together = plain.result(), [program.result() for program in together]
    expected = {name: plain[name] for name in ("seen", "weights")}
    assert False in [entry[1] for entry in plain["seen"] if isinstance(entry, list)], "no step was undone"
    for other in together:
        assert {name: other[name] for name in expected} == expected
    files = sorted(folder.glob("*.graph"))
    graphs = len(files)  # training step, evaluation of five sizes
    assert graphs == 6
    assert sorted(folder.iterdir()) == files, "a partly written file is left"

    again = start(folder).result()
    assert {name: again[name] for name in expected} == expected
    assert again["reused"] == graphs

    # The first graph of the next start is intact, so that the others are looked up as well.
    by_use = sorted(files, key=lambda path: path.stat().st_mtime_ns)
    whole = [path.read_bytes() for path in by_use]
    by_use[1].write_bytes(whole[1][: len(whole[1]) // 2])
    by_use[2].write_bytes(whole[2][:-100] + bytes([whole[2][-100] ^ 4]) + whole[2][-99:])
    by_use[3].write_bytes(b"")
    by_use[4].write_bytes(whole[5])
    by_use[5].unlink()
    damaged = start(folder).result()
    assert {name: damaged[name] for name in expected} == expected
    assert damaged["reused"] == 1
    assert sorted(folder.glob("*.graph")) == files, "compiled again and kept"


def test_the_store_returns_the_graph_that_was_written(tmp_path):
    store = GraphStore(tmp_path / "new" / "graphs")
    assert store.folder.stat().st_mode & 0o777 == 0o700
    assert store.read(KEY) is None
    store.write(KEY, GRAPH)
    store.write(OTHER, GRAPH[::-1])
    assert (store.read(KEY), store.read(OTHER)) == (GRAPH, GRAPH[::-1])
    store.write(KEY, b"replaced")
    assert GraphStore(store.folder).read(KEY) == b"replaced"
    assert len([*store.folder.iterdir()]) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[:20],
        lambda data: b"",
        lambda data: data + b"\0",
        lambda data: b"\0" + data,
        lambda data: os.urandom(len(data)),
        *(
            lambda data, at=at: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            for at in (0, 14, 16, 46, 47, 5000, -1)
        ),
    ],
)
def test_a_damaged_graph_reads_as_none_and_is_removed(tmp_path, damage):
    store = GraphStore(tmp_path)
    store.write(KEY, GRAPH)
    path = tmp_path / f"{KEY}.graph"
    path.write_bytes(damage(path.read_bytes()))
    assert store.read(KEY) is None
    assert not path.exists()


def test_a_renamed_linked_or_foreign_graph_reads_as_none(tmp_path, monkeypatch):
    store = GraphStore(tmp_path)
    store.write(KEY, GRAPH)
    (tmp_path / f"{KEY}.graph").rename(tmp_path / f"{OTHER}.graph")
    assert store.read(OTHER) is None
    store.write(KEY, GRAPH)
    (tmp_path / "elsewhere").write_bytes((tmp_path / f"{KEY}.graph").read_bytes())
    (tmp_path / f"{KEY}.graph").unlink()
    (tmp_path / f"{KEY}.graph").symlink_to(tmp_path / "elsewhere")
    assert store.read(KEY) is None
    store.write(KEY, GRAPH)
    assert store.read(KEY) == GRAPH
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    assert store.read(KEY) is None


def test_the_least_recently_used_graphs_are_evicted(tmp_path):
    store = GraphStore(tmp_path, max_bytes=3 * 1100)
    for index, key in enumerate("abc"):
        store.write(key, bytes(1000))
        os.utime(tmp_path / f"{key}.graph", (index, index))
    assert store.read("a") is not None  # which makes it the most recently used
    store.write("d", bytes(1000))
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["a", "c", "d"]
    store.write("e", bytes(10**6))  # larger than the limit: kept alone
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["e"]


def test_files_of_a_killed_process_are_removed_after_an_hour(tmp_path):
    old, young = tmp_path / ".new-1", tmp_path / ".new-2"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 4000,) * 2)
    GraphStore(tmp_path).write(KEY, GRAPH)
    assert (old.exists(), young.exists()) == (False, True)


def test_a_full_disk_leaves_the_old_graph_and_nothing_else(tmp_path, monkeypatch):
    store = GraphStore(tmp_path)
    store.write(KEY, GRAPH)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.write(KEY, b"other")
    assert store.read(KEY) == GRAPH
    assert len([*tmp_path.iterdir()]) == 1


def test_a_truncated_graph_is_incomplete():
    message = b"\x0a\x03abc\x10\x96\x01\x1a" + bytes([200, 1]) + bytes(200)
    assert _is_whole(message)
    whole = [length for length in range(len(message)) if _is_whole(message[:length])]
    assert whole == [5, 8], "only between two fields"


@pytest.fixture
def tried(monkeypatch):
    """Graph mode, and a process in which the cache is usable again."""
    setup_runtime(mode=0, device_target="CPU")
    monkeypatch.setattr(_GraphCache, "is_broken", False)


def count_graphs(cell) -> int:
    return sum(len(part.compile_cache) for _, part in cell.cells_and_names())


class Batches:
    """9 examples in batches of 4; training drops the last one, which is smaller."""

    batch_size, num_examples = 4, 9

    def __init__(self, drop_last):
        self.drop_last = drop_last

    def __len__(self):
        return 2 if self.drop_last else 3

    def epoch(self, epoch, start=0):
        rng = np.random.default_rng(epoch)
        for size in (4, 4, 1)[start : len(self)]:
            yield rng.standard_normal((size, 3, 8, 8)).astype(np.float32), rng.integers(0, 10, size).astype(np.int32)


@pytest.mark.parametrize("before", full(["nothing", "a dead one"], by_default=["nothing"]))
def test_three_epochs_with_validation_compile_two_graphs(before, tiny_network, tmp_path, tried):
    network = tiny_network()
    if before == "a dead one":
        dead = TrainStep(network, create_loss(), create_optimizer(network, lr=[0.1] * 2))
        for images, labels in Batches(True).epoch(0):
            dead(Tensor(images), Tensor(labels))
        del dead
        network = tiny_network()
    optimizer = create_optimizer(network, lr=[0.1] * 6)
    step = TrainStep(network, create_loss(), optimizer)
    trainer = Trainer(step, functools.partial(evaluate, network, Batches(False), progress=False), progress=False)
    with compiled_graphs_kept(tmp_path, described_by={}):
        trainer.fit(Batches(True), epochs=3, learning_rates=[0.1] * 6)
    assert count_graphs(step) == 2  # training step, evaluation
    assert len([*tmp_path.glob("*.graph")]) == 2


@pytest.mark.parametrize("obstacle", ["a file", "open to others", "of another user"])
def test_an_untrusted_folder_logs_one_line_and_the_run_continues(obstacle, tmp_path, tried, caplog, monkeypatch):
    folder = tmp_path / "graphs"
    if obstacle == "a file":
        folder.write_text("")
    else:
        folder.mkdir()
        folder.chmod(0o777 if obstacle == "open to others" else 0o700)
    if obstacle == "of another user":
        monkeypatch.setattr("os.geteuid", lambda: 12345)
    with compiled_graphs_kept(folder, described_by={}):
        for size in (1, 2):
            assert float(nn.ReLU()(Tensor(np.ones(size, np.float32))).asnumpy().sum()) == size
    assert len(caplog.records) == 1
    assert "not kept" in caplog.text and str(folder) in caplog.text


def test_a_failed_compilation_raises_and_the_next_cell_compiles(tmp_path, tried):
    class Wrong(nn.Cell):
        def construct(self, x):
            return x + self.missing

    with compiled_graphs_kept(tmp_path, described_by={}):
        with pytest.raises(AttributeError):
            Wrong()(Tensor([1.0]))
        assert nn.ReLU()(Tensor([-1.0])).asnumpy() == 0
    assert len([*tmp_path.iterdir()]) == 1


def test_no_graph_is_kept_without_a_folder_off_a_cpu_or_in_pynative_mode(tmp_path, tried, monkeypatch):
    def run():
        return nn.ReLU()(Tensor([3.0])).asnumpy()

    with compiled_graphs_kept(None, described_by={}):
        assert run() == 3
    with monkeypatch.context() as patch:
        patch.setenv("MS_COMPILER_CACHE_ENABLE", "0")
        with compiled_graphs_kept(tmp_path, described_by={}):
            assert run() == 3
    with monkeypatch.context() as patch:
        patch.setattr(compile_cache, "on_cpu", lambda: False)
        with compiled_graphs_kept(tmp_path, described_by={}):
            assert run() == 3
    ms.set_context(mode=ms.PYNATIVE_MODE)
    try:
        with compiled_graphs_kept(tmp_path, described_by={}):
            assert run() == 3
    finally:
        ms.set_context(mode=ms.GRAPH_MODE)
    assert not [*tmp_path.iterdir()]
    with compiled_graphs_kept(tmp_path, described_by={}):
        assert run() == 3
    assert len([*tmp_path.iterdir()]) == 1
    assert nn.Cell.compile.__qualname__ == "Cell.compile"
