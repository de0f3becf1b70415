"""MindSpore's format: read and written bit-identically to MindSpore, except for files that it would misread."""

import io
import json

import mindspore as ms
import numpy as np
import pytest
from ckpt_format import array, field
from weights_reading import assert_same

from mindcv.checkpoint import DamagedError, read_checkpoint, save_checkpoint
from mindcv.checkpoint import format as format_module
from mindcv.checkpoint.format import encode, read_arrays


def check(content):
    return read_arrays(io.BytesIO(content))


KINDS = (
    "bool",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "float16",
    "float32",
    "float64",
)


SHAPES = [(), (1,), (5,), (2, 3), (1,) * 8]


def numbers(kind, shape):
    """Return random bytes as numbers, which include infinities and NaN with payloads."""
    rng = np.random.default_rng(len(shape))
    if kind == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    return np.frombuffer(rng.bytes(int(np.prod(shape)) * np.dtype(kind).itemsize), kind).reshape(shape)


def arrays_of_every_kind():
    return {f"{kind} {len(shape)}": numbers(kind, shape) for kind in KINDS for shape in SHAPES}


EXTRA = {"epoch": 3, "lr": 0.5, "done": True, "text": "h\u00e9\u732b"}


@pytest.mark.parametrize("crc", [False, True])
def test_files_of_mindspore_are_read_as_by_mindspore(tmp_path, crc):
    path = tmp_path / "x.ckpt"
    entries = [{"name": name, "data": ms.Tensor(array)} for name, array in arrays_of_every_kind().items()]
    ms.save_checkpoint(entries, str(path), append_dict=EXTRA, crc_check=crc)
    loaded = ms.load_checkpoint(str(path))
    with path.open("rb") as file:
        arrays, texts = read_arrays(file)
    assert texts == {"text": loaded.pop("text")}
    assert_same(arrays, {name: value.asnumpy() for name, value in loaded.items()})


def test_bfloat16_is_widened_exactly(tmp_path):
    values = np.array([1.5, -0.0, np.inf, 2.0**-130, 3.0e38], np.float32)
    tensor = ms.Tensor(values, ms.bfloat16)
    ms.save_checkpoint([{"name": "w", "data": tensor}, {"name": "s", "data": tensor[0]}], str(tmp_path / "x.ckpt"))
    loaded = ms.load_checkpoint(str(tmp_path / "x.ckpt"))
    with (tmp_path / "x.ckpt").open("rb") as file:
        arrays, _ = read_arrays(file)
    assert_same(arrays, {name: value.astype(ms.float32).asnumpy() for name, value in loaded.items()})


def test_written_files_are_those_of_mindspore(tmp_path):
    arrays = arrays_of_every_kind()
    entries = [{"name": name, "data": ms.Tensor(array)} for name, array in arrays.items()]
    ms.save_checkpoint(entries, str(tmp_path / "x.ckpt"), append_dict={"text": EXTRA["text"]})
    written = b"".join(piece for _, piece in encode(arrays, {"text": EXTRA["text"]}))
    assert written == (tmp_path / "x.ckpt").read_bytes()


def test_arrays_of_any_layout_and_byte_order_are_written_as_their_values():
    plain = np.arange(12, dtype=np.float32).reshape(3, 4)
    written = [
        b"".join(piece for _, piece in encode({"w": a}, {})) for a in (plain, plain.astype(">f4"), plain[:, ::2])
    ]
    assert written[0] == written[1]
    assert_same(check(written[2])[0], {"w": plain[:, ::2]})


@pytest.mark.parametrize("values", [np.zeros(2, complex), np.zeros((0, 3), np.float32), np.array(["a"])])
def test_arrays_that_the_format_cannot_hold_are_errors(values):
    with pytest.raises(ValueError, match=r"w cannot be saved: .* got"):
        list(encode({"w": values}, {}))


def test_mindspore_reads_files_of_this_package(tmp_path):
    arrays = arrays_of_every_kind()
    save_checkpoint(tmp_path / "x.ckpt", arrays, {"epoch": 3})
    loaded = ms.load_checkpoint(str(tmp_path / "x.ckpt"))
    assert json.loads(loaded.pop("mindcv")) == {"epoch": 3}
    assert_same({name: value.asnumpy() for name, value in loaded.items()}, arrays)


def test_large_arrays_are_split_as_mindspore_splits_them(tmp_path, monkeypatch):
    monkeypatch.setattr("mindcv.checkpoint.format._PART_SIZE", 12)
    values = np.arange(8, dtype=np.float32)
    content = b"".join(piece for _, piece in encode({"w": values, "v": values}, {}))
    parts = [values[:3], values[3:6], values[6:]]
    assert content == b"".join(array(name, [8], content=part.tobytes()) for name in (b"w", b"v") for part in parts)
    assert_same(check(content)[0], {"w": values, "v": values})
    (tmp_path / "x.ckpt").write_bytes(content)
    assert_same({n: p.asnumpy() for n, p in ms.load_checkpoint(str(tmp_path / "x.ckpt")).items()}, check(content)[0])


