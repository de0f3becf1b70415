"""Compiled graphs on disk, shared by all processes of one user.

A graph is one file that appears by a rename. It begins with a SHA-256 of its key and content, so a file that is
damaged, cut off or under the wrong name is noticed. Readers read all of it before they use it: other processes may
replace or remove it at any time.
"""

import contextlib
import hashlib
import os
import stat
import tempfile
from pathlib import Path

from mindcv.files import publish

MAX_BYTES = 1 << 30  # of all graphs together; a network's training and evaluation take 1 to 10 MB
_MAGIC = b"mindcv graph 1\n"
_SUFFIX = ".graph"


class GraphStore:
    """Graphs in a folder of this user; the least recently used ones are removed when space is needed.

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
        """The graph; None if there is none, or its file is damaged, which removes it."""
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
        with contextlib.suppress(OSError):  # removed, or a read-only disk: the order of use is only a hint
            os.utime(path)
        return graph

    def write(self, key: str, graph: bytes) -> None:
        """Add or replace a graph.

        Raises:
            OSError: if it cannot be written; nothing is left behind.
        """
        descriptor, name = tempfile.mkstemp(prefix=".new-", dir=self.folder)  # several processes may write one graph
        try:
            with open(descriptor, "wb") as file:
                file.write(_seal(key, graph) + graph)
            publish(Path(name), self._path(key))
        finally:
            Path(name).unlink(missing_ok=True)
        self._evict(keep=self._path(key))

    def remove(self, key: str) -> None:
        with contextlib.suppress(OSError):  # removed by another process, or a read-only disk
            self._path(key).unlink()

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{_SUFFIX}"

    def _evict(self, keep: Path) -> None:
        """Remove the least recently used graphs until the rest fits, and unfinished files of killed processes."""
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
