"""Compiled graphs kept from one start of a program to the next.

Compiling takes most of the time before the first training step. MindSpore's own cache compares nothing but the text of
the scripts, names its files by the order in which graphs are compiled, and reads and writes them in place. Here it is
used as a mechanism only:

- `graph_key`, a hash of everything that determines a graph, decides which one is wanted.
- MindSpore works in a folder of this process. For each compilation it finds there the graph that is wanted, under the
  number that it expects, or nothing; afterwards the folder is emptied.
- In the shared folder (`GraphStore`) a graph is one file with a checksum that appears by a rename. A damaged one is
  removed and compiled again. A graph is copied before it is used, so other processes may replace or remove it.
- A failure of the cache does not end a run.

In MindSpore 2.10, once a graph had to be compiled, no more are taken from the cache in that process: a start reuses its
graphs, or compiles and saves them from the first missing one on. `mindspore.jit` functions outside of a Cell are not
cached: MindSpore returns wrong ones.
"""

import atexit
import contextlib
import gc
import io
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import mindspore as ms
from mindspore import Tensor, nn

from mindcv.compile_cache.key import Undescribable, check_sources, graph_key
from mindcv.compile_cache.store import GraphStore
from mindcv.engine.compiling import loading_compiled_network
from mindcv.faults import DamagedError
from mindcv.internals import COMPILER, SOURCES_OF_PROGRAM, compile_cache_lacks
from mindcv.protobuf import fields
from mindcv.runtime import on_cpu, return_free_memory

_HASH_LENGTH = 64  # of the program's hash, which MindSpore keeps next to its graphs and compares
_ENABLE, _PATH = "MS_COMPILER_CACHE_ENABLE", "MS_COMPILER_CACHE_PATH"
_LOG = logging.getLogger("mindcv")


class _Workplace:
    """The folder that MindSpore reads and writes: one for the process, since MindSpore looks up its path once."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="mindcv-graphs-"))
        self.graphs = self.root / "rank_0" / "graph_cache"
        self.hash = self.graphs / "compile_dependency.hash"
        self.program = self.root / "program"
        self.graphs.mkdir(parents=True)
        self.program.write_text("mindcv")
        self.count = 0  # compilations so far with MindSpore's cache switched on
        self.missed = False  # once True, MindSpore reads no more graphs, but still writes them
        owner = os.getpid()

        def remove() -> None:
            if os.getpid() == owner:
                shutil.rmtree(self.root, ignore_errors=True)

        atexit.register(remove)

    def put(self, graph: bytes) -> int:
        """Write the graph for the next compilation; returns its modification time, for `was_used`."""
        self.hash.unlink(missing_ok=True)
        self.hash.write_bytes(graph[:_HASH_LENGTH])
        self._next().write_bytes(graph[_HASH_LENGTH:])
        return self._next().stat().st_mtime_ns

    def take(self) -> bytes | None:
        """The graph that MindSpore has written, if it is complete."""
        found = [*self.graphs.glob("*.mindir")]
        if len(found) != 1 or not self.hash.is_file():
            return None
        program, graph = self.hash.read_bytes(), found[0].read_bytes()
        return program + graph if len(program) == _HASH_LENGTH and _is_whole(graph) else None

    def was_used(self, mark: int) -> bool:
        """Whether the graph of `put` is unchanged: MindSpore overwrites a graph that it does not use."""
        found = [*self.graphs.glob("*.mindir")]
        return found == [self._next()] and found[0].stat().st_mtime_ns == mark

    def clear(self) -> None:
        for path in self.graphs.glob("*.mindir"):
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Context in which MindSpore's cache is switched on and uses this folder.

        MindSpore's search for the program's source files is replaced: it fails if the main module is not a file, and
        `graph_key` covers the sources.
        """
        look_up = getattr(COMPILER, SOURCES_OF_PROGRAM)
        os.environ[_ENABLE], os.environ[_PATH] = "1", str(self.root)
        setattr(COMPILER, SOURCES_OF_PROGRAM, lambda: [str(self.program)])
        try:
            yield
        finally:
            del os.environ[_ENABLE], os.environ[_PATH]
            setattr(COMPILER, SOURCES_OF_PROGRAM, look_up)

    def _next(self) -> Path:
        return self.graphs / f"compile_cache_{self.count}.mindir"


def _is_whole(graph: bytes) -> bool:
    """Whether the top-level fields of a protobuf message fill the file: a full disk cuts it off."""
    with contextlib.suppress(DamagedError):
        return bool([*fields(io.BytesIO(graph), 0, len(graph))])
    return False


