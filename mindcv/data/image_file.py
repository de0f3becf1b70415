"""Reading image files so that MindSpore's C++ decoder gets only what it can take."""

import io
import os
import re
import stat
import warnings

import numpy as np
from PIL import Image, UnidentifiedImageError

from mindcv.faults import is_machine_error, named_in_errors

# Pillow's names. It is asked for no other ones: for EPS it would start another program.
_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "GIF", "WEBP", "PPM")
# What the C++ decoder reads as Pillow does; MPO is a JPEG with more pictures behind it. Of a TIFF it shows colours with
# alpha on black and what is damaged as black, of a CMYK JPEG without Adobe's marker the negative; the others it does
# not know.
_NATIVE_FORMATS = ("JPEG", "MPO", "PNG", "BMP")

# A strip one pixel wide and 20,000 high would need 4 GB once its shorter side is resized to 256.
MAX_ASPECT_RATIO = 1000

UNCHECKED = 0

# Remarks on a file that Pillow reads nevertheless, and on one of more than 89 million pixels (it refuses twice as many)
# would fall into the middle of a progress bar. Filters cannot be changed and restored where several threads read.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class BadImageError(ValueError):
    """An image file that cannot be read.

    Attributes:
        path: of the file.
        reason: what is wrong with it, in one line and without the path.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"cannot read the image {path}: {reason}")
        self.path, self.reason = path, reason


def read_image_file(path: str | os.PathLike) -> np.ndarray:
    """Return the bytes of an image file in a format that the C++ decoder reads, as 1-D uint8.

    TIFF, GIF, WebP, PPM and CMYK JPEG come back as the bytes of an equal BMP in RGB. Transparency is ignored (the
    colours below it are kept), 16 bits become 8 by leaving out the lower ones, and an animation stands for its first
    picture. Orientation tags are applied in TIFF only, because Pillow does so, and with it torchvision and timm.

    For JPEG, PNG and BMP the check is cheap; it is complete for what would kill the decoder. It may pass an image whose
    compressed pixels are damaged: the decoder refuses that, or in a JPEG guesses them.

    Args:
        path: of the file.

    Raises:
        OSError, MemoryError: if the machine fails, not the file: memory or file descriptors run out, a disk breaks.
        BadImageError: if the file cannot be read, is cut, is no image, has more pixels than Pillow allows (179 million)
            or one side more than `MAX_ASPECT_RATIO` times the other.
    """
    return read_unless_checked(path, UNCHECKED)[0]


def read_unless_checked(path: str | os.PathLike, stamp: int) -> tuple[np.ndarray, int]:
    """`read_image_file` for a file that may have been checked before, which it need not be again: 8 % faster.

    Args:
        stamp: what came with the content the last time, else `UNCHECKED`.

    Returns:
        The content, and a number that changes with the file; `UNCHECKED` for a file that has to be converted.
    """
    with named_in_errors(path):
        try:
            new_stamp = _check_file(path)
            content = np.fromfile(path, np.uint8)
            if stamp == new_stamp:
                return content, stamp
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                _check_pixels(image)
                if image.format in _NATIVE_FORMATS and image.mode != "CMYK":
                    _check_native(content, image)
                    return content, new_stamp
                bitmap = io.BytesIO()
                _to_rgb(image).save(bitmap, "BMP")
                return np.frombuffer(bitmap.getbuffer(), np.uint8), UNCHECKED
        except Exception as error:  # a broken file provokes almost anything in Pillow
            raise BadImageError(os.fspath(path), reason_of(error)) from None


def reason_of(error: Exception) -> str:
    """One line on what is wrong with a file, without its path.

    Raises:
        Exception: `error` itself, if it says nothing about the file: memory ran out, or the disk fails.
    """
    if is_machine_error(error):
        raise error
    if isinstance(error, UnidentifiedImageError):
        return "not an image, or cut in its header, or of an unknown format"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    from_minddata = re.search(r"\[ERROR\] (.+)", str(error))  # one line of many
    return from_minddata[1] if from_minddata else " ".join(str(error).split()) or type(error).__name__


def why_not_decoded(content: np.ndarray, refusal: RuntimeError) -> str:
    """Pillow's opinion on the bytes of an image that the C++ decoder has refused, whose own says nothing.

    Raises:
        MemoryError: if memory ran out.
    """
    if is_machine_error(refusal):
        raise MemoryError("not enough memory to decode an image") from refusal
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            image.load()
            kind = f"{image.format} file (PIL's mode {image.mode})"
            return f"a {kind} that is damaged or of a kind that the decoder does not read"
    except Exception as error:
        return reason_of(error)


def _check_file(path: str | os.PathLike) -> int:
    """Its stamp; of its times the one that no program can set, so that a copied old time hides no change."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
        raise ValueError("it is a folder" if stat.S_ISDIR(status.st_mode) else "it is no regular file")
    if status.st_size == 0:
        raise ValueError("the file is empty")
    return hash((status.st_ino, status.st_size, status.st_ctime_ns)) or 1


def _check_pixels(image: Image.Image) -> None:
    width, height = image.size
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        raise ValueError(f"{width} x {height} pixels: one side is more than {MAX_ASPECT_RATIO} times the other")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or (image.format == "PPM" and image.mode == "I"):  # Pillow would cut off at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):  # which of the numbers is white, only their author knows
        raise ValueError("pixels of 32 bits: save it with 8 bits per channel")
    return image.convert("RGB")


def _check_native(content: np.ndarray, image: Image.Image) -> None:
    if image.format in ("JPEG", "MPO"):
        _check_jpeg(content, image)
    elif image.format == "PNG":
        image.verify()  # checksums: finds a cut or damaged file without decompressing it
    else:
        for codec, (_, _, _, height), offset, parameters in image.tile:
            _, row, *_ = parameters  # bytes of a row
            if codec == "raw" and offset + row * height > len(content):
                raise OSError("image file is truncated")


def _check_jpeg(content: np.ndarray, image: Image.Image) -> None:
    """Raise an OSError if libjpeg does not accept the header of the opened JPEG, or if its body is cut.

    A broken header kills the whole process in MindSpore's C++ decoder (SIGFPE, SIGSEGV), where no exception could be
    caught. Opening is not enough, since PIL looks at few fields and forgives a file that ends between two segments.
    A cut body gives an error there or, in a small file, silently a picture whose lower part is grey.
    """
    if not image.tile:
        raise OSError("it ends inside its header")
    everything, scan = content.tobytes(), image.fp.tell()
    end_of_image = b"\xff\xd9"
    # libjpeg decodes the header followed by "end of image" to a grey picture, here in an eighth of the size: cheap.
    # Whole decoding is for files that need it: progressive ones (more headers between the scans), those with several
    # pictures (PIL has moved on to the next one), and cut ones.
    whole = image.format == "MPO" or "progressive" in image.info or everything.rfind(end_of_image, scan) < 0
    with Image.open(io.BytesIO(everything if whole else everything[:scan] + end_of_image)) as checked:
        checked.draft(None, (1, 1))
        checked.load()
