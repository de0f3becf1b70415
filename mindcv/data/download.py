"""Downloads of data sets, checked against a pinned hash and extracted completely or not at all."""

import errno
import lzma
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mindcv import console
from mindcv.files import file_sha256, listed

MIRROR_VARIABLE = "MINDCV_DATA_MIRROR"
TIMEOUT_S = 30  # without a byte from the server
_LARGEST = 1 << 30  # bytes in an archive; five times the largest known one
_LARGEST_EXTRA = 1 << 20  # bytes of one long name or attribute, and of the padding after the last member
# Errors caused by the archive rather than the disk: two members of one name, a name that is too long.
_NAME_ERRORS = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL)


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch and the sha256 of its content."""

    folder_url: str
    name: str
    sha256: str

    @property
    def url(self) -> str:
        """Its address at the publisher, or below the URL in `MINDCV_DATA_MIRROR`."""
        return f"{os.environ.get(MIRROR_VARIABLE, self.folder_url).rstrip('/')}/{self.name}"


_CIFAR_HOME = "https://www.cs.toronto.edu/~kriz"
CIFAR10_ARCHIVE = RemoteFile(
    _CIFAR_HOME, "cifar-10-binary.tar.gz", "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
)
CIFAR100_ARCHIVE = RemoteFile(
    _CIFAR_HOME, "cifar-100-binary.tar.gz", "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"
)
# The publisher's host no longer serves these files; this one has the same bytes.
_MNIST_HOME = "https://ossci-datasets.s3.amazonaws.com/mnist"
MNIST_FILES = tuple(
    RemoteFile(_MNIST_HOME, name, sha256)
    for name, sha256 in (
        ("train-images-idx3-ubyte.gz", "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        ("train-labels-idx1-ubyte.gz", "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        ("t10k-images-idx3-ubyte.gz", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        ("t10k-labels-idx1-ubyte.gz", "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    )
)


def download_files(files: Sequence[RemoteFile], folder: Path) -> None:
    """Fetch `files` into `folder`, except those already there with the right hash.

    Raises:
        ValueError: if one cannot be fetched or has the wrong hash. No partial file is left.
    """
    import pooch  # here: only downloads need it and requests
    import requests

    for file in files:
        downloader = pooch.HTTPDownloader(progressbar=console.byte_bar(file.name, 1), timeout=TIMEOUT_S)
        try:
            # pooch writes to a temporary file, compares the hash, then renames it.
            pooch.retrieve(file.url, f"sha256:{file.sha256}", file.name, folder, downloader=downloader)
        except (requests.RequestException, OSError, ValueError) as error:
            reason = "its content has the wrong hash" if "SHA256" in str(error) else str(error)
            raise ValueError(
                f"could not download {file.name} from {file.url}: {reason}. Put the file into {folder} by hand, or set "
                f"{MIRROR_VARIABLE} to the URL of a folder that holds it (its sha256 must be {file.sha256})."
            ) from None


def download_archive(file: RemoteFile, root: Path, folder: str) -> None:
    """Fetch the archive `file` into `root`, extract its `folder` there and delete the archive.

    Raises:
        ValueError: as `download_files` and `extract_archive` do.
    """
    download_files([file], root)
    extract_archive(root / file.name, root, folder)
    (root / file.name).unlink(missing_ok=True)  # another process may have deleted it


def check_archive(file: RemoteFile, root: Path) -> None:
    """Raise ValueError unless the archive that the user put into `root` is the published one."""
    found = file_sha256(root / file.name)
    if found != file.sha256:
        raise ValueError(
            f"{root / file.name} is not the published archive: its sha256 is {found}, it must be "
            f"{file.sha256}. It is incomplete or another file: delete it and get it again, or, if it is your own, "
            "extract it yourself."
        )


def extract_archive(archive: Path, root: Path, folder: str) -> None:
    """Extract the tar file `archive`, which must hold `folder`, to `root/folder`, completely or not at all.

    Raises:
        ValueError: if the archive is broken, lacks `folder`, or holds anything but files and folders below it.
    """
    # Beside the target, so that the rename is atomic. A kill leaves only this hidden folder.
    staging = Path(tempfile.mkdtemp(prefix=".extracting-", dir=root))
    try:
        with tarfile.open(archive, tarinfo=_Header) as tar:
            members, size = [], 0
            for member in tar:
                _check_member(member, archive)
                size += member.size
                if size > _LARGEST:
                    raise ValueError(f"{archive} is refused: it holds more than {_LARGEST:,} bytes.")
                members.append(member)
            for member in members:
                _extract_member(tar, member, staging)
            _check_end(tar)
        if not (staging / folder).is_dir():
            held = listed(sorted(entry.name for entry in staging.iterdir()), none="nothing")
            raise ValueError(f"{archive} does not hold the folder {folder}; it holds: {held}.")
        try:
            (staging / folder).rename(root / folder)
        except OSError:
            if not (root / folder).is_dir():  # else another process finished first
                raise
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise ValueError(f"{archive} is broken ({error}): delete it and get it again.") from None
    except OSError as error:
        if error.errno in _NAME_ERRORS:
            raise ValueError(
                f"{archive} is refused: its member names contradict each other ({error.strerror})."
            ) from None
        if error.errno is None:  # from a decompressor, not from the disk
            raise ValueError(f"{archive} is broken ({error}): delete it and get it again.") from None
        raise
    finally:
        shutil.rmtree(staging)


class _Header(tarfile.TarInfo):
    """A member's header whose sizes are limited: `tarfile` allocates whatever a header claims."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Header":
        header = super().frombuf(buf, encoding, errors)
        if not 0 <= header.size <= (_LARGEST if header.isreg() else _LARGEST_EXTRA):
            raise tarfile.ReadError(f"{header.name[:80]!r} in it claims {header.size:,} bytes")
        return header


def _extract_member(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Write a checked member below `folder`, without its owner, permissions and times.

    `extractall` is safe only with a filter, which Python has since 3.10.12 and 3.11.4.
    """
    path = folder / member.name
    source = tar.extractfile(member)
    if source is None:  # a folder
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with source, path.open("wb") as target:
        shutil.copyfileobj(source, target)


def _check_end(tar: tarfile.TarFile) -> None:
    """Raise TarError unless the last member is followed by the end mark: `tarfile` takes a damaged header for the end.

    Reading to the end also makes the decompressor verify its checksum.
    """
    tar.fileobj.seek(tar.offset)
    padding = tar.fileobj.read(_LARGEST_EXTRA + 1)
    if not tarfile.BLOCKSIZE <= len(padding) <= _LARGEST_EXTRA or any(padding):
        raise tarfile.TarError(f"no end mark at byte {tar.offset:,}")


def _check_member(member: tarfile.TarInfo, archive: Path) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{archive} is refused: its member {member.name!r} would be written outside the folder.")
    if "\0" in member.name or member.size < 0:  # a negative size makes `tarfile` loop
        raise ValueError(f"{archive} is refused: its member {member.name!r} has an impossible name or size.")
    if member.issparse() or not (member.isfile() or member.isdir()):
        raise ValueError(f"{archive} is refused: its member {member.name!r} is a link or a device, not a file.")