class _GraphCache:
    """Replaces `nn.Cell.compile` within `compiled_graphs_kept`."""

    workplace: _Workplace | None = None  # of the process
    is_broken = False  # a folder failed, or MindSpore lacks what is needed: it is not tried again

    def __init__(self, folder: Path, described_by: Mapping[str, Any]) -> None:
        self.folder, self.described_by = folder, described_by
        self.plain = nn.Cell.compile
        self.seen: set[tuple] = set()

    def compile(self, cell: nn.Cell, *inputs: Any, **keywords: Any) -> None:
        """`cell.compile`, which runs before each call of a Cell in Graph mode and returns at once if it has a graph."""
        if keywords or not all(isinstance(value, Tensor) for value in inputs):
            return self.plain(cell, *inputs, **keywords)
        # The first input, a batch of images, is enough to tell calls apart: a call taken for another is not cached.
        call = (id(cell), cell._create_time, cell.phase, *(value.shape for value in inputs[:1]))
        if call in self.seen or _GraphCache.is_broken:
            return self.plain(cell, *inputs)
        self.seen.add(call)
        # MindSpore numbers the inputs' shapes, then collects garbage, then compiles. A dead Cell with the same shapes
        # would take their number with it, and the next call would compile again.
        gc.collect()
        try:
            key = graph_key(self.described_by, cell, inputs)
            store = GraphStore(self.folder)
            work = _GraphCache.workplace = _GraphCache.workplace or _Workplace()
        except Undescribable as reason:
            _LOG.info(f"a graph is compiled without the cache: {reason}")
            return self.plain(cell, *inputs)
        except OSError as error:
            _give_up(self.folder, error)
            return self.plain(cell, *inputs)
        self._compile(work, store, key, cell, inputs)

    def _compile(
        self, work: _Workplace, store: GraphStore, key: str, cell: nn.Cell, inputs: tuple[Tensor, ...]
    ) -> None:
        before, mark = len(cell.compile_cache), 0
        try:
            graph = None if work.missed else store.read(key)
            mark = work.put(graph) if graph else 0
        except OSError as error:
            _give_up(self.folder, error)
            return self.plain(cell, *inputs)
        try:
            if graph:
                loading_compiled_network()
            with work.in_use():
                self.plain(cell, *inputs)
            gc.collect()
            return_free_memory()
        except BaseException as error:
            work.missed = True  # how far MindSpore came, and with it the number of the next graph, is unknown
            work.clear()
            if not graph or not isinstance(error, RuntimeError):
                raise
            store.remove(key)
            return self.plain(cell, *inputs)
        if len(cell.compile_cache) == before:
            return None  # compiled earlier, without the cache
        try:
            if graph and work.was_used(mark):
                _LOG.info(f"a compiled graph was reused: {self.folder}")
            else:
                work.missed = True
                written = work.take()
                if written is not None:
                    check_sources()
                    store.write(key, written)
        except Undescribable as reason:
            _LOG.info(f"a graph was not kept: {reason}")
        except OSError as error:
            _give_up(self.folder, error)
        finally:
            work.clear()
            work.count += 1
        return None


def _give_up(folder: Path, error: OSError) -> None:
    _GraphCache.is_broken = True
    _LOG.warning(f"compiled graphs are not kept for the next start: {error.strerror or error} ({folder})")


@contextlib.contextmanager
def compiled_graphs_kept(folder: Path | None, *, described_by: Mapping[str, Any]) -> Iterator[bool]:
    """Context in which compiled graphs of Cells are read from `folder`, or else written to it.

    Results stay bit-identical. Works on a CPU only (untested on other devices), and not where MindSpore's own cache is
    switched on (`MS_COMPILER_CACHE_ENABLE`) or cannot be steered (mindcv/internals.py). Only graphs of this package's
    and MindSpore's classes are kept.

    Args:
        folder: of this user; made if it is missing. None: no cache.
        described_by: numbers, texts and containers of these that say how the Cells called within were built, as far as
            the program's source does not: options, and values from files. A graph is reused if these, the sources and
            the Cell's own attributes are the same.
    Yields:
        Whether graphs are kept.
    """
    own = os.environ.get(_ENABLE) or os.environ.get(_PATH) or ms.get_context("enable_compile_cache")
    if folder is None or own or not on_cpu():
        yield False
        return
    if missing := compile_cache_lacks():
        if not _GraphCache.is_broken:
            _GraphCache.is_broken = True
            _LOG.warning(f"compiled graphs are not kept: MindSpore {ms.__version__} has no {missing}")
        yield False
        return
    cache, plain = _GraphCache(Path(folder), described_by), nn.Cell.compile
    nn.Cell.compile = lambda cell, *inputs, **keywords: cache.compile(cell, *inputs, **keywords)
    try:
        yield True
    finally:
        nn.Cell.compile = plain
