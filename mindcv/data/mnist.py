"""MNIST in its idx layout, plain or compressed with gzip.

Source: LeCun, Cortes, Burges; big-endian header (magic, counts, sizes), then unsigned bytes.
"""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np

from mindcv.data.dataset import ArrayDataset, check_split
from mindcv.data.download import MNIST_FILES, download_files

STEMS = {"train": "train", "test": "t10k"}
IMAGES_MAGIC, LABELS_MAGIC = 2051, 2049  # unsigned bytes in 3 and in 1 dimensions


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
            found = sorted(entry.name for entry in root.iterdir())[:8] if root.is_dir() else []
            raise ValueError(
                f"mnist is not in {root}.\nExpected: {names[0]} and {names[1]}, each plain or with .gz, in {root}, "
                f"{root / 'MNIST'} or {root / 'mnist'}; --dataset_download fetches them. "
                f"Found: {', '.join(found) or 'nothing'}."
            )
        images, labels = _read_idx(paths[0], IMAGES_MAGIC), _read_idx(paths[1], LABELS_MAGIC)
        if len(images) != len(labels):
            raise ValueError(f"{paths[0]} has {len(images)} images but {paths[1]} has {len(labels)} labels.")
        digits = [str(digit) for digit in range(10)]
        super().__init__("mnist", split, digits, images[..., np.newaxis], labels, [(str(paths[1]), len(labels))])


def _find(root: Path, names: list[str]) -> list[Path] | None:
    """Return the paths of all `names` in the first folder that has them, preferring uncompressed files."""
    for folder in (root, root / "MNIST", root / "mnist", root / "MNIST" / "raw"):
        paths = [next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None) for name in names]
        if all(paths):
            return paths
    return None


def _read_idx(path: Path, magic: int) -> np.ndarray:
    """Read an idx file of unsigned bytes.

    Raises:
        ValueError: if the file is cut, is not an idx file, or has another number of dimensions than `magic` says.
    """
    content = path.read_bytes()
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path} is not a complete gzip file ({error}): delete it and get it again.") from None
    dimensions = magic & 0xFF
    header = 4 * (1 + dimensions)
    came = struct.unpack(">i", content[:4])[0] if len(content) >= 4 else None
    if came != magic or len(content) < header:
        raise ValueError(f"{path} is not an MNIST file: it must begin with the number {magic}; it begins with {came}.")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    if len(content) - header != np.prod(shape, dtype=np.int64) or 0 in shape:
        raise ValueError(
            f"{path} has {len(content) - header} bytes of data; its header promises {' x '.join(map(str, shape))}. "
            "It is incomplete: delete it and get it again."
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
