"""PyTorch's files, read without PyTorch. What torch wrote is in weights_files/; what it never would is made here."""

import copy
import os
import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mindcv.weights.torch_file import read_torch_file

FOLDER = Path(__file__).parent.parent / "weights_files"
MAGIC = 0x1950A86A20F9469CFC6C
both_formats = pytest.mark.parametrize("form", ["zip", "stream"])


# What weights_files/make_torch_files.py saved, by the same formulas.


def ramp(count, dtype=np.float32):
    return (np.arange(count) / 8).astype(dtype)


def expected_tensors():
    return {
        "contiguous": ramp(24).reshape(2, 3, 4),
        "scalar": np.array(2.5, np.float32),
        "empty": np.zeros((0, 3), np.float32),
        "float64": ramp(6, np.float64),
        "float16": ramp(6, np.float16),
        "bfloat16": ramp(6) - np.float32(0.25),
        "int64": np.array(2**40 + 7),
        "int32": np.arange(-3, 3, dtype=np.int32),
        "int16": np.arange(-3, 3, dtype=np.int16),
        "int8": np.arange(-3, 3, dtype=np.int8),
        "uint8": np.arange(250, 256, dtype=np.uint8),
        "bool": np.array([True, False, False, True, False, False]),
        "transposed": np.array([[i / 8, (i + 4) / 8, (i + 8) / 8] for i in range(4)], np.float32),
        "column": np.array([1 / 8, 5 / 8, 9 / 8], np.float32),
        "one_row": np.array([[4 / 8, 5 / 8, 6 / 8, 7 / 8]], np.float32),
        "expanded": np.array([[0.5] * 3, [-1.0] * 3], np.float32),
        "channels_last": ramp(24).reshape(1, 2, 3, 4),
        "shared_a": np.array([2 / 8, 3 / 8, 4 / 8, 5 / 8], np.float32),
        "shared_b": np.array([4 / 8, 5 / 8, 6 / 8, 7 / 8, 8 / 8, 9 / 8], np.float32),
        "parameter": ramp(4),
        "parameter_again": ramp(4),
    }


def expected_network():
    return {
        "fc.weight": ramp(6).reshape(2, 3) + 3,
        "fc.bias": ramp(2) + 3,
        "bn.weight": ramp(2) + 3,
        "bn.bias": ramp(2) + 3,
        "bn.running_mean": ramp(2) + 3,
        "bn.running_var": ramp(2) + 3,
        "bn.num_batches_tracked": np.array(3),
    }


def expected_training():
    return {"fc.weight": ramp(6).reshape(2, 3), "fc.bias": ramp(2)}


EXPECTED = {
    "tensors": expected_tensors(),
    "network": expected_network(),
    "training": expected_training(),
    "training_ema": {name: -array for name, array in expected_training().items()},
    "compiled": expected_training(),
}


def assert_same(read, expected):
    assert list(read) == list(expected)
    for name, array in expected.items():
        assert (read[name].dtype, read[name].shape) == (array.dtype, array.shape), name
        assert read[name].tobytes() == array.tobytes(), name


# Files by hand: the two formats around any pickle.


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


def zip_bytes(tmp_path, pickled, storages, order=None, root="archive", compression=zipfile.ZIP_STORED):
    path = tmp_path / "made.zip"
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(f"{root}/data.pkl", pickled)
        if order:
            archive.writestr(f"{root}/byteorder", order)
        for key, array in storages.items():
            archive.writestr(f"{root}/data/{key}", array.tobytes())
    return path.read_bytes()


def stream_bytes(pickled, storages):
    head = b"".join(pickle.dumps(thing, 2) for thing in (MAGIC, 1001, {"little_endian": True}))
    tail = b"".join(struct.pack("<q", array.size) + array.tobytes() for array in storages.values())
    return head + pickled + pickle.dumps(list(storages), 2) + tail


def write(tmp_path, form, pickled, storages=None):
    storages = {"0": ramp(4)} if storages is None else storages
    path = tmp_path / f"{form}.pth"
    path.write_bytes(zip_bytes(tmp_path, pickled, storages) if form == "zip" else stream_bytes(pickled, storages))
    return path


