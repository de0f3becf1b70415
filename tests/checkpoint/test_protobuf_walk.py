"""The structure of MindSpore's checkpoints: what MindSpore writes passes, what it would misread does not."""

import mindspore as ms
import numpy as np
import pytest
from ckpt_format import array, field

from mindcv.checkpoint import save_checkpoint
from mindcv.checkpoint.protobuf_walk import check_structure


def check(tmp_path, content):
    path = tmp_path / "x.ckpt"
    path.write_bytes(content)
    check_structure(path)


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


@pytest.mark.parametrize("crc", [False, True])
def test_what_mindspore_writes_passes(tmp_path, crc):
    entries = [{"name": kind, "data": ms.Tensor(np.ones((2, 3), kind))} for kind in KINDS]
    entries += [
        {"name": "scalar", "data": ms.Tensor(np.float32(3))},
        {"name": "bfloat16", "data": ms.Tensor([1.0], ms.bfloat16)},
        {"name": "deep", "data": ms.Tensor(np.ones((1,) * 8, np.float32))},
    ]
    extra = {"epoch": 3, "lr": 0.5, "done": True, "text": "h\u00e9\u732b"}
    ms.save_checkpoint(entries, str(tmp_path / "x.ckpt"), append_dict=extra, crc_check=crc)
    check_structure(tmp_path / "x.ckpt")
    assert len(ms.load_checkpoint(str(tmp_path / "x.ckpt"))) == len(entries) + len(extra)


def test_what_this_package_writes_passes(tmp_path):
    save_checkpoint(tmp_path / "x.ckpt", {"w": np.ones((2, 3), np.float32)}, {"epoch": 3})
    check_structure(tmp_path / "x.ckpt")


def test_an_array_in_parts_passes(tmp_path):
    check(tmp_path, array(dims=[4]) + array(dims=[4]) + array(b"v"))
    weights = ms.load_checkpoint(str(tmp_path / "x.ckpt"))
    assert weights["w"].shape == (4,)


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
        (array(dims=[3]), r"'w' of shape \[3\] and Float32 takes 12 bytes, but 8 are there"),
        (array(dims=[2**28, 8]), "but 8 are there"),
        (array(dims=[2**31]), "impossible shape"),
        (array(dims=[-2]), "impossible shape"),
        (array(dims=[0, 2]), "impossible shape"),
        (array(dims=[1] * 33), "more than 32 dimensions"),
        (array(dims=[0]), "takes 4 bytes, but 8 are there"),
        (array(content=bytes(7)), "takes 8 bytes, but 7 are there"),
        (array(content=bytes(12)), "takes 8 bytes, but 12 are there"),
        (array(content=b""), "takes 8 bytes, but 0 are there"),
        (array() + array(), "takes 8 bytes, but 16 are there"),
        (array(dims=[4]) + array(dims=[5]), "described in two ways"),
        (array() + array(b"v") + array(), "'w' occurs twice"),
        (array(kind=b"Float99"), "numbers of type 'Float99'; legal ones: Bool"),
        (array(kind=b"str", content=b"abc"), "the text 'w' is cut"),
        (array(name=b"\xff"), "is none"),
        (array(kind=b"\xff"), "is none"),
        (field(1, field(1, b"w")), r"has fields \[1\] instead of \[1, 2\]"),
        (field(1, field(1, b"w") + field(3, b"")), r"has fields \[1, 3\]"),
        (field(1, field(1, b"w") * 2 + field(2, b"")), r"has fields \[1, 1, 2\]"),
        (field(1, field(1, b"w") + field(2, field(1, 2))), "not described by its type and its numbers"),
        (field(1, field(1, b"w") + field(2, field(2, b"str") * 2)), "has twice"),
        (field(1, field(1, b"w") + field(2, field(4, b"x"))), "a field 4"),
    ],
)
def test_what_mindspore_would_misread_or_fail_at_is_refused(tmp_path, content, reason):
    with pytest.raises(ValueError, match=rf"x\.ckpt is damaged or is not a MindSpore checkpoint .*({reason})"):
        check(tmp_path, content)


def test_an_empty_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is empty"):
        check(tmp_path, b"")


def test_mindspore_itself_fills_up_what_is_missing(tmp_path):
    (tmp_path / "x.ckpt").write_bytes(array(dims=[1000], content=b"\1" * 8))
    weights = ms.load_checkpoint(str(tmp_path / "x.ckpt"))["w"].asnumpy()
    assert weights.shape == (1000,), "MindSpore has learnt to check: protobuf_walk.py may go"


def test_every_cut_between_fields_or_inside_one_is_refused_or_leaves_whole_arrays(tmp_path):
    content = array() + array(b"v", [1, 2]) + array(b"u", [], content=bytes(4))
    ends = {len(array()), len(array() + array(b"v", [1, 2]))}
    for length in range(1, len(content)):
        if length in ends:
            check(tmp_path, content[:length])
        else:
            with pytest.raises(ValueError, match="damaged"):
                check(tmp_path, content[:length])
