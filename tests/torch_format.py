"""Writes what `torch.save(state_dict, path)` writes, without PyTorch: for tests that need a network's `.pth`."""

import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

_EMPTY_DICT = b"ccollections\nOrderedDict\n)R"


def write_pth(path: str | Path, arrays: Mapping[str, np.ndarray]) -> Path:
    """Write float32 and int64 arrays by name in the zip format; returns the path."""
    program = b"\x80\x02" + _EMPTY_DICT + b"("
    with zipfile.ZipFile(path, "w") as archive:
        for key, (name, array) in enumerate(arrays.items()):
            kind = {"float32": b"FloatStorage", "int64": b"LongStorage"}[array.dtype.name]
            strides = [stride // array.itemsize for stride in array.strides]
            storage = b"(" + _text("storage") + b"ctorch\n" + kind + b"\n" + _text(str(key)) + _text("cpu")
            storage += _number(array.size) + b"tQ"
            program += _text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + _number(0)
            program += _numbers(array.shape) + _numbers(strides) + b"\x89" + _EMPTY_DICT + b"tR"
            archive.writestr(f"archive/data/{key}", array.tobytes())
        archive.writestr("archive/data.pkl", program + b"u.")
        archive.writestr("archive/version", "3\n")
    return Path(path)


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text.encode())) + text.encode()


def _number(number: int) -> bytes:
    return b"J" + struct.pack("<i", number)


def _numbers(numbers) -> bytes:
    return b"(" + b"".join(map(_number, numbers)) + b"t"
