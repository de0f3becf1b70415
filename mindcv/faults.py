"""Whose fault an error is: that of a file, whose damage is proven, or that of the machine, which is short of something.

An error of the machine is reported as itself: an intact file must not be set aside, left out or called damaged.
"""

import contextlib
import errno
import os
import re
from collections.abc import Iterator

# What MindSpore 2.10 says: its allocators for the three devices, in Graph and in Pynative mode, MindData, CUDA and CANN
# (207001 is its number); OpenCV and Pillow. std::bad_alloc reaches Python as MemoryError, or in another error's text.
_OUT_OF_MEMORY = re.compile(
    r"memory (not|isn't|is not) enough|out of memory|insufficient memory|bad_?alloc|cannot allocate memory|207001|"
    r"alloc_failed|(al|mal)loc\w* ([\w.]+ ){0,2}mem(ory)? fail|(al|mal)loc for kernel (in|out)put failed|"
    r"fail(ed)? to (al|mal)loc\w* ([\w.]+ ){0,2}memory|memory m?alloc(ation|ate)? (fail|error)|"
    r"alloc\w* (\w+ )?(workspace|output|input) (memory )?failed",
    re.IGNORECASE,
)
# System errors that concern one file: its name, its kind, its permissions. All others are the machine's: too many open
# files, a failing disk, a file server that does not answer.
_OF_THE_FILE = {
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG),
    *(errno.EINVAL, errno.EILSEQ, errno.ENXIO, errno.EFBIG, errno.EOVERFLOW),
}


class DamagedError(ValueError):
    """A file whose checksum or structure proves that its contents are damaged or of another format.

    Nothing else is a reason to set a file aside: reading an intact one may fail for want of memory, of permission or
    of a working disk, and those errors are reported as themselves.
    """


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, of the machine or of its accelerator."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or bool(
        not isinstance(error, ValueError) and _OUT_OF_MEMORY.search(str(error))
    )


def is_machine_error(error: BaseException) -> bool:
    """Whether an error of reading a file, or of computing with its contents, concerns the machine and not the file."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno not in _OF_THE_FILE
    return is_out_of_memory(error)


@contextlib.contextmanager
def named_in_errors(path: str | os.PathLike) -> Iterator[None]:
    """Within, name the file in an error that says that it cannot be read, or that memory for it is lacking.

    Raises:
        OSError, MemoryError: of the same kind, with the file and the reason.
    """
    try:
        yield
    except OSError as error:
        named = type(error)(f"cannot read {os.fspath(path)}: {error.strerror or error}")
        named.errno = error.errno
        raise named from error
    except MemoryError as error:
        raise MemoryError(f"not enough memory to read {os.fspath(path)}") from error
