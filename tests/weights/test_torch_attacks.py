"""Malicious, exhausting and random PyTorch files: they are errors, and nothing is executed."""

import copy
import os
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch_format import MAGIC, name, program, state_dict, storage, stream_bytes, tensor, value, write, zip_bytes
from weights_files.expected import ramp
from weights_reading import assert_same, read_or_refuse

from mindcv.weights.torch_file import read_torch_file

both_formats = pytest.mark.parametrize("form", ["zip", "stream"])


# Malicious files. `victim` is a folder that they try to create.


class Harm:
    def __init__(self, victim):
        self.victim = victim

    def __reduce__(self):
        return os.mkdir, (self.victim,)


def live_attacks(victim):
    """Return opcodes with which `pickle.loads` creates the folder, and the name expected in the message."""
    path = value(victim)
    eval_text = value(f"__import__('os').mkdir({victim!r})")
    get_mkdir = name("builtins", "getattr") + b"(" + name("importlib", "import_module") + value("os") + b"\x85R"
    return {
        "reduce": (name("os", "mkdir") + path + b"\x85R", "'os.mkdir'"),
        "eval": (name("builtins", "eval") + eval_text + b"\x85R", "'builtins.eval'"),
        "inst": (b"(" + path + b"ios\nmkdir\n", "opcode INST"),
        "obj": (b"(" + name("os", "mkdir") + path + b"o", "'os.mkdir'"),
        "getattr": (get_mkdir + value("mkdir") + b"tR" + path + b"\x85R", "'builtins.getattr'"),
        "stack_global": (value("os") + value("mkdir") + b"\x93" + path + b"\x85R", "opcode STACK_GLOBAL"),
        "reduce of a class": (pickle.dumps(Harm(victim), 2)[2:-1], r"\.mkdir'"),
        "state of a Namespace": (
            name("argparse", "Namespace") + b")\x81}" + value("x") + name("os", "mkdir") + path + b"\x85Rsb",
            "'os.mkdir'",
        ),
        "after the weights": (b"}" + value("a") + value(1) + b"s0" + name("os", "mkdir") + path + b"\x85R", "POP"),
    }


@both_formats
@pytest.mark.parametrize("attack", live_attacks("x"))
def test_code_that_pickle_would_run_is_an_error_and_not_run(tmp_path, form, attack):
    victim = tmp_path / "victim"
    opcodes, named = live_attacks(str(victim))[attack]
    with pytest.raises(ValueError, match=f"is refused: .*{named}"):
        read_torch_file(write(tmp_path, form, program(opcodes)))
    with pytest.raises(ValueError, match=f"is refused: .*{named}"):  # where only the optimizer's state would be
        read_torch_file(write(tmp_path, form, state_dict(state_dict=b"}" + value("w") + tensor() + b"s", o=opcodes)))
    assert not victim.exists()
    pickle.loads(program(opcodes))
    assert victim.exists(), "this attack would have no effect"


