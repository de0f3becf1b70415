"""Reading image files into a form that MindSpore's C++ decoder can handle."""

import io
import os
import re
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, UnidentifiedImageError

from mindcv.faults import is_machine_error, named_in_errors

# Pillow's names. No others: for EPS it would start another program.
_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "GIF", "WEBP", "PPM")
# Decoded in C++ with Pillow's result; MPO is a JPEG followed by more pictures. The decoder blends a TIFF's alpha with
# black, shows damaged parts black and a CMYK JPEG without Adobe's marker as a negative; it does not know the others.
_NATIVE_FORMATS = ("JPEG", "MPO", "PNG", "BMP")

# A strip of 1 x 20,000 pixels would need 4 GB once its shorter side is resized to 256.
MAX_ASPECT_RATIO = 1000

UNCHECKED = 0

# Pillow's warnings about readable files, and about more than 89 million pixels (twice as many are an error), would
# interrupt a progress bar. Set once: warning filters are not thread-safe.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class BadImageError(ValueError):
    """An image file that cannot be read.

    Attributes:
        path: of the file.
        reason: in one line, without the path.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"cannot read the image {path}: {reason}")
        self.path, self.reason = path, reason


def read_image_file(path: str | os.PathLike) -> np.ndarray:
    """Return the bytes of an image file in a format that the C++ decoder reads, as 1-D uint8.

    TIFF, GIF, WebP, PPM and CMYK JPEG are converted to an RGB BMP. Transparency is ignored (the colours are kept),
    16 bits are truncated to 8, and of an animation the first picture is used. Orientation tags are applied in TIFF
    only, as by Pillow, torchvision and timm.

    JPEG, PNG and BMP are checked cheaply, but for everything that would crash the decoder. Damaged compressed pixels
    may pass: the decoder rejects them or, in a JPEG, guesses.

    Args:
        path: of the file.

    Raises:
        OSError, MemoryError: if the machine fails, not the file: memory or file descriptors run out, a disk breaks.
        BadImageError: if the file cannot be read, is cut off or not an image, has more pixels than Pillow allows
            (179 million), or one side is more than `MAX_ASPECT_RATIO` times the other.
    """
    return read_unless_checked(path, UNCHECKED)[0]


def read_unless_checked(path: str | os.PathLike, stamp: int) -> tuple[np.ndarray, int]:
    """Read as `read_image_file`, but skip the check if the file has not changed since the last one: 8 % faster.

    Args:
        stamp: returned by the last call for this file, else `UNCHECKED`.

    Returns:
        The content, and a number that changes with the file; `UNCHECKED` for a file that has to be converted.
    """
    with image_named(os.fspath(path)):
        new_stamp = file_stamp(path)
        content = np.fromfile(path, np.uint8)
        if stamp == new_stamp:
            return content, stamp
        decodable, is_unchanged = to_decodable(content)
        return decodable, new_stamp if is_unchanged else UNCHECKED


def to_decodable(content: np.ndarray) -> tuple[np.ndarray, bool]:
    """Check an image file's bytes, 1-D uint8, and convert them if necessary, as `read_image_file` does.

    Call it within `image_named`: a broken file can cause almost any error.

    Returns:
        The bytes for the C++ decoder, and whether they are those that were given.
    """
    with Image.open(io.BytesIO(content.data), formats=_FORMATS) as image:
        _check_pixels(image)
        if image.format in _NATIVE_FORMATS and image.mode != "CMYK":
            _check_native(content, image)
            return content, True
        bitmap = io.BytesIO()
        _to_rgb(image).save(bitmap, "BMP")
        return np.frombuffer(bitmap.getbuffer(), np.uint8), False


@contextmanager
def image_named(where: str) -> Iterator[None]:
    """Turn an error within into a BadImageError for the image stored at `where`, unless it is the machine's."""
    with named_in_errors(where):
        try:
            yield
        except Exception as error:  # Pillow raises almost anything for a broken file
            raise BadImageError(where, reason_of(error)) from None


def reason_of(error: Exception) -> str:
    """Describe in one line what is wrong with a file, without its path.

    Raises:
        Exception: `error` itself, if the machine failed (memory, disk), not the file.
    """
    if is_machine_error(error):
        raise error
    if isinstance(error, UnidentifiedImageError):
        return "not an image, cut off in its header, or of an unknown format"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    from_minddata = re.search(r"\[ERROR\] (.+)", str(error))  # one line of many
    return from_minddata[1] if from_minddata else " ".join(str(error).split()) or type(error).__name__


def why_not_decoded(content: np.ndarray, refusal: RuntimeError) -> str:
    """Return Pillow's reason why an image that the C++ decoder rejected is bad; the decoder gives none.

    Raises:
        MemoryError: if memory ran out.
    """
    if is_machine_error(refusal):
        raise MemoryError("not enough memory to decode an image") from refusal
    try:
        with Image.open(io.BytesIO(content.data), formats=_FORMATS) as image:
            image.load()
            kind = f"{image.format} file (PIL's mode {image.mode})"
            return f"a {kind} that is damaged or of a kind that the decoder does not read"
    except Exception as error:
        return reason_of(error)


def file_stamp(path: str | os.PathLike) -> int:
    """Return a number that changes with a file, from its ctime: unlike the mtime, no program can set it.

    Raises:
        OSError: if there is no such file.
        ValueError: if it is empty or not a regular file.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):  # reading a pipe would block
        raise ValueError("it is a folder" if stat.S_ISDIR(status.st_mode) else "it is not a regular file")
    if status.st_size == 0:
        raise ValueError("the file is empty")
    return hash((status.st_ino, status.st_size, status.st_ctime_ns)) or 1


def _check_pixels(image: Image.Image) -> None:
    width, height = image.size
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        raise ValueError(f"{width} x {height} pixels: one side is more than {MAX_ASPECT_RATIO} times the other")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or (image.format == "PPM" and image.mode == "I"):  # Pillow would clip at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):  # the value of white is unknown
        raise ValueError("pixels of 32 bits: save it with 8 bits per channel")
    return image.convert("RGB")


def _check_native(content: np.ndarray, image: Image.Image) -> None:
    if image.format in ("JPEG", "MPO"):
        _check_jpeg(content, image)
    elif image.format == "PNG":
        image.verify()  # checksums, without decompressing
    else:
        for codec, (_, _, _, height), offset, parameters in image.tile:
            _, row, *_ = parameters  # bytes of a row
            if codec == "raw" and offset + row * height > len(content):
                raise OSError("image file is truncated")


def _check_jpeg(content: np.ndarray, image: Image.Image) -> None:
    """Raise an OSError if libjpeg rejects the header of the opened JPEG, or if its body is cut off.

    A broken header crashes the process in MindSpore's C++ decoder (SIGFPE, SIGSEGV). Opening is not enough: PIL reads
    few fields and accepts a file that ends between two segments. A cut body is an error in the decoder or, in a small
    file, silently gives a picture whose lower part is grey.
    """
    if not image.tile:
        raise OSError("it ends inside its header")
    everything, scan = content.tobytes(), image.fp.tell()
    end_of_image = b"\xff\xd9"
    # Cheap: libjpeg decodes the header followed by "end of image" to a grey picture, here at an eighth of the size.
    # Decoded completely: progressive files (headers between the scans), several pictures (PIL is at the next one
    # already), and cut files.
    whole = image.format == "MPO" or "progressive" in image.info or everything.rfind(end_of_image, scan) < 0
    with Image.open(io.BytesIO(everything if whole else everything[:scan] + end_of_image)) as checked:
        checked.draft(None, (1, 1))
        checked.load()
