"""Labelled images in a tar archive, read where they are: nothing is unpacked."""

import io
import os
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path, PurePosixPath

import numpy as np

from mindcv.data.collection import PackedCollection, number_classes, stamp_of
from mindcv.folders import IMAGE_SUFFIXES, describe_passed_over, is_image, is_of_user, suffix_of

_LARGEST_HEADER = 1 << 20  # bytes; `tarfile` allocates whatever a header claims
# Errors of `tarfile` for a damaged header.
_BROKEN = (tarfile.TarError, ValueError, EOFError, OverflowError, RecursionError)


class TarCollection(PackedCollection):
    """Images in an uncompressed tar archive.

    Args:
        names: the parts of the name of each image, `class/**/image`.
        spans: see `PackedCollection`.
    """

    def __init__(
        self, path: Path, names: Sequence[tuple[str, ...]], spans: np.ndarray, stamp: int, remarks: Sequence[str]
    ) -> None:
        super().__init__(path, *number_classes([folder for folder, *_ in names]), spans, stamp, remarks)
        self._members = ["/".join(rest) for _, *rest in names]

    def where(self, position: int) -> str:
        return f"{self.path}/{self.class_names[self.labels[position]]}/{self._members[position]}"

    def member(self, position: int) -> str:
        return self._members[position]


def read_tar(path: Path) -> TarCollection:
    """Index the images `class/**/image` in an archive, or those in archives `class.tar` within it (ImageNet's layout).

    Classes, images and their order are those of the unpacked folders (`read_folders`), but for folders without images.
    Folders that all images have in common are left out. Only regular files are read, and their names are labels only:
    links, devices and names with ".." are passed over. Of two files of one name the later counts, as in unpacking.

    Raises:
        ValueError: if the archive is compressed, broken or cut off, or has no class folders with images.
    """
    passed_over: Counter[str] = Counter()
    stamp = stamp_of(path)
    with path.open("rb", buffering=0) as file:
        found = dict(_index(_Part(file.fileno(), 0, os.fstat(file.fileno()).st_size), path, (), passed_over))
    outside = [name for name in found if len(name) == 1]
    for name in outside:
        passed_over[suffix_of(name[0]) + " outside the class folders"] += 1
        del found[name]
    if not found:
        passed = "; ".join(describe_passed_over(path, passed_over)) or "it is empty"
        raise ValueError(f"{path} has no class folders with images ({', '.join(IMAGE_SUFFIXES)}): {passed}.")
    names = sorted(found)
    levels = zip(*(name[:-2] for name in names), strict=False)  # as many as all images have above their classes
    common = sum(1 for _ in takewhile(lambda level: len(set(level)) == 1, levels))
    spans = np.array([found[name] for name in names], np.int64)
    remarks = describe_passed_over(path, passed_over)
    return TarCollection(path, [name[common:] for name in names], spans, stamp, remarks)


def _index(
    part: "_Part", path: Path, folder: tuple[str, ...], passed_over: Counter[str]
) -> Iterator[tuple[tuple[str, ...], tuple[int, int]]]:
    """Yield the parts of the name of each image, and its offset and size in the file.

    Args:
        folder: of the class, within the archive of a class.
    """
    try:
        with _Archive(fileobj=part) as tar:
            while member := tar.next():
                tar.members.clear()  # a million headers would stay in memory
                if member.isdir():
                    continue
                name = tuple(p for p in PurePosixPath(member.name).parts if p not in ("/", "//"))
                if member.size < 0 or member.offset_data + member.size > part.size:
                    raise tarfile.ReadError(f"{member.name[:80]!r} in it claims {member.size:,} bytes")
                if not member.isreg() or member.issparse():
                    passed_over["that are links or special files"] += 1
                elif ".." in name or not name or "\0" in member.name:
                    passed_over["with an impossible name"] += 1
                elif not all(map(is_of_user, name)):
                    continue
                elif name[-1].endswith(".tar") and not folder:
                    inner = _Part(part.descriptor, part.start + member.offset_data, member.size)
                    yield from _index(inner, path, (*name[:-1], name[-1].removesuffix(".tar")), passed_over)
                elif is_image(name[-1]):
                    yield (*folder, *name), (part.start + member.offset_data, member.size)
                else:
                    passed_over[suffix_of(name[-1])] += 1
            part.seek(tar.offset)
            if part.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):  # `tarfile` takes a damaged header for the end
                raise tarfile.ReadError(f"no end mark at byte {part.start + tar.offset:,}")
    except _BROKEN as error:
        what = f" ({'/'.join(folder)}.tar in it)" if folder else ""
        raise ValueError(
            f"{path}{what} is no complete, uncompressed tar archive ({error}): unpack it if it is compressed, else get "
            "it again."
        ) from None


class _Archive(tarfile.TarFile):
    members: list[tarfile.TarInfo]  # those read so far


class _Part(io.BufferedIOBase):
    """A part of an open file as `tarfile` reads it, in small pieces only."""

    def __init__(self, descriptor: int, start: int, size: int) -> None:
        self.descriptor, self.start, self.size = descriptor, start, size
        self._position = 0

    def tell(self) -> int:
        return self._position

    def seek(self, position: int, whence: int = os.SEEK_SET, /) -> int:
        assert whence == os.SEEK_SET
        self._position = max(position, 0)  # Python 3.10 asks for -1 in an archive without members
        return self._position

    def read(self, count: int | None = -1, /) -> bytes:
        if count is None or not 0 <= count <= _LARGEST_HEADER:
            raise tarfile.ReadError(f"a header claims {count} bytes")
        content = os.pread(self.descriptor, max(min(count, self.size - self._position), 0), self.start + self._position)
        self._position += len(content)
        return content
