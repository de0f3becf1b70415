"""If the machine fails, files of weights and networks are not called damaged, in any format."""

import contextlib
import os
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest

from mindcv.checkpoint import save_checkpoint
from mindcv.export import read_info
from mindcv.export.metadata import append_info
from mindcv.weights import read_safetensors
from mindcv.weights import safetensors_file as safetensors_module
from mindcv.weights.load import read_weights

FILES = Path(__file__).parent.parent / "weights_files"


@contextlib.contextmanager
def no_more_files():
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.fixture(params=["w.ckpt", "w.safetensors", "w.pth", "w.onnx", "w.mindir"])
def path(request, tmp_path):
    path = tmp_path / request.param
    if path.suffix == ".ckpt":
        save_checkpoint(path, {"w": np.ones(3, np.float32)}, {})
    elif path.suffix in (".onnx", ".mindir"):
        path.write_bytes(b"")
        append_info(path, {})
    else:
        shutil.copy(next(FILES.glob(f"t*{path.suffix}")), path)
    return path


def test_too_many_open_files_are_reported_as_such(path):
    with no_more_files(), pytest.raises(OSError, match=rf"cannot read {path}: Too many open files"):
        (read_info if path.suffix in (".onnx", ".mindir") else read_weights)(path)


def test_a_file_that_shrinks_while_it_is_read_is_an_error(tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    shutil.copy(FILES / "tensors.safetensors", path)
    fstat = os.fstat

    def shrinking(descriptor):
        status = fstat(descriptor)
        os.truncate(path, 100)
        return status

    monkeypatch.setattr(safetensors_module.os, "fstat", shrinking)
    with pytest.raises(ValueError, match="truncated while it was read"):
        read_safetensors(path)
