"""PyTorch's files, read without PyTorch: what torch wrote (weights_files/), other files, and damaged ones.

Files that torch never would write are in test_torch_attacks.py.
"""

import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from torch_format import name, program, state_dict, storage, tensor, value, write, zip_bytes
from weights_files.expected import EXPECTED, ramp
from weights_reading import assert_same, read_or_refuse

from mindcv.weights.torch_file import read_torch_file

FOLDER = Path(__file__).parent.parent / "weights_files"
both_formats = pytest.mark.parametrize("form", ["zip", "stream"])


# Files of torch.


@both_formats
@pytest.mark.parametrize("what", EXPECTED)
def test_tensors_equal_those_saved_by_torch(what, form):
    assert_same(read_torch_file(FOLDER / f"{what}_{form}.pth"), EXPECTED[what])


@both_formats
def test_tensors_of_one_storage_share_memory_and_cannot_be_written(form):
    weights = read_torch_file(FOLDER / f"tensors_{form}.pth")
    assert np.shares_memory(weights["shared_a"], weights["shared_b"])
    assert np.shares_memory(weights["parameter"], weights["parameter_again"])
    assert not np.shares_memory(weights["parameter"], weights["column"])
    assert not any(array.flags.writeable for array in weights.values() if array.size)


@both_formats
def test_handmade_files_are_read(tmp_path, form):
    path = write(tmp_path, form, state_dict(**{"a.weight": tensor(), "b": tensor(offset=1, shape=(2,), strides=(2,))}))
    assert_same(read_torch_file(path), {"a.weight": ramp(4), "b": ramp(4)[1::2]})


@pytest.mark.parametrize("kind, dtype", [("FloatStorage", ">f4"), ("LongStorage", ">i8"), ("HalfStorage", ">f2")])
def test_the_byte_order_of_an_archive_is_respected(tmp_path, kind, dtype):
    pickled = state_dict(w=tensor(storage(kind=kind)))
    path = tmp_path / "big.pth"
    path.write_bytes(zip_bytes(pickled, {"0": np.arange(4).astype(dtype)}, order="big", root="my_net"))
    assert_same(read_torch_file(path), {"w": np.arange(4).astype(dtype[1:])})
    path.write_bytes(zip_bytes(pickled, {"0": np.arange(4).astype(dtype)}, order="middle"))
    with pytest.raises(ValueError, match="its byte order is neither"):
        read_torch_file(path)


def test_every_bfloat16_comes_back_as_the_float32_of_the_same_bits(tmp_path):
    bits = np.arange(2**16, dtype=np.uint16)
    pickled = state_dict(w=tensor(storage(count=2**16, kind="BFloat16Storage"), shape=(2**16,)))
    read = read_torch_file(write(tmp_path, "zip", pickled, {"0": bits}))["w"]
    assert read.dtype == np.float32
    expected = b"".join(b"\0\0" + struct.pack("<H", half) for half in range(2**16))
    assert read.astype("<f4").tobytes() == expected


def test_any_nonzero_byte_becomes_true(tmp_path):
    path = write(tmp_path, "zip", state_dict(w=tensor(storage(kind="BoolStorage"))), {"0": np.uint8([0, 1, 2, 255])})
    assert read_torch_file(path)["w"].tobytes() == b"\0\1\1\1"


@both_formats
def test_averaged_weights_are_preferred_and_this_is_logged(tmp_path, form, caplog):
    order = ["state_dict_ema", "model_ema", "state_dict", "model"]
    for first in range(len(order)):
        entries = {key: b"}" + value(key) + tensor() + b"s" for key in reversed(order[first:])}
        skipped = dict.fromkeys(order[:first], b"N")  # `None`, as without an average
        path = write(tmp_path, form, state_dict(epoch=value(3), **skipped, **entries))
        caplog.clear()
        assert list(read_torch_file(path)) == [order[first]]
        assert (f"read from its entry {order[first]!r}" in caplog.text) == (len(entries) > 1)


# Files with other contents.


@both_formats
def test_entries_that_are_not_tensors_are_listed(tmp_path, form):
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
def test_a_single_tensor_is_an_error(tmp_path, form):
    with pytest.raises(ValueError, match="holds a Tensor, not a dictionary"):
        read_torch_file(write(tmp_path, form, program(tensor())))


@pytest.mark.parametrize(
    "file, reason",
    {
        "whole_network_zip": "asks for 'torch.nn.modules.linear.Linear'.*Nothing in the file was executed.*state_dict",
        "complex_zip": "torch.ComplexFloatStorage.*float32",
        "complex_stream": "torch.ComplexFloatStorage.*float32",
        "protocol_4_zip": "protocol 4",
    }.items(),
)
def test_saved_objects_other_than_weights_are_errors_with_their_name(file, reason):
    with pytest.raises(ValueError, match=f"{file}.pth is refused: .*{reason}"):
        read_torch_file(FOLDER / f"{file}.pth")


def test_other_kinds_of_files_are_errors(tmp_path):
    path = tmp_path / "file.pth"
    tar = bytearray(1024)
    tar[257:262] = b"ustar"
    for content, reason in [
        (b"", "empty"),
        (b"<!DOCTYPE html>", "torch.save did not write it.*DOCTYPE"),
        (pickle.dumps({"w": 1}, 2), "torch.save did not write it"),
        (bytes(tar), "tar format"),
        (zip_bytes(b"", {}, root="a/b"), "not of torch.save: 0 folders"),
        (b"PK\x03\x04" + bytes(100), "table of contents"),
    ]:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"is refused: .*{reason}"):
            read_torch_file(path)


def test_an_archive_of_impossible_size_is_an_error(tmp_path):
    """Its end record gives a negative position of the table of contents."""
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
        if form == "zip" and weights is not None:  # the stream has no checksums: changed numbers are not noticed
            assert_same(weights, EXPECTED[what])
