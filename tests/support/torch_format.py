"""Files of `torch.save`, written without PyTorch: the two formats around any pickle, and a network's `.pth`."""

import pickle
import struct
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
from weights_files.expected import ramp

MAGIC = 0x1950A86A20F9469CFC6C
_STORAGE_OF = {"float32": "FloatStorage", "int64": "LongStorage"}


def write_pth(path: str | Path, arrays: Mapping[str, np.ndarray]) -> Path:
    """Write float32 and int64 arrays as the state dict of a zip archive; returns the path."""
    tensors = {}
    for key, (label, array) in enumerate(arrays.items()):
        assert array.flags.c_contiguous
        strides = tuple(stride // array.itemsize for stride in array.strides)
        source = storage(str(key), array.size, _STORAGE_OF[array.dtype.name])
        tensors[label] = tensor(source, shape=array.shape, strides=strides)
    Path(path).write_bytes(zip_bytes(state_dict(**tensors), {str(k): a for k, a in enumerate(arrays.values())}))
    return Path(path)


def value(thing):
    """The opcodes that push a plain value."""
    return pickle.dumps(thing, 2)[2:-1]


def program(*opcodes, protocol=2):
    return b"\x80" + bytes([protocol]) + b"".join(opcodes) + b"."


def name(module, attribute):
    return f"c{module}\n{attribute}\n".encode()


def storage(key="0", count=4, kind="FloatStorage"):
    return b"(" + value("storage") + name("torch", kind) + value(key) + value("cpu") + value(count) + b"tQ"


def tensor(source=None, offset=0, shape=(4,), strides=(1,)):
    arguments = [source or storage(), value(offset), value(shape), value(strides), value(False), value({})]
    return name("torch._utils", "_rebuild_tensor_v2") + b"(" + b"".join(arguments) + b"tR"


def state_dict(**tensors):
    return program(b"}(", *(part for key, opcodes in tensors.items() for part in (value(key), opcodes)), b"u")


def zip_bytes(pickled, storages, order=None, root="archive", compression=zipfile.ZIP_STORED):
    """An archive around a pickle, with arrays for its storages."""
    content = BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        archive.writestr(f"{root}/data.pkl", pickled)
        if order:
            archive.writestr(f"{root}/byteorder", order)
        for key, array in storages.items():
            archive.writestr(f"{root}/data/{key}", array.tobytes())
    return content.getvalue()


def stream_bytes(pickled, storages):
    """The older format around a pickle."""
    head = b"".join(pickle.dumps(thing, 2) for thing in (MAGIC, 1001, {"little_endian": True}))
    tail = b"".join(struct.pack("<q", array.size) + array.tobytes() for array in storages.values())
    return head + pickled + pickle.dumps(list(storages), 2) + tail


def write(tmp_path, form, pickled, storages=None):
    """A file of one of the formats around any pickle; by default with the storage that `tensor()` shows."""
    path = tmp_path / f"{form}.pth"
    storages = {"0": ramp(4)} if storages is None else storages
    path.write_bytes((zip_bytes if form == "zip" else stream_bytes)(pickled, storages))
    return path
