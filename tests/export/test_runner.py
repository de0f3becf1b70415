"""An exported file replaces a network in evaluation, and damage is a one-line error."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from mindspore import Tensor
from mindspore.train.mind_ir_pb2 import ModelProto
from tiers import COMPILED_LATER

from mindcv.engine import evaluate
from mindcv.export import ExportedNetwork, export_network

FORMAT = pytest.mark.parametrize("suffix", [".onnx", ".mindir"])
ONE_BLOCK = {"layers": (1,), "planes": (16,)}


def images(batch, size=16):
    return np.random.default_rng(batch).standard_normal((batch, 3, size, size)).astype(np.float32)


@pytest.fixture
def exported_file(tmp_path, tiny_model, random_network):
    """Exports the tiny network: `exported_file(".onnx")` -> path."""

    def export(suffix, **options):
        path = tmp_path / f"network{suffix}"
        export_network(
            partial(random_network, tiny_model, **ONE_BLOCK), path, input_size=(3, 16, 16), info={"a": [1]}, **options
        )
        return path

    return export


class Batches:
    """Seven labelled images in two batches, as a loader gives them."""

    batch_size, num_examples = 4, 7

    def __len__(self):
        return 2

    def epoch(self, _):
        yield images(4), np.array([0, 3, 9, 2], np.int32)
        yield images(3), np.array([1, 1, 5], np.int32)


@COMPILED_LATER
@FORMAT
def test_evaluating_the_file_gives_the_networks_result(mode, exported_file, random_network, tiny_model, suffix):
    network = ExportedNetwork(exported_file(suffix))
    live = random_network(tiny_model, **ONE_BLOCK)
    expected = live(Tensor(images(4))).asnumpy()
    actual = network(Tensor(images(4))).asnumpy()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    actual, expected = evaluate(network, Batches()), evaluate(live, Batches())
    assert (actual.top1, actual.top5, actual.num_examples) == (expected.top1, expected.top5, 7)
    assert actual.loss == pytest.approx(expected.loss, rel=1e-5)
    assert network.training is False
    assert network.info == {"a": [1], "input_shape": [None, 3, 16, 16]}


@FORMAT
def test_a_file_with_a_fixed_batch_size_accepts_any_batch(pynative, exported_file, random_network, tiny_model, suffix):
    network = ExportedNetwork(exported_file(suffix, dynamic_batch=False))
    assert network.input_shape == (1, 3, 16, 16)
    expected = random_network(tiny_model, **ONE_BLOCK)(Tensor(images(5))).asnumpy()
    network.input_shape = (2, 3, 16, 16)  # as in a file for batches of two
    network.run, single = lambda pair: np.concatenate([single(pair[:1]), single(pair[1:])]), network.run
    actual = network(Tensor(images(5))).asnumpy()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@FORMAT
def test_training_and_other_image_sizes_are_rejected(pynative, exported_file, suffix):
    network = ExportedNetwork(exported_file(suffix))
    with pytest.raises(ValueError, match="exported network, which cannot be trained"):
        network.set_train()
    assert network.set_train(False) is network
    for batch in (images(2, size=24), images(2)[:, :1], images(2)[0]):
        with pytest.raises(ValueError, match=r"takes images of 3 x 16 x 16 .*got a batch of shape"):
            network(Tensor(batch))


@FORMAT
def test_a_damaged_file_is_a_one_line_error(pynative, exported_file, suffix):
    path = exported_file(suffix)
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    for damaged in (content[: len(content) // 2], content[:-1], bytes(flipped), content[:100], b"", b"no network" * 9):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"network\.(onnx|mindir) (is damaged|is empty)"):
            ExportedNetwork(path)


def test_a_mindir_file_without_description_is_rejected(pynative, exported_file):
    path = exported_file(".mindir")
    message = ModelProto.FromString(path.read_bytes())
    message.user_info.clear()
    path.write_bytes(message.SerializeToString())
    with pytest.raises(ValueError, match="does not describe itself: another tool wrote it"):
        ExportedNetwork(path)


def test_an_onnx_file_of_another_tool_runs(tmp_path):
    value = onnx.helper.make_tensor_value_info
    shapes = ["batch", 3, "height", "width"], ["batch", 3]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("ReduceMean", ["x"], ["y"], axes=[2, 3], keepdims=0)],
        "g",
        [value("x", onnx.TensorProto.FLOAT, shapes[0])],
        [value("y", onnx.TensorProto.FLOAT, shapes[1])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, tmp_path / "mean.onnx")
    network = ExportedNetwork(tmp_path / "mean.onnx")
    assert network.info == {}
    assert network.input_shape == (None, 3, None, None)
    np.testing.assert_allclose(network(Tensor(images(2))).asnumpy(), images(2).mean((2, 3)), atol=1e-6)
    graph.input.append(value("z", onnx.TensorProto.FLOAT, [1]))
    onnx.save(onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=8), tmp_path / "two.onnx")
    with pytest.raises(ValueError, match="must have one input"):
        ExportedNetwork(tmp_path / "two.onnx")


def test_a_fresh_process_runs_the_file(pynative, exported_file, random_network, tiny_model):
    path = exported_file(".mindir")
    np.save(path.with_name("x.npy"), images(2))
    script = (
        "import sys, numpy, mindcv, mindspore\n"
        "from mindcv.export import ExportedNetwork\n"
        "mindcv.setup_runtime(mode=0, device_target='CPU')\n"
        "out = ExportedNetwork(sys.argv[1])(mindspore.Tensor(numpy.load(sys.argv[2])))\n"
        "numpy.save(sys.argv[3], out.asnumpy())\n"
    )
    names = [str(path.with_name(name)) for name in ("network.mindir", "x.npy", "y.npy")]
    root = Path(__file__).parents[2]
    result = subprocess.run([sys.executable, "-c", script, *names], cwd=root, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    expected = random_network(tiny_model, **ONE_BLOCK)(Tensor(images(2))).asnumpy()
    np.testing.assert_allclose(np.load(names[2]), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