@both_formats
@pytest.mark.parametrize(
    "opcodes, named",
    {
        "dotted": (name("torch", "_utils.os.system"), "'torch._utils.os.system'"),
        "dotted 2": (name("torch._utils", "_rebuild_tensor_v2.__globals__"), "_rebuild_tensor_v2.__globals__'"),
        "method": (name("collections", "OrderedDict.__init__"), "'collections.OrderedDict.__init__'"),
        "near": (name("torch.storage", "_load_from_bytes"), "'torch.storage._load_from_bytes'"),
        "near 2": (name("torch._utils", "_rebuild_parameter_with_state"), "'torch._utils._rebuild_parameter_with"),
        "blank": (name("torch FloatStorage", "x"), "'torch FloatStorage.x'"),
        "escape": (name("torch", "\\x46loatStorage"), r"x46loatStorage'"),
        "half a name": (b"ctorch\nFloatStorage", "(cut off|asks for)"),
        "no name": (b"c", "(cut off|asks for)"),
        "not text": (b"c\xff\n\xfe\n", "xff"),
        "numpy": (name("numpy.core.multiarray", "scalar"), "'numpy.core.multiarray.scalar'"),
        "set": (name("builtins", "set"), "'builtins.set'"),
        "ext": (b"\x82\x01", "opcode EXT1"),
        "ext 4": (b"\x84\x01\0\0\0", "opcode EXT4"),
        "persid": (b"Pos.system\n", "opcode PERSID"),
        "newobj_ex": (name("argparse", "Namespace") + b")}\x92", "opcode NEWOBJ_EX"),
        "buffer": (b"\x97", "opcode NEXT_BUFFER"),
        "no opcode": (b"\xff", r"byte b'\\xff'"),
        "call of a dtype": (name("torch", "float32") + b")R", "calls torch.float32"),
        "call of a storage": (name("torch", "FloatStorage") + value((9,)) + b"R", "calls torch.FloatStorage"),
        "call of text": (value("os.system") + b")R", "calls something that is not a function"),
        "call with a list": (name("collections", "OrderedDict") + b"]R", "calls collections.OrderedDict"),
        "dict of pairs": (
            name("collections", "OrderedDict") + value(([["a", 1]],)) + b"R",
            "calls collections.Ordered",
        ),
        "instance of a function": (
            name("torch._utils", "_rebuild_parameter") + b")\x81",
            "calls torch._utils._rebuild_p",
        ),
        "not a storage": (tensor(value("storage")), "calls torch._utils._rebuild_tensor_v2"),
        "storage type": (tensor(name("torch", "FloatStorage")), "calls torch._utils._rebuild_tensor_v2"),
        "nested": (
            name("torch._utils", "_rebuild_parameter") + b"(" + storage() + value(True) + value({}) + b"tR",
            "calls torch._utils._rebuild_parameter",
        ),
        "module": (
            b"(" + value("module") + name("torch", "float32") + value(None) + value(None) + b"tQ",
            "not a storage",
        ),
        "persistent text": (value("storage") + b"Q", "not a storage"),
        "viewed storage": (storage()[:-2] + value(("0", 0, 2)) + b"tQ", "not a storage"),
        "storage of a dtype": (storage(kind="float32"), "not a storage"),
        "build of text": (value("a") + value({"__class__": 1}) + b"b", "changes a str"),
        "build of a tensor": (tensor() + value({"__setstate__": 1}) + b"b", "changes a Tensor"),
        "append to a dict": (b"}" + value(1) + b"a", "changes a dict"),
        "append to a tensor": (tensor() + b"(" + value(1) + b"e", "changes a Tensor"),
        "items of a list": (b"]" + value(1) + value(1) + b"s", "changes a list"),
        "odd items": (b"}(" + value(1) + b"u", "dictionary"),
        "tuple as key": (b"}" + value((1,)) + value(1) + b"s", "keys"),
        "list as key": (b"}]" + value(1) + b"s", "keys"),
        "empty stack": (b"", "damaged"),
        "no mark": (b"t", "damaged"),
        "no memo": (b"h\x07", "damaged"),
        "whole number": (value(2**65), "64 bits"),
    }.values(),
)
def test_opcodes_that_torch_never_writes_are_errors(tmp_path, form, opcodes, named):
    with pytest.raises(ValueError, match=f"is refused: .*{named}"):
        read_torch_file(write(tmp_path, form, program(opcodes)))


# Files that exhaust memory, and views that exceed their storage.


@pytest.fixture
def little_memory():
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6, f"{peak / 1e6:.0f} MB were allocated for a tiny file"


@both_formats
@pytest.mark.parametrize(
    "view, reason",
    [
        (tensor(storage(count=10**12), shape=(10**12,)), "more than the file has"),
        (tensor(storage(count=-1)), "more than the file has"),
        (tensor(storage(count=3), shape=(3,)), "16 bytes for 3|4 numbers instead of 3"),
        (tensor(storage(key="1")), "missing|belongs to no tensor"),
        (tensor(shape=(5,)), "exceeds its storage of 4"),
        (tensor(offset=1), "exceeds"),
        (tensor(offset=2**63, shape=(), strides=()), "exceeds"),
        (tensor(strides=(2,)), "exceeds"),
        (tensor(strides=(2**62,)), "exceeds"),
        (tensor(offset=-1), "offset and strides"),
        (tensor(offset=None), "offset and strides"),
        (tensor(strides=(-1,)), "offset and strides"),
        (tensor(strides=(1, 1)), "offset and strides"),
        (tensor(strides=(1.0,)), "offset and strides"),
        (tensor(strides=[1]), "offset and strides"),
        (tensor(shape=(2**39,), strides=(0,)), "repeats 4 numbers"),
        (tensor(shape=(2**13, 2**13), strides=(0, 0)), "repeats 4 numbers"),
        (tensor(shape=(True,)), "impossible shape"),
        (tensor(shape=(-4,)), "impossible shape"),
        (tensor(shape=(2**60,) * 4, strides=(0,) * 4), "impossible shape"),
        (tensor(shape=(0, 2**60), strides=(1, 1)), "impossible shape"),
        (tensor(shape=("4",)), "impossible shape"),
        (tensor(shape=(1,) * 33, strides=(1,) * 33), "at most 32"),
        (tensor(shape=None), "at most 32"),
    ],
)
def test_a_view_beyond_its_storage_is_an_error_before_allocating(tmp_path, form, view, reason, little_memory):
    path = write(tmp_path, form, state_dict(w=view))
    with pytest.raises(ValueError, match=f"is refused: .*({reason})"):
        read_torch_file(path)


@both_formats
def test_a_stride_along_one_element_does_not_matter(tmp_path, form):
    path = write(tmp_path, form, state_dict(w=tensor(offset=3, shape=(1, 1), strides=(2**63, 7))))
    assert_same(read_torch_file(path), {"w": ramp(4)[3:].reshape(1, 1)})


