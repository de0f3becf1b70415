"""Damaged checkpoints, weight files and networks are read or a one-sentence error; the process survives.

The readers hand files to C++ (MindSpore, onnxruntime), which could end the process: so a process of its own reads them.
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import onnx
import pytest
from ckpt_format import array, field
from fuzzing import INPUTS, SCALE

from mindcv.checkpoint import save_checkpoint
from mindcv.export.metadata import append_info

HERE = Path(__file__).parent
WEIGHTS = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "a.bias": np.ones(2, np.float32)}
INFO = {"model": {"model": "sknet50", "num_classes": 2, "in_channels": 3}, "class_names": ["cat", "dog"]}


def damaged(content, rng):
    """Damage a file: a flipped bit, other bytes, a cut, a piece removed, repeated or moved, or noise at the end."""
    data = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 4])):
        start = rng.randrange(max(len(data), 1))
        piece = data[start : start + rng.randrange(1, 40)]
        how = rng.randrange(7)
        if how == 0 and data:
            data[start] ^= 1 << rng.randrange(8)
        elif how == 1 and data:
            data[start] = rng.choice([0, 1, 2, 0x7F, 0x80, 0xFF, rng.randrange(256)])
        elif how == 2:
            del data[start:]
        elif how == 3:
            del data[start : start + len(piece)]
        elif how == 4:
            data[start:start] = piece
        elif how == 5:
            place = rng.randrange(len(data) + 1)
            data[place:place] = piece
        else:
            data += rng.randbytes(rng.randrange(1, 30))
    return bytes(data)


def made_up(rng):
    """Return a checkpoint of arrays with random descriptions."""
    parts = []
    for _ in range(rng.randrange(1, 4)):
        dims, size = rng.choice([([], 4), ([1], 4), ([2], 8), ([2, 1], 8)])
        kind, content = b"Float32", rng.randbytes(size)
        how = rng.randrange(6)
        if how == 0:
            dims = [rng.choice([0, 1, 2, 3, -1, 2**31, 2**40, 2**62]) for _ in range(rng.choice([1, 1, 2, 3, 40]))]
        elif how == 1:
            kind = rng.choice([b"Int8", b"Float64", b"BFloat16", b"Bool", b"str", b"Int4", b"x", b"\xff", b""])
        elif how == 2:
            content = rng.randbytes(rng.choice([0, 1, 4, 8, 9]))
        parts.append(array(rng.choice([b"a", b"b", b"c", b"d", b"e", b"", b"\xff"]), dims, kind, content))
        if rng.random() < 0.2:
            parts.append(
                rng.choice([field(14, b"x"), field(1, b""), field(1, 5), field(1, field(3, b"")), b"\x0b\x0c"])
            )
    return b"".join(parts)


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """Name -> content of a valid file."""
    folder = tmp_path_factory.mktemp("originals")
    save_checkpoint(folder / "own.ckpt", WEIGHTS, INFO)
    entries = [{"name": name, "data": ms.Tensor(value)} for name, value in WEIGHTS.items()]
    ms.save_checkpoint(entries, str(folder / "plain.ckpt"))
    ms.save_checkpoint(entries, str(folder / "crc.ckpt"), crc_check=True)
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("ReduceMean", ["x"], ["m"], axes=[2, 3], keepdims=0),
            onnx.helper.make_node("MatMul", ["m", "w"], ["y"]),
        ],
        "g",
        [value("x", onnx.TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [value("y", onnx.TensorProto.FLOAT, ["batch", 2])],
        [onnx.numpy_helper.from_array(np.ones((3, 2), np.float32), "w")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, folder / "plain.onnx")
    onnx.save(model, folder / "own.onnx")
    append_info(folder / "own.onnx", {"input_shape": [None, 3, 8, 8]})
    files = [*folder.iterdir(), *(HERE.parent / "weights_files").glob("t*.*pth")]
    files += [HERE.parent / "weights_files" / "tensors.safetensors"]
    return {path.name: path.read_bytes() for path in files}


def read_all(folder):
    """Read all files in a separate process and return the result of each."""
    run = subprocess.run(
        [sys.executable, HERE / "read_files.py", folder],
        capture_output=True,
        text=True,
        timeout=300 * SCALE,
        env={**os.environ, "PYTHONPATH": str(HERE.parent.parent)},
    )
    lines = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
    assert run.returncode == 0, (
        f"the process ended with {run.returncode} at {lines[-1] if lines else run.stderr[-2000:]}"
    )
    memory = lines.pop()["largest_memory"]
    assert memory < 4e9
    return {line["file"]: line for line in lines if "begun" not in line}


def test_undamaged_files_are_read(originals, tmp_path):
    for name, content in originals.items():
        (tmp_path / name).write_bytes(content)
    assert {name: line.get("error") for name, line in read_all(tmp_path).items()} == dict.fromkeys(originals)


COUNTS = {"own.ckpt": 150, "plain.ckpt": 200, "crc.ckpt": 100, "own.onnx": 100, "plain.onnx": 200}
OTHERS = 40  # of each other file
MADE_UP = 200
INPUTS["test_fuzz_weights.py: test_a_damaged_file_is_read_or_an_error"] = SCALE * (sum(COUNTS.values()) + 7 * OTHERS)
INPUTS["test_fuzz_weights.py: test_a_random_checkpoint_is_read_or_an_error"] = SCALE * MADE_UP


def test_a_damaged_file_is_read_or_an_error(originals, tmp_path):
    rng = random.Random(20260101 + SCALE)
    for name, content in originals.items():
        for number in range(COUNTS.get(name, OTHERS) * SCALE):
            (tmp_path / f"{number}_{name}").write_bytes(damaged(content, rng) or b"\0")
    outcome = read_all(tmp_path)
    assert {name: line for name, line in outcome.items() if line.get("refused") is False} == {}
    for name, line in outcome.items():
        if name.endswith(".ckpt") and "size" in line:  # no more bytes than the file has
            assert line["size"] <= (tmp_path / name).stat().st_size, name
    read = {name for name, line in outcome.items() if "size" in line}
    unchanged = {name for name in read if (tmp_path / name).read_bytes() == originals[name.split("_", 1)[1]]}
    assert not {name for name in read - unchanged if name.endswith(("own.ckpt", "own.onnx"))}, "damage went unnoticed"


def test_a_random_checkpoint_is_read_or_an_error(tmp_path):
    rng = random.Random(20260102 + SCALE)
    for number in range(MADE_UP * SCALE):
        (tmp_path / f"{number}.ckpt").write_bytes(made_up(rng))
    outcome = read_all(tmp_path)
    assert {name: line for name, line in outcome.items() if line.get("refused") is False} == {}
    sizes = {name: line["size"] for name, line in outcome.items() if "size" in line}
    assert all(size <= (tmp_path / name).stat().st_size for name, size in sizes.items())
    assert 0.02 < len(sizes) / len(outcome) < 0.9, "both outcomes must occur"