def read_or_refuse(path):
    """The arrays, or None if the file is refused as it has to be: with a ValueError that begins with its path."""
    try:
        weights = read_torch_file(path)
    except ValueError as error:
        assert str(error).startswith(f"{path} is refused: ")
        return None
    assert all(isinstance(key, str) and isinstance(array, np.ndarray) for key, array in weights.items())
    return weights


# Reading what torch wrote.


@both_formats
@pytest.mark.parametrize("what", EXPECTED)
def test_tensors_are_those_that_torch_saved(what, form):
    assert_same(read_torch_file(FOLDER / f"{what}_{form}.pth"), EXPECTED[what])


@both_formats
def test_tensors_of_one_storage_share_memory_and_cannot_be_written(form):
    weights = read_torch_file(FOLDER / f"tensors_{form}.pth")
    assert np.shares_memory(weights["shared_a"], weights["shared_b"])
    assert np.shares_memory(weights["parameter"], weights["parameter_again"])
    assert not np.shares_memory(weights["parameter"], weights["column"])
    assert not any(array.flags.writeable for array in weights.values() if array.size)


@both_formats
def test_files_made_by_hand_are_read(tmp_path, form):
    path = write(tmp_path, form, state_dict(**{"a.weight": tensor(), "b": tensor(offset=1, shape=(2,), strides=(2,))}))
    assert_same(read_torch_file(path), {"a.weight": ramp(4), "b": ramp(4)[1::2]})


@pytest.mark.parametrize("kind, dtype", [("FloatStorage", ">f4"), ("LongStorage", ">i8"), ("HalfStorage", ">f2")])
def test_byte_order_of_an_archive_is_heeded(tmp_path, kind, dtype):
    pickled = state_dict(w=tensor(storage(kind=kind)))
    path = tmp_path / "big.pth"
    path.write_bytes(zip_bytes(tmp_path, pickled, {"0": np.arange(4).astype(dtype)}, order="big", root="my_net"))
    assert_same(read_torch_file(path), {"w": np.arange(4).astype(dtype[1:])})
    path.write_bytes(zip_bytes(tmp_path, pickled, {"0": np.arange(4).astype(dtype)}, order="middle"))
    with pytest.raises(ValueError, match="its byte order is neither"):
        read_torch_file(path)


def test_every_bfloat16_comes_back_as_the_float32_of_the_same_bits(tmp_path):
    bits = np.arange(2**16, dtype=np.uint16)
    pickled = state_dict(w=tensor(storage(count=2**16, kind="BFloat16Storage"), shape=(2**16,)))
    read = read_torch_file(write(tmp_path, "zip", pickled, {"0": bits}))["w"]
    assert read.dtype == np.float32
    expected = b"".join(b"\0\0" + struct.pack("<H", half) for half in range(2**16))
    assert read.astype("<f4").tobytes() == expected


def test_a_byte_that_is_no_truth_value_becomes_one(tmp_path):
    path = write(tmp_path, "zip", state_dict(w=tensor(storage(kind="BoolStorage"))), {"0": np.uint8([0, 1, 2, 255])})
    assert read_torch_file(path)["w"].tobytes() == b"\0\1\1\1"


@both_formats
def test_prefixes_of_wrappers_are_taken_off_unless_names_would_collide(tmp_path, form):
    names = ["module._orig_mod.a", "_orig_mod.module.b", "c.module.d", "modules.e"]
    path = write(tmp_path, form, state_dict(**dict.fromkeys(names, tensor())))
    assert list(read_torch_file(path)) == ["a", "b", "c.module.d", "modules.e"]
    path = write(tmp_path, form, state_dict(**{"a": tensor(), "module.a": tensor()}))
    with pytest.raises(ValueError, match="have the same name"):
        read_torch_file(path)


@both_formats
def test_the_average_of_the_weights_comes_before_the_weights_and_that_is_said(tmp_path, form, caplog):
    order = ["state_dict_ema", "model_ema", "state_dict", "model"]
    for first in range(len(order)):
        entries = {key: b"}" + value(key) + tensor() + b"s" for key in reversed(order[first:])}
        skipped = dict.fromkeys(order[:first], b"N")  # `None`, as where no average was kept
        path = write(tmp_path, form, state_dict(epoch=value(3), **skipped, **entries))
        caplog.clear()
        assert list(read_torch_file(path)) == [order[first]]
        assert (f"taken from its entry {order[first]!r}" in caplog.text) == (len(entries) > 1)


