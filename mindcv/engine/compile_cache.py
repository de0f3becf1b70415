"""Compiled graphs kept from one start of a program to the next.

Compiling takes most of the time before a training's first step. MindSpore can keep what it compiles, but its own cache
asks only whether the scripts are the same text, names its files by the order in which graphs are compiled, and reads
and writes them in place. Here that cache serves as a mechanism only:

- Which graph is wanted is decided here, by `graph_digest`, a hash of all that shapes it.
- MindSpore works in a folder of this process alone. For each compilation the one graph that was asked for is put there
  under the number MindSpore expects, or none; afterwards the folder is emptied. A wrong number finds nothing.
- In the shared folder a graph is one file, which begins with a SHA-256 of its key and its contents and appears by a
  rename. One that is damaged, or renamed, is removed and compiled anew. Its readers have read all of it before they use
  it, so that other processes may replace or remove it at any time.
- Nothing that goes wrong with the cache ends a run.

Two things MindSpore 2.10 decides: once a graph had to be compiled, it takes no more from the cache in that process (so
a start either reuses its graphs, or compiles and saves from the first one missing on); and `mindspore.jit` functions
called outside of a Cell are not cached (it returns wrong ones).
"""

import atexit
import contextlib
import hashlib
import logging
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mindspore as ms
from mindspore import Tensor, nn

from mindcv.engine.graph_digest import graph_digest
from mindcv.engine.graph_surroundings import Undescribable, check_sources

MAX_BYTES = 1 << 30  # of the shared folder; a network's training and evaluation take 1 to 10 MB
_MAGIC = b"mindcv graph 1\n"
_SUFFIX = ".graph"
_HASH_LENGTH = 64  # of the scripts' hash, which MindSpore keeps beside its graphs and compares
_ENABLE, _PATH = "MS_COMPILER_CACHE_ENABLE", "MS_COMPILER_CACHE_PATH"
_LOG = logging.getLogger("mindcv")


class GraphStore:
    """Graphs in a folder of this user, the least recently used of which make room for new ones.

    Args:
        folder: made if it is missing, for this user alone.
        max_bytes: size of all graphs together.

    Raises:
        OSError: if the folder cannot be made, belongs to somebody else, or others may write to it.
    """

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES) -> None:
        self.folder, self.max_bytes = folder, max_bytes
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if status.st_uid != os.geteuid():
            raise OSError(f"{folder} belongs to another user")
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise OSError(f"others may write to {folder}")

    def read(self, key: str) -> bytes | None:
        """The graph, or None if there is none or its file is damaged, which is then removed."""
        path = self._path(key)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        with open(descriptor, "rb") as file:
            is_own = os.fstat(descriptor).st_uid == os.geteuid()
            content = file.read()
        seal, graph = content[: len(_MAGIC) + 32], content[len(_MAGIC) + 32 :]
        if not is_own or seal != _seal(key, graph):
            self.remove(key)
            return None
        with contextlib.suppress(OSError):  # evicted, or a read-only disk: the order of use is no more than advice
            os.utime(path)
        return graph

    def write(self, key: str, graph: bytes) -> None:
        """Add or replace a graph.

        Raises:
            OSError: if it cannot be written; nothing is left behind.
        """
        descriptor, name = tempfile.mkstemp(prefix=".new-", dir=self.folder)
        try:
            with open(descriptor, "wb") as file:
                file.write(_seal(key, graph) + graph)
                file.flush()
                os.fsync(descriptor)
            os.replace(name, self._path(key))
        finally:
            Path(name).unlink(missing_ok=True)
        self._evict(keep=self._path(key))

    def remove(self, key: str) -> None:
        with contextlib.suppress(OSError):  # gone already, or a read-only disk: it is not used in any case
            self._path(key).unlink()

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{_SUFFIX}"

    def _evict(self, keep: Path) -> None:
        """Remove what was not used for longest until the rest fits, and what killed processes left half written."""
        files = []
        for path in self.folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another process evicts as well
                status = path.stat()
                if path.suffix == _SUFFIX and path != keep:
                    files.append((status.st_mtime, status.st_size, path))
                elif path.name.startswith(".new-") and status.st_mtime < keep.stat().st_mtime - 3600:
                    path.unlink()
        left = self.max_bytes - keep.stat().st_size
        for _, size, path in sorted(files, reverse=True):
            left -= size
            if left < 0:
                path.unlink(missing_ok=True)


def _seal(key: str, graph: bytes) -> bytes:
    return _MAGIC + hashlib.sha256(key.encode() + graph).digest()


