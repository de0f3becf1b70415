"""safetensors files; weights_files/ has one written by the `safetensors` package."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from weights_files.expected import simple_tensors
from weights_reading import assert_same

from mindcv.weights.safetensors_file import read_safetensors

FILE = Path(__file__).parent.parent / "weights_files" / "tensors.safetensors"
EXPECTED = simple_tensors()


def content(table, data=b""):
    header = table if isinstance(table, bytes) else json.dumps(table).encode()
    return len(header).to_bytes(8, "little") + header + data


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def read(folder, data):
    path = folder / "made.safetensors"
    path.write_bytes(data)
    return read_safetensors(path)


def read_or_refuse(folder, data):
    try:
        weights = read(folder, data)
    except ValueError as error:
        assert str(error).startswith(f"{folder / 'made.safetensors'} is refused: ")
        return None
    assert all(isinstance(array, np.ndarray) for array in weights.values())
    return weights


def test_tensors_equal_those_saved_by_the_package():
    weights = read_safetensors(FILE)
    assert_same(dict(sorted(weights.items())), dict(sorted(EXPECTED.items())))  # the package sorts by size
    assert all(array.flags.owndata or array.base.flags.owndata for array in weights.values())


def test_the_order_is_the_tables_and_padding_is_accepted(tmp_path):
    table = {"b": entry(offsets=(8, 16)), "__metadata__": {"format": "pt"}, "a": entry(offsets=(0, 8))}
    data = np.arange(4, dtype="<f4").tobytes()
    weights = read(tmp_path, content(json.dumps(table).encode() + b"   ", data))
    assert list(weights) == ["b", "a"]
    assert_same(weights, {"b": np.float32([2, 3]), "a": np.float32([0, 1])})


def test_every_bfloat16_comes_back_as_the_float32_of_the_same_bits(tmp_path):
    bits = np.arange(2**16, dtype="<u2")
    weights = read(tmp_path, content({"w": entry("BF16", (2**16,), (0, 2**17))}, bits.tobytes()))
    assert weights["w"].dtype == np.float32
    assert weights["w"].view(np.uint32).tolist() == [half * 65536 for half in range(65536)]


@pytest.mark.parametrize("dtype, numpy_dtype", [("U16", np.uint16), ("U32", np.uint32), ("U64", np.uint64)])
def test_unsigned_numbers_are_read(tmp_path, dtype, numpy_dtype):
    array = np.array([0, np.iinfo(numpy_dtype).max], numpy_dtype)
    table = {"w": entry(dtype, (2,), (0, array.nbytes))}
    assert_same(read(tmp_path, content(table, array.tobytes())), {"w": array})


@pytest.mark.parametrize(
    "data, reason",
    [
        (b"", "empty"),
        (b"\x01", "not a safetensors file"),
        (b"<!DOCTYPE html>", "not a safetensors file"),
        ((100_000_001).to_bytes(8, "little") + b"{" + bytes(50), "not a safetensors file"),
        ((60).to_bytes(8, "little") + b"{" + bytes(50), "cut off"),
        (content(b"{]"), "table cannot be read"),
        (content(b'{"\xff": 1}'), "table cannot be read"),
        (content(b'{"a":' * 100_000), "nested too deeply"),
        (content(b'{"a": 1, "a": 1}'), "twice"),
        (content(b'{"w": {"dtype": "F32", "dtype": "F32", "shape": [], "data_offsets": [0, 4]}}', bytes(4)), "twice"),
        (content({"w": [1]}), "'w' is not described"),
        (content({"w": {"dtype": "F32", "shape": [2]}}), "'w' is not described"),
        (content({"w": {**entry(), "more": 1}}, bytes(8)), "'w' is not described"),
        (content({"w": entry("F8_E4M3", (8,))}, bytes(8)), "'F8_E4M3'; legal ones: F64, F32"),
        (content({"w": entry(["F32"])}, bytes(8)), "numbers of type"),
        (content({"w": entry(shape=(True, 2))}, bytes(8)), "impossible shape"),
        (content({"w": entry(shape=(-2,))}, bytes(8)), "impossible shape"),
        (content({"w": entry(shape=(2.0,))}, bytes(8)), "impossible shape"),
        (content({"w": entry(shape=(0, 2**50), offsets=(0, 0))}), "impossible shape"),
        (content({"w": entry(shape=(0, 2**39, 2**39), offsets=(0, 0))}), "impossible shape"),
        (content({"w": entry(shape=(1,) * 33, offsets=(0, 4))}, bytes(4)), "at most 32"),
        (content({"w": entry(shape=(10**11,))}, bytes(8)), "does not have 8 bytes"),
        (content({"w": entry(shape=(10**11,), offsets=(0, 4 * 10**11))}, bytes(8)), "cut off"),
        (content({"w": entry(offsets=(8, 0))}, bytes(8)), "does not have"),
        (content({"w": entry(offsets=(0, 8, 16))}, bytes(8)), "data_offsets"),
        (content({"w": entry(offsets=(-8, 0))}, bytes(8)), "data_offsets"),
        (content({"w": entry(offsets=("0", "8"))}, bytes(8)), "data_offsets"),
        (content({"w": entry()}, bytes(7)), "cut off"),
        (content({"w": entry()}, bytes(9)), "its table describes"),
        (content({"w": entry(offsets=(4, 12))}, bytes(12)), "'w' begins at byte 4"),
        (content({"v": entry(), "w": entry(offsets=(4, 12))}, bytes(12)), "'w' begins at byte 4"),
        (content({"v": entry(), "w": entry(offsets=(0, 8))}, bytes(8)), "'w' begins at byte 0"),
        (content({"v": entry(), "w": entry(offsets=(12, 20))}, bytes(20)), "'w' begins at byte 12"),
    ],
)
def test_violations_of_the_format_are_errors(tmp_path, data, reason):
    with pytest.raises(ValueError, match=f"is refused: .*{reason}"):
        read(tmp_path, data)


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_safetensors(tmp_path / "none.safetensors")


def test_a_file_cut_off_anywhere_is_refused(tmp_path):
    data = FILE.read_bytes()
    for length in range(len(data)):
        assert read_or_refuse(tmp_path, data[:length]) is None, length


def test_a_flipped_byte_raises_only_value_errors(tmp_path):
    data = FILE.read_bytes()
    for position in range(len(data)):
        for flip in (0x01, 0x41):
            read_or_refuse(tmp_path, data[:position] + bytes([data[position] ^ flip]) + data[position + 1 :])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 9) | st.integers() | st.floats() | st.sampled_from(["F32", "BOOL"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)
shapes = st.lists(st.integers(0, 3) | st.integers(0, 2**63), max_size=3)
entries = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "BF16", "BOOL", "I64"]) | json_values,
        "shape": shapes | json_values,
        "data_offsets": st.tuples(st.integers(0, 9), st.integers(0, 9)) | json_values,
    }
)


@settings(max_examples=300, deadline=None)
@given(table=st.dictionaries(st.text(max_size=3), entries | json_values, max_size=3), data=st.binary(max_size=12))
def test_any_table_is_read_or_an_error(tmp_path_factory, table, data):
    read_or_refuse(tmp_path_factory.mktemp("fuzz"), content(table, data))


@settings(max_examples=300, deadline=None)
@given(data=st.binary() | st.binary().map(lambda rest: content(b"{" + rest)) | st.binary().map(content))
def test_random_bytes_raise_only_value_errors(tmp_path_factory, data):
    read_or_refuse(tmp_path_factory.mktemp("fuzz"), data)