def test_a_wrong_crc_is_damage(tmp_path):
    entries = [{"name": "w", "data": ms.Tensor(np.ones(4, np.float32))}]
    ms.save_checkpoint(entries, str(tmp_path / "x.ckpt"), crc_check=True)
    content = (tmp_path / "x.ckpt").read_bytes()
    check(content)
    with pytest.raises(DamagedError, match="its CRC does not match"):
        check(content.replace(np.ones(4, np.float32).tobytes(), bytes(16)))


def test_a_file_that_shrinks_while_it_is_read_is_damaged(monkeypatch):
    file = io.BytesIO(array())
    entries = format_module._entries
    monkeypatch.setattr(format_module, "_entries", lambda *a: (entries(*a), file.truncate(12))[0])
    with pytest.raises(DamagedError, match="truncated while it was read"):
        read_arrays(file)


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"this is no checkpoint", "no field of the format begins at byte 0|cut off"),
        (b"\n", "cut off inside a number"),
        (b"\xff" * 11, "more than 64 bits"),
        (b"\x0b\x0c", "no field of the format begins at byte 0"),
        (array()[:-1], "field at byte 0 is cut off"),
        (array() + field(14, b"x"), "a field 14"),
        (field(15, bytes(32)), "a field 15"),
        (field(15, bytes(32)) + array(), "a field 15"),
        (array(dims=[3]), r"'w' of shape \[3\] and Float32 needs 12 bytes, but 8 are there"),
        (array(dims=[2**28, 8]), "but 8 are there"),
        (array(dims=[2**31]), "impossible shape"),
        (array(dims=[-2]), "impossible shape"),
        (array(dims=[0, 2]), "impossible shape"),
        (array(dims=[1] * 33), "more than 32 dimensions"),
        (array(dims=[0]), "needs 4 bytes, but 8 are there"),
        (array(content=bytes(7)), "needs 8 bytes, but 7 are there"),
        (array(content=bytes(12)), "needs 8 bytes, but 12 are there"),
        (array(content=b""), "needs 8 bytes, but 0 are there"),
        (array() + array(), "needs 8 bytes, but 16 are there"),
        (array(dims=[4]) + array(dims=[5]), "have different descriptions"),
        (array() + array(b"v") + array(), "'w' occurs twice"),
        (array(kind=b"Float99"), "numbers of type 'Float99'; legal ones: Bool"),
        (array(kind=b"str", content=b"abc"), "the text 'w' is cut"),
        (array(kind=b"str", content=b"\xff" * 4), "the text 'w' is not valid UTF-32"),
        (array(name=b"\xff"), "not valid UTF-8"),
        (array(kind=b"\xff"), "not valid UTF-8"),
        (field(1, field(1, b"w")), r"has fields \[1\] instead of \[1, 2\]"),
        (field(1, field(1, b"w") + field(3, b"")), r"has fields \[1, 3\]"),
        (field(1, field(1, b"w") * 2 + field(2, b"")), r"has fields \[1, 1, 2\]"),
        (field(1, field(1, b"w") + field(2, field(1, 2))), "lacks its type or its numbers"),
        (field(1, field(1, b"w") + field(2, field(2, b"str") * 2)), "repeated field 2"),
        (field(1, field(1, b"w") + field(2, field(4, b"x"))), "field 4"),
    ],
)
def test_files_that_mindspore_would_misread_are_damaged(content, reason):
    with pytest.raises(DamagedError, match=reason):
        check(content)


def test_damage_is_reported_with_the_file_its_size_and_the_reason(tmp_path):
    (tmp_path / "x.ckpt").write_bytes(array(dims=[3]))
    message = r"x\.ckpt is damaged or is not a MindSpore checkpoint \(\d+ bytes\): 'w' of shape \[3\] .* 8 are there\."
    with pytest.raises(DamagedError, match=message):
        read_checkpoint(tmp_path / "x.ckpt")


def test_mindspore_pads_missing_bytes(tmp_path):
    (tmp_path / "x.ckpt").write_bytes(array(dims=[1000], content=b"\1" * 8))
    weights = ms.load_checkpoint(str(tmp_path / "x.ckpt"))["w"].asnumpy()
    assert weights.shape == (1000,), "MindSpore has learnt to check: the docstring of format.py is out of date"


def test_a_file_cut_anywhere_is_an_error_or_has_complete_arrays():
    content = array() + array(b"v", [1, 2]) + array(b"u", [], content=bytes(4))
    ends = {len(array()), len(array() + array(b"v", [1, 2]))}
    for length in range(1, len(content)):
        if length in ends:
            check(content[:length])
        else:
            with pytest.raises(DamagedError):
                check(content[:length])