def test_a_contradictory_stream_is_an_error(tmp_path):
    path = tmp_path / "stream.pth"
    good = stream_bytes(state_dict(w=tensor()), {"0": ramp(4)})
    keys, twice = pickle.dumps(["0"], 2), pickle.dumps(["0", "0"], 2)
    storage_bytes = good[good.index(keys) + len(keys) :]
    for content, reason in [
        (good.replace(pickle.dumps(1001, 2), pickle.dumps(1002, 2)), "not version 1001"),
        (good.replace(keys, twice) + storage_bytes, "occurs twice"),
        (good.replace(keys, pickle.dumps(["1"], 2)), "belongs to no tensor"),
        (good.replace(keys, pickle.dumps([0], 2)), "no list of storages"),
        (good.replace(keys, pickle.dumps("0", 2)), "no list of storages"),
    ]:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"is refused: .*{reason}"):
            read_torch_file(path)
    path.write_bytes(good)
    assert_same(read_torch_file(path), {"w": ramp(4)})


@both_formats
def test_a_storage_with_two_descriptions_is_an_error(tmp_path, form):
    path = write(tmp_path, form, state_dict(a=tensor(), b=tensor(storage(kind="IntStorage"))))
    with pytest.raises(ValueError, match="two different descriptions"):
        read_torch_file(path)


@both_formats
def test_deep_nesting_neither_crashes_nor_hangs(tmp_path, form):
    deep = b")" + b"\x85" * 100_000
    assert read_or_refuse(write(tmp_path, form, state_dict(w=deep))) is None
    assert read_or_refuse(write(tmp_path, form, program(b"}" + deep + value(1) + b"s"))) is None
    assert read_or_refuse(write(tmp_path, form, program(deep + b"Q"))) is None
    assert read_or_refuse(write(tmp_path, form, program(b"(" * 100_000))) is None
    doubling = b"]" + b"".join(b"q" + bytes([n]) + b"](h" + bytes([n]) + b"h" + bytes([n]) + b"e" for n in range(60))
    assert read_or_refuse(write(tmp_path, form, state_dict(w=doubling))) is None


def test_an_endless_pickle_is_an_error(tmp_path):
    path = write(tmp_path, "stream", program(b"N" * (1 << 23)))
    with pytest.raises(ValueError, match="longer than 8 MB"):
        read_torch_file(path)


def test_overlapping_entries_are_an_error(tmp_path):
    path = tmp_path / "overlap.pth"
    tensors = {str(n): tensor(storage(str(n), 1000), shape=(1000,)) for n in range(3)}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", state_dict(**tensors))
        archive.writestr("archive/data/0", ramp(1000).tobytes())
        for n in (1, 2):
            twin = copy.copy(archive.getinfo("archive/data/0"))
            twin.filename = f"archive/data/{n}"
            archive.filelist.append(twin)
    with pytest.raises(ValueError, match="entries overlap"):
        read_torch_file(path)


def test_compressed_entries_are_refused(tmp_path, little_memory):
    pickled = state_dict(w=tensor(storage(count=4_000_000), shape=(4_000_000,)))
    content = zip_bytes(pickled, {"0": np.zeros(10)}, compression=zipfile.ZIP_DEFLATED)
    (tmp_path / "bomb.pth").write_bytes(content)
    with pytest.raises(ValueError, match="is compressed or encrypted"):
        read_torch_file(tmp_path / "bomb.pth")


# Random files.


PIECES = [
    *(bytes([code]) for code in b"()]}NatuesRbQ\x81\x85\x86\x87\x88\x89"),
    *(value(thing) for thing in (0, 1, 4, -1, 300, 2**40, 0.5, "0", "state_dict", "storage", "cpu", (4,), (1,), {})),
    *(b"q" + bytes([n]) for n in range(3)),
    *(b"h" + bytes([n]) for n in range(3)),
    storage(),
    tensor(),
    *(name("torch", attribute) for attribute in ("FloatStorage", "Size", "device", "float32")),
    *(name("torch._utils", attribute) for attribute in ("_rebuild_tensor_v2", "_rebuild_parameter", "_rebuild_tensor")),
    name("collections", "OrderedDict"),
    name("argparse", "Namespace"),
]


@settings(max_examples=400, deadline=None)
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=30), form=st.sampled_from(["zip", "stream"]))
def test_any_sequence_of_legal_opcodes_is_read_or_an_error(tmp_path_factory, pieces, form):
    read_or_refuse(write(tmp_path_factory.mktemp("fuzz"), form, program(*pieces)))


@settings(max_examples=300, deadline=None)
@given(
    start=st.sampled_from([b"", b"PK\x03\x04", stream_bytes(b"", {})[:-5], pickle.dumps(MAGIC, 2)]), rest=st.binary()
)
@example(start=b"", rest=b"\0")
def test_random_bytes_are_refused(tmp_path_factory, start, rest):
    path = tmp_path_factory.mktemp("fuzz") / "random.pth"
    path.write_bytes(start + rest)
    read_or_refuse(path)
