"""Telling errors of a file (it is damaged) from errors of the machine (memory, disk, permissions).

An error of the machine is reported as itself: an intact file must not be renamed, skipped or called damaged.
"""

import contextlib
import errno
import os
import re
from collections.abc import Iterator

# Texts of MindSpore 2.10 (allocators of the three devices in both modes, MindData, CUDA, CANN with its number 207001),
# OpenCV and Pillow. std::bad_alloc reaches Python as MemoryError, or in another error's text.
_OUT_OF_MEMORY = re.compile(
    r"memory (not|isn't|is not) enough|out of memory|insufficient memory|bad_?alloc|cannot allocate memory|207001|"
    r"alloc_failed|(al|mal)loc\w* ([\w.]+ ){0,2}mem(ory)? fail|(al|mal)loc for kernel (in|out)put failed|"
    r"fail(ed)? to (al|mal)loc\w* ([\w.]+ ){0,2}memory|memory m?alloc(ation|ate)? (fail|error)|"
    r"alloc\w* (\w+ )?(workspace|output|input) (memory )?failed",
    re.IGNORECASE,
)
# System errors of one file: its name, kind or permissions. All others are the machine's: too many open files, a
# failing disk, a file server that does not answer.
_OF_THE_FILE = {
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG),
    *(errno.EINVAL, errno.EILSEQ, errno.ENXIO, errno.EFBIG, errno.EOVERFLOW),
}


class DamagedError(ValueError):
    """A file whose checksum or structure proves that its contents are damaged or of another format.

    Only this is a reason to set a file aside: reading an intact one may fail for lack of memory, permission or a
    working disk.
    """


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that the memory of the machine or its accelerator ran out."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or bool(
        not isinstance(error, ValueError) and _OUT_OF_MEMORY.search(str(error))
    )


def is_machine_error(error: BaseException) -> bool:
    """Return whether an error of reading a file, or computing with its contents, is the machine's, not the file's."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno not in _OF_THE_FILE
    return is_out_of_memory(error)


@contextlib.contextmanager
def named_in_errors(path: str | os.PathLike) -> Iterator[None]:
    """Add the file's name to an OSError or MemoryError raised within.

    Raises:
        OSError, MemoryError: of the same type, with the file and the reason.
    """
    try:
        yield
    except OSError as error:
        named = type(error)(f"cannot read {os.fspath(path)}: {error.strerror or error}")
        named.errno = error.errno
        raise named from error
    except MemoryError as error:
        raise MemoryError(f"not enough memory to read {os.fspath(path)}") from error
