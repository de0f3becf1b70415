"""Reads damaged image files: `python tests/programs/image_mutations.py FOLDER SEED COUNT`.

Whole small images of every format and mode are cut, and their bytes flipped, overwritten, inserted, deleted and copied;
most PNGs get right checksums again. Prints `START number` before each file and `END number format outcome` after it.
The outcome is "pixels", "refused" (by `read_image_file`) or "undecodable" (refused by the decoder).
"""

import io
import struct
import sys
import zlib
from pathlib import Path

import mindcv  # noqa: F401  (first: it sets what MindSpore reads when it is imported)

# isort: split
import mindspore.dataset.vision as vision
import numpy as np
from PIL import Image

from mindcv.data.image_file import BadImageError, read_image_file, why_not_decoded

EXTREMES = (
    b"\0\0",
    b"\xff\xff",
    b"\x7f\xff",
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
)


def whole_images() -> list[tuple[str, bytes]]:
    """(format, content) of many kinds of image files."""
    y, x = np.mgrid[0:60, 0:80]
    pixels = np.stack([x * 3, y * 4, 235 - x - y], 2).clip(0, 235) + np.random.default_rng(7).integers(
        0, 20, (60, 80, 3)
    )
    colour = Image.fromarray(pixels.astype(np.uint8))
    deep = Image.fromarray((x * 800).astype(np.uint16))
    two = {"save_all": True, "append_images": [colour.rotate(90)]}
    kinds = [("JPEG", colour, {}), ("JPEG", colour, {"progressive": True}), ("MPO", colour, two)]
    kinds += [("JPEG", colour.convert(mode), {}) for mode in ("L", "CMYK")]
    kinds += [("JPEG", colour, {"subsampling": 0, "restart_marker_rows": 1})]
    kinds += [("PNG", colour.convert(mode), {}) for mode in ("RGB", "P", "1", "LA", "RGBA")] + [("PNG", deep, {})]
    kinds += [("BMP", colour.convert(mode), {}) for mode in ("RGB", "P", "1", "L")]
    kinds += [("TIFF", colour.convert(mode), {}) for mode in ("RGB", "P", "CMYK", "RGBA")] + [("TIFF", deep, {})]
    kinds += [
        ("TIFF", colour, {"compression": name}) for name in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")
    ]
    kinds += [("TIFF", colour.convert("1"), {"compression": "group4"})]
    kinds += [("GIF", colour.convert("P"), {}), ("GIF", colour, two), ("PPM", colour, {}), ("PPM", deep, {})]
    kinds += [("WEBP", colour, {}), ("WEBP", colour, {"lossless": True}), ("WEBP", colour.convert("RGBA"), two)]
    files = []
    for fmt, image, options in kinds:
        buffer = io.BytesIO()
        image.save(buffer, fmt, **options)
        files.append((fmt, buffer.getvalue()))
    return files


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """Damage a file, half of the time near its beginning."""
    changed, size = bytearray(content), len(content)

    def place() -> int:
        return int(rng.integers(size)) if rng.random() < 0.5 else min(size - 1, int(rng.exponential(60)))

    start, length = place(), int(rng.integers(1, 40))
    garbage = rng.bytes(length)
    match rng.integers(7):
        case 0:
            del changed[rng.integers(size) :]
        case 1:
            for _ in range(rng.integers(1, 8)):
                changed[place()] ^= 1 << int(rng.integers(8))
        case 2:
            changed[start : start + length] = garbage
        case 3:
            changed[start:start] = garbage
        case 4:
            del changed[start : start + length]
        case 5:
            other = place()
            changed[start : start + length] = changed[other : other + length]
        case _:
            for _ in range(rng.integers(1, 4)):
                start, extreme = place(), EXTREMES[rng.integers(len(EXTREMES))]
                changed[start : start + len(extreme)] = extreme
    return bytes(changed)


def with_right_checksums(png: bytes) -> bytes:
    """Correct the checksums, so that damage is not detected by them."""
    parts, start = [png[:8]], 8
    while start + 12 <= len(png):
        (size,) = struct.unpack(">I", png[start : start + 4])
        body = png[start + 4 : start + 8 + size]
        parts += [png[start : start + 4], body, struct.pack(">I", zlib.crc32(body))]
        start += 12 + size
    return b"".join(parts) + png[start:]


def main(folder: str, seed: str, count: str) -> None:
    files = whole_images()
    decode, crop, resize = vision.Decode(), vision.RandomCropDecodeResize(32), vision.Resize(36)
    path = Path(folder) / "damaged"
    for number in range(int(count)):
        rng = np.random.default_rng((int(seed), number))
        fmt, content = files[number % len(files)]
        content = mutate(content, rng)
        if fmt == "PNG" and rng.random() < 0.7:
            content = with_right_checksums(content)
        path.write_bytes(content)
        print("START", number, flush=True)
        try:
            read = read_image_file(path)
            outcome = "pixels"
            resize(decode(read))
            crop(read)
        except BadImageError as error:
            outcome = "refused"
            assert error.reason and "\n" not in error.reason
        except RuntimeError as error:
            outcome = "undecodable"
            assert why_not_decoded(read, error)
        print("END", number, fmt, outcome, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