# Files that hold something else.


@both_formats
def test_entries_that_are_no_tensors_are_named(tmp_path, form):
    namespace = name("argparse", "Namespace") + b")\x81}" + value("lr") + value(0.1) + b"sb"
    path = write(tmp_path, form, state_dict(w=tensor(), best=value(71.5), args=namespace, net=value({})))
    with pytest.raises(
        ValueError, match=r"'best' \(float\), 'args' \(argparse.Namespace\), 'net' \(dict\).*state_dict"
    ):
        read_torch_file(path)
    path = write(tmp_path, form, program(b"}", value(7), tensor(), b"s"))
    with pytest.raises(ValueError, match=r"'7' \(Tensor\)"):
        read_torch_file(path)


@both_formats
def test_a_lone_tensor_is_refused(tmp_path, form):
    with pytest.raises(ValueError, match="holds a Tensor, not a dictionary"):
        read_torch_file(write(tmp_path, form, program(tensor())))


@pytest.mark.parametrize(
    "file, reason",
    {
        "whole_network_zip": "asks for 'torch.nn.modules.linear.Linear'.*Nothing of the file was run.*state_dict",
        "complex_zip": "torch.ComplexFloatStorage.*float32",
        "complex_stream": "torch.ComplexFloatStorage.*float32",
        "protocol_4_zip": "protocol 4",
    }.items(),
)
def test_what_torch_saved_beyond_weights_is_refused_by_name(file, reason):
    with pytest.raises(ValueError, match=f"{file}.pth is refused: .*{reason}"):
        read_torch_file(FOLDER / f"{file}.pth")


def test_other_files_are_refused_by_kind(tmp_path):
    path = tmp_path / "file.pth"
    tar = bytearray(1024)
    tar[257:262] = b"ustar"
    for content, reason in [
        (b"", "empty"),
        (b"<!DOCTYPE html>", "torch.save did not write it.*DOCTYPE"),
        (pickle.dumps({"w": 1}, 2), "torch.save did not write it"),
        (bytes(tar), "tar format"),
        (zip_bytes(tmp_path, b"", {}, root="a/b"), "not one of torch.save: 0 folders"),
        (b"PK\x03\x04" + bytes(100), "table of contents"),
    ]:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"is refused: .*{reason}"):
            read_torch_file(path)


def test_an_archive_of_impossible_extent_is_refused(tmp_path):
    """Its end says, in 64 bits, that the table of contents begins long before the file."""
    end = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, 2**64 - 1, 2**64 - 1)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 100, 1)
    last = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, 2**32 - 1, 2**32 - 1, 0)
    path = tmp_path / "extent.pth"
    path.write_bytes(b"PK\x03\x04".ljust(100, b"\0") + end + locator + last)
    with pytest.raises(ValueError, match="table of contents"):
        read_torch_file(path)


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_torch_file(tmp_path / "none.pth")


# Files made to do harm. `victim` is a folder that they try to make.


class Harm:
    def __init__(self, victim):
        self.victim = victim

    def __reduce__(self):
        return os.mkdir, (self.victim,)


def live_attacks(victim):
    """Opcodes with which `pickle.loads` makes the folder, and what the refusal has to name."""
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
def test_what_pickle_would_run_is_refused_and_not_run(tmp_path, form, attack):
    victim = tmp_path / "victim"
    opcodes, named = live_attacks(str(victim))[attack]
    with pytest.raises(ValueError, match=f"is refused: .*{named}"):
        read_torch_file(write(tmp_path, form, program(opcodes)))
    with pytest.raises(ValueError, match=f"is refused: .*{named}"):  # where only the optimizer's state would be
        read_torch_file(write(tmp_path, form, state_dict(state_dict=b"}" + value("w") + tensor() + b"s", o=opcodes)))
    assert not victim.exists()
    pickle.loads(program(opcodes))
    assert victim.exists(), "this attack would harm nobody"


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
        "call of text": (value("os.system") + b")R", "calls what is no function"),
        "call with a list": (name("collections", "OrderedDict") + b"]R", "calls collections.OrderedDict"),
        "dict of pairs": (
            name("collections", "OrderedDict") + value(([["a", 1]],)) + b"R",
            "calls collections.Ordered",
        ),
        "instance of a function": (
            name("torch._utils", "_rebuild_parameter") + b")\x81",
            "calls torch._utils._rebuild_p",
        ),
        "no storage": (tensor(value("storage")), "calls torch._utils._rebuild_tensor_v2"),
        "storage type": (tensor(name("torch", "FloatStorage")), "calls torch._utils._rebuild_tensor_v2"),
        "nested": (
            name("torch._utils", "_rebuild_parameter") + b"(" + storage() + value(True) + value({}) + b"tR",
            "calls torch._utils._rebuild_parameter",
        ),
        "module": (b"(" + value("module") + name("torch", "float32") + value(None) + value(None) + b"tQ", "no storage"),
        "persistent text": (value("storage") + b"Q", "no storage"),
        "viewed storage": (storage()[:-2] + value(("0", 0, 2)) + b"tQ", "no storage"),
        "storage of a dtype": (storage(kind="float32"), "no storage"),
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
def test_what_torch_never_writes_is_refused(tmp_path, form, opcodes, named):
    with pytest.raises(ValueError, match=f"is refused: .*{named}"):
        read_torch_file(write(tmp_path, form, program(opcodes)))


