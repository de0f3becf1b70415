"""Reading image files so that MindSpore's C++ decoder gets only what it can take."""

import io

import numpy as np
from PIL import Image

# Formats (PIL's names) that the C++ decoder reads; MPO is a JPEG with more pictures behind it.
_NATIVE_FORMATS = ("JPEG", "MPO", "PNG", "BMP", "TIFF")


def read_image_file(path: str) -> np.ndarray:
    """Return the bytes of an image file in a format that the C++ decoder reads, as 1-D uint8.

    Other formats (GIF, WebP, PPM) come back as the bytes of an equal BMP in RGB. Orientation tags are not applied.

    Raises:
        ValueError: with the path, if the file cannot be read or its header is no image's.
    """
    try:
        content = np.fromfile(path, np.uint8)
        with Image.open(io.BytesIO(content)) as image:
            if image.format in ("JPEG", "MPO"):
                _check_jpeg(content, image)
            if image.format in _NATIVE_FORMATS:
                return content
            bitmap = io.BytesIO()
            image.convert("RGB").save(bitmap, "BMP")
            return np.frombuffer(bitmap.getbuffer(), np.uint8)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"cannot read the image {path}: {error}") from None


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
