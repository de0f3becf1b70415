"""MNIST in its idx layout, plain or compressed with gzip.

Source: LeCun, Cortes, Burges. A big-endian header (magic, counts, sizes) is followed by unsigned bytes.
"""

import gzip
import math
import struct
import zlib
from io import BufferedIOBase
from pathlib import Path

import numpy as np

from mindcv.data.dataset import ArrayDataset, check_split
from mindcv.data.download import MNIST_FILES, download_files
from mindcv.files import listed

STEMS = {"train": "train", "test": "t10k"}
IMAGES_MAGIC, LABELS_MAGIC = 2051, 2049  # unsigned bytes in 3 dimensions and in 1
_LARGEST = 1 << 30  # bytes of data in a file; twenty times the real size


class Mnist(ArrayDataset):
    """70,000 grey images of 28x28 in 10 classes, 10,000 of them for test."""

    def __init__(self, root: Path, split: str, download: bool) -> None:
        check_split("mnist", split, tuple(STEMS))
        names = [f"{STEMS[split]}-images-idx3-ubyte", f"{STEMS[split]}-labels-idx1-ubyte"]
        paths = _find(root, names)
        if paths is None and download:
            download_files(MNIST_FILES, root / "mnist")
            paths = _find(root, names)
        if paths is None:
            found = sorted(entry.name for entry in root.iterdir()) if root.is_dir() else []
            raise ValueError(
                f"mnist is not in {root}.\nExpected: {names[0]} and {names[1]}, each plain or with .gz, in {root}, "
                f"{root / 'MNIST'} or {root / 'mnist'}; --dataset_download fetches them. "
                f"Found: {listed(found, none='nothing')}."
            )
        images, labels = _read_idx(paths[0], IMAGES_MAGIC), _read_idx(paths[1], LABELS_MAGIC)
        if len(images) != len(labels):
            raise ValueError(f"{paths[0]} has {len(images)} images but {paths[1]} has {len(labels)} labels.")
        digits = [str(digit) for digit in range(10)]
        super().__init__("mnist", split, digits, images[..., np.newaxis], labels, [(str(paths[1]), len(labels))])


def _find(root: Path, names: list[str]) -> list[Path] | None:
    """Return the paths of all `names` in the first folder that has them, preferring uncompressed files."""
    for folder in (root, root / "MNIST", root / "mnist", root / "MNIST" / "raw"):
        choices = [(folder / name, folder / f"{name}.gz") for name in names]
        paths = [path for choice in choices if (path := next((p for p in choice if p.is_file()), None))]
        if len(paths) == len(names):
            return paths
    return None


def _read_idx(path: Path, magic: int) -> np.ndarray:
    """Read an idx file of unsigned bytes.

    Raises:
        ValueError: if the file is cut off, is not an idx file, or has another number of dimensions than `magic` says.
    """
    dimensions = magic & 0xFF
    header_size = 4 * (1 + dimensions)
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            header = file.read(header_size)
            came = struct.unpack(">i", header[:4])[0] if len(header) >= 4 else None
            if came != magic or len(header) < header_size:
                raise ValueError(
                    f"{path} is not an MNIST file: it must begin with the number {magic}; it begins with {came}."
                )
            shape = struct.unpack(f">{dimensions}I", header[4:])
            promised = math.prod(shape)
            content = _read_at_most(file, min(promised, _LARGEST) + 1)  # one more, to notice a longer file
    except (OSError, EOFError, zlib.error) as error:
        if path.suffix != ".gz" or (isinstance(error, OSError) and error.errno is not None):  # from the system
            raise
        raise ValueError(f"{path} is not a complete gzip file ({error}): delete it and get it again.") from None
    if len(content) != promised or promised == 0:
        found = f"more than {promised}" if len(content) > promised else str(len(content))
        raise ValueError(
            f"{path} has {found} bytes of data; its header promises {' x '.join(map(str, shape))}. "
            "It is incomplete or another file: delete it and get it again."
        )
    return np.frombuffer(content, np.uint8).reshape(shape)


def _read_at_most(file: BufferedIOBase, count: int) -> bytes:
    """Read in pieces, so that memory is allocated for the content, not for what a header promises."""
    pieces = []
    while count and (piece := file.read(min(count, 1 << 20))):
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)