# Files made to exhaust the machine, and views that reach outside their storage.


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
        (tensor(shape=(5,)), "reaches beyond its storage of 4"),
        (tensor(offset=1), "reaches beyond"),
        (tensor(offset=2**63, shape=(), strides=()), "reaches beyond"),
        (tensor(strides=(2,)), "reaches beyond"),
        (tensor(strides=(2**62,)), "reaches beyond"),
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
def test_a_view_beyond_its_storage_is_refused_before_memory_is_taken(tmp_path, form, view, reason, little_memory):
    path = write(tmp_path, form, state_dict(w=view))
    with pytest.raises(ValueError, match=f"is refused: .*({reason})"):
        read_torch_file(path)


@both_formats
def test_a_stride_along_one_element_does_not_matter(tmp_path, form):
    path = write(tmp_path, form, state_dict(w=tensor(offset=3, shape=(1, 1), strides=(2**63, 7))))
    assert_same(read_torch_file(path), {"w": ramp(4)[3:].reshape(1, 1)})


def test_a_stream_that_contradicts_itself_is_refused(tmp_path):
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
def test_a_storage_of_two_descriptions_is_refused(tmp_path, form):
    path = write(tmp_path, form, state_dict(a=tensor(), b=tensor(storage(kind="IntStorage"))))
    with pytest.raises(ValueError, match="described in two ways"):
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


def test_an_endless_pickle_is_given_up(tmp_path):
    path = write(tmp_path, "stream", program(b"N" * (1 << 23)))
    with pytest.raises(ValueError, match="longer than 8 MB"):
        read_torch_file(path)


def test_entries_that_lie_upon_each_other_are_refused(tmp_path):
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
    content = zip_bytes(tmp_path, pickled, {"0": np.zeros(10)}, compression=zipfile.ZIP_DEFLATED)
    (tmp_path / "bomb.pth").write_bytes(content)
    with pytest.raises(ValueError, match="is compressed or encrypted"):
        read_torch_file(tmp_path / "bomb.pth")


# Damage.


@both_formats
@pytest.mark.parametrize("what", EXPECTED)
def test_a_file_cut_off_anywhere_is_refused(tmp_path, what, form):
    content = (FOLDER / f"{what}_{form}.pth").read_bytes()
    path = tmp_path / "cut.pth"
    for length in [*range(0, len(content), 97), len(content) - 1]:
        path.write_bytes(content[:length])
        assert read_or_refuse(path) is None, length


@both_formats
@pytest.mark.parametrize("what", EXPECTED)
def test_a_flipped_byte_is_noticed_or_does_not_matter(tmp_path, what, form):
    content = (FOLDER / f"{what}_{form}.pth").read_bytes()
    path = tmp_path / "flipped.pth"
    for position in range(len(what), len(content), 11):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0x41]) + content[position + 1 :])
        weights = read_or_refuse(path)
        if form == "zip" and weights is not None:  # the stream has no checksums: other numbers cannot be told there
            assert_same(weights, EXPECTED[what])


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
def test_no_sequence_of_legal_opcodes_leads_out_of_the_reader(tmp_path_factory, pieces, form):
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