class _Workplace:
    """The folder that MindSpore reads and writes: it looks up the variable once, so there is one for the process."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="mindcv-graphs-"))
        self.graphs = self.root / "rank_0" / "graph_cache"
        self.scripts = self.graphs / "compile_dependency.hash"
        self.graphs.mkdir(parents=True)
        self.count = 0  # compilations so far with MindSpore's cache switched on
        self.missed = False  # after that MindSpore takes no graph any more
        owner = os.getpid()
        atexit.register(lambda: os.getpid() == owner and shutil.rmtree(self.root, ignore_errors=True))

    def put(self, graph: bytes) -> int:
        """Lay out a graph for the next compilation; returns what tells this file from one that MindSpore writes."""
        self.scripts.unlink(missing_ok=True)
        self.scripts.write_bytes(graph[:_HASH_LENGTH])
        self._next().write_bytes(graph[_HASH_LENGTH:])
        return self._next().stat().st_mtime_ns

    def take(self) -> bytes | None:
        """What MindSpore has written, if it is one whole graph."""
        path = self._next()
        if [*self.graphs.glob("*.mindir")] != [path] or not self.scripts.is_file():
            return None
        scripts, graph = self.scripts.read_bytes(), path.read_bytes()
        return scripts + graph if len(scripts) == _HASH_LENGTH and _is_whole(graph) else None

    def was_used(self, mark: int) -> bool:
        """Whether the graph laid out is still the one there: MindSpore would have written over it."""
        found = [*self.graphs.glob("*.mindir")]
        return found == [self._next()] and found[0].stat().st_mtime_ns == mark

    def clear(self) -> None:
        for path in self.graphs.glob("*.mindir"):
            path.unlink(missing_ok=True)

    def _next(self) -> Path:
        return self.graphs / f"compile_cache_{self.count}.mindir"


def _is_whole(graph: bytes) -> bool:
    """Whether the top-level fields of a protobuf message fill the file: a full disk cuts it off."""
    position, fields = 0, set()
    while position < len(graph):
        tag, position = _varint(graph, position)
        fields.add(tag >> 3)
        if tag & 7 == 2:
            size, position = _varint(graph, position)
            position += size
        elif tag & 7 == 0:
            _, position = _varint(graph, position)
        else:
            return False
    return position == len(graph) and bool(fields)


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(data):
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, position
    return 0, len(data) + 1  # cut off: beyond the end, so that nobody takes it for a whole one


class _GraphCache:
    """What `compiled_graphs_kept` does in place of `nn.Cell.compile`."""

    workplace: _Workplace | None = None  # of the process
    is_broken = False  # its count of compilations may be wrong, or the folder failed

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plain = nn.Cell.compile
        self.seen: set[tuple] = set()

    def compile(self, cell: nn.Cell, *inputs: Any, **keywords: Any) -> None:
        """`cell.compile`, which runs before each call of a Cell in Graph mode and returns at once if it has a graph."""
        if keywords or not all(isinstance(value, Tensor) for value in inputs):
            return self.plain(cell, *inputs, **keywords)
        call = (id(cell), cell._create_time, cell.phase, *((value.shape, value.dtype) for value in inputs))
        if call in self.seen or _GraphCache.is_broken:
            return self.plain(cell, *inputs)
        self.seen.add(call)
        try:
            key = graph_digest(cell, inputs)
            store = GraphStore(self.folder)
            if _GraphCache.workplace is None:
                _GraphCache.workplace = _Workplace()
        except Undescribable as reason:
            _LOG.info(f"a graph is compiled without the cache: {reason}")
            return self.plain(cell, *inputs)
        except OSError as error:
            _give_up(self.folder, error)
            return self.plain(cell, *inputs)
        self._compile(store, key, cell, inputs)

    def _compile(self, store: GraphStore, key: str, cell: nn.Cell, inputs: tuple[Tensor, ...]) -> None:
        work, before, mark = _GraphCache.workplace, len(cell.compile_cache), 0
        try:
            graph = None if work.missed else store.read(key)
            mark = work.put(graph) if graph else 0
        except OSError as error:
            _give_up(self.folder, error)
            return self.plain(cell, *inputs)
        try:
            with _switched_on(work.root):
                self.plain(cell, *inputs)
        except BaseException as error:
            # How far MindSpore came, and with it the number of the next graph, is unknown.
            _GraphCache.is_broken = True
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
def _switched_on(root: Path) -> Iterator[None]:
    os.environ[_ENABLE], os.environ[_PATH] = "1", str(root)
    try:
        yield
    finally:
        del os.environ[_ENABLE], os.environ[_PATH]


@contextlib.contextmanager
def compiled_graphs_kept(folder: Path | None) -> Iterator[None]:
    """Within, the graphs of Cells called in Graph mode come from `folder` if they are there, and are kept there.

    A Cell compiled within is the same as one compiled without, to the bit. Where the cache of MindSpore itself is
    switched on (`MS_COMPILER_CACHE_ENABLE`), this one stands aside.

    Args:
        folder: of this user; made if it is missing. None: no cache.
    """
    own = os.environ.get(_ENABLE) or os.environ.get(_PATH) or ms.get_context("enable_compile_cache")
    if folder is None or own:
        yield
        return
    cache, plain = _GraphCache(Path(folder)), nn.Cell.compile
    nn.Cell.compile = lambda cell, *inputs, **keywords: cache.compile(cell, *inputs, **keywords)
    try:
        yield
    finally:
        nn.Cell.compile = plain
