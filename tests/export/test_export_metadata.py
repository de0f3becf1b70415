"""The description in an exported file: appended, readable by any protobuf reader, protected by a checksum."""

import onnx
import pytest
from mindspore.train.mind_ir_pb2 import ModelProto

from mindcv.export.metadata import append_info, read_info

INFO = {"model": {"model": "sknet50"}, "class_names": ["Möwe", "a" * 300], "mean": [0.5, 0.25]}


@pytest.fixture
def model_file(tmp_path):
    """A small message with fields of several wire types before the entries."""
    message = ModelProto(ir_version="1", producer_name="test", little_endian=True, mind_ir_version=3)
    message.graph.name = "x" * 5000
    message.graph.node.add(name="conv", op_type="Conv2D")
    path = tmp_path / "network.mindir"
    path.write_bytes(message.SerializeToString())
    return path


def test_info_round_trips(model_file):
    assert read_info(model_file) == {}
    append_info(model_file, INFO)
    assert read_info(model_file) == INFO


def test_other_protobuf_readers_find_the_entries_and_the_original_bytes(model_file):
    before = ModelProto.FromString(model_file.read_bytes())
    append_info(model_file, INFO)
    after = ModelProto.FromString(model_file.read_bytes())
    assert set(after.user_info) == {"mindcv", "mindcv_sha256"}
    assert "sknet50" in after.user_info["mindcv"]
    after.user_info.clear()
    assert after == before


def test_onnx_reads_the_same_entries(tmp_path):
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
    path = tmp_path / "network.onnx"
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([node], "g", values[:1], values[1:])), path)
    append_info(path, INFO)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert [entry.key for entry in model.metadata_props] == ["mindcv", "mindcv_sha256"]
    assert read_info(path) == INFO


@pytest.mark.parametrize("position", [0.1, 0.5, 0.93, 0.99])
def test_a_changed_byte_is_detected(model_file, position):
    append_info(model_file, INFO)
    content = bytearray(model_file.read_bytes())
    content[int(position * len(content))] ^= 1
    model_file.write_bytes(content)
    with pytest.raises(ValueError, match=r"network\.mindir is damaged"):
        read_info(model_file)


def test_every_truncation_is_detected(model_file):
    whole = model_file.stat().st_size
    append_info(model_file, INFO)
    content = model_file.read_bytes()
    unnoticed = []
    for length in range(whole + 1, len(content)):
        model_file.write_bytes(content[:length])
        try:
            read_info(model_file)
        except ValueError as error:
            assert "network.mindir is damaged" in str(error)
        else:
            unnoticed.append(length)
    assert not unnoticed
    model_file.write_bytes(content[:whole])  # cut exactly before the entries, it is a file without description
    assert read_info(model_file) == {}


@pytest.mark.parametrize("content", [b"\x00" * 50, b"hello, world", b"\xff" * 100], ids=["zeros", "text", "ones"])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "network.onnx"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"network\.onnx is damaged, or is no \.onnx file"):
        read_info(path)


def test_a_missing_file_error_suggests_the_nearest_name(model_file):
    with pytest.raises(ValueError, match=r"no file .*Did you mean .*network\.mindir"):
        read_info(model_file.with_name("netwrk.mindir"))


def test_empty_files_and_other_suffixes_are_rejected(tmp_path):
    (tmp_path / "a.onnx").touch()
    with pytest.raises(ValueError, match=r"a\.onnx is empty"):
        read_info(tmp_path / "a.onnx")
    with pytest.raises(ValueError, match=r"ends in \.onnx or \.mindir"):
        read_info(tmp_path / "a.ckpt")
