"""Atomic writing of files, checksums, and lists of names for messages."""

import contextlib
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

LEFT_BEHIND = re.compile(r"\..+\.saving(\.\w+)?")  # a killed process's temporary file: see `temporary_name`
_BLOCK = 1 << 20


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary name beside `path` to write to; without an error within, that file replaces `path`.

    A kill at any instant leaves either the old file or the new one. After an error the temporary file is removed.

    Raises:
        OSError: if that fails; the old file is unchanged.
    """
    path = Path(path)
    temporary = temporary_name(path)
    try:
        yield temporary
        publish(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_name(path: Path) -> Path:
    """Return the name under which `path` is first written: hidden, in the same folder, with the same suffix."""
    return path.with_name(f".{path.stem}.saving{path.suffix}")


def publish(temporary: Path, path: Path) -> None:
    """Flush to disk, then rename: readers see either the old file or the complete new one."""
    flush(temporary)
    os.replace(temporary, path)
    flush(path.parent)


def flush(path: Path) -> None:
    """Write a file, or the names in a folder, to the disk (fsync)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_sha256(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file's content, 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hash_beginning(file, os.fstat(file.fileno()).st_size).hexdigest()


def hash_beginning(file: BinaryIO, length: int) -> "hashlib._Hash":
    """Return the SHA-256 of the first `length` bytes of an open file, as an object of hashlib."""
    digest = hashlib.sha256()
    for block in blocks(file, length):
        digest.update(block)
    return digest


def blocks(file: BinaryIO, length: int) -> Iterator[bytes]:
    """Yield the first `length` bytes of an open file, or as many as it has, a megabyte at a time."""
    file.seek(0)
    while length and (block := file.read(min(length, _BLOCK))):
        yield block
        length -= len(block)


def listed(names: Iterable[str], most: int = 8, *, none: str = "none") -> str:
    """Join the first names for a message, such as `a, b and 7 more`; `none` if there are none."""
    names = list(names)
    return (", ".join(names[:most]) or none) + f" and {len(names) - most:,} more" * (len(names) > most)
