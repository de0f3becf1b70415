"""Every network exports to both formats, and only a file with the same logits is kept."""

import gc
import sys
from functools import partial

import numpy as np
import pytest
from mindspore import Tensor, nn, ops
from tiers import COMPILED_LATER, full

from mindcv.export import (
    ExportedNetwork,
    export_network,
    read_info,
    verify_export,
)
from mindcv.models import list_models
from mindcv.models.layers import SelectiveKernel
from mindcv.runtime import setup_runtime

FORMAT = pytest.mark.parametrize("suffix", [".onnx", ".mindir"])
INFO = {"model": {"model": "tiny_sknet", "in_channels": 3}, "class_names": [f"class {k}" for k in range(10)]}
ONE_BLOCK = {"layers": (1,), "planes": (16,)}
# Two blocks with all parts of the full networks; with 256 planes 1x1 convolutions use their matrix product.
SHORT = {"layers": (1, 1), "planes": (64, 256)}
NETWORKS = {"tiny_sknet": {}, "resnet18": SHORT, "skresnet50d": SHORT, "seresnext50_32x4d": SHORT}
CASES = [
    *((name, suffix, fold_bn) for name in NETWORKS for suffix, fold_bn in ((".onnx", True), (".mindir", False))),
    ("tiny_sknet", ".onnx", False),
    ("tiny_sknet", ".mindir", True),
]


@pytest.mark.parametrize(
    "case",
    full(CASES, by_default=[CASES[1], CASES[4], CASES[9]]),
    ids=lambda case: f"{case[0]}{case[1]}{' folded' * case[2]}",
)
def test_the_exported_file_gives_the_networks_logits(tiny_model, random_network, tmp_path, capfd, case):
    setup_runtime(mode=0, device_target="CPU")
    name, suffix, fold_bn = case
    build = partial(random_network, name, **NETWORKS[name])
    path = tmp_path / f"network{suffix}"
    result = export_network(build, path, input_size=(3, 25, 24), info=INFO, fold_bn=fold_bn)  # an odd height
    assert 0 <= result.difference < 1e-5
    assert (result.num_folded > 5) == fold_bn
    assert result.num_bytes == path.stat().st_size > 4 * result.num_parameters
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name]
    assert capfd.readouterr().err == ""  # neither MindSpore nor onnxruntime warns


@pytest.mark.parametrize("name, suffix", [("tiny_sknet", ".onnx"), ("skresnet50d", ".mindir")])
def test_exporting_in_pynative_mode_gives_equal_logits(pynative, tiny_model, random_network, tmp_path, name, suffix):
    build = partial(random_network, name, **NETWORKS[name])
    path = tmp_path / f"network{suffix}"
    assert export_network(build, path, input_size=(3, 25, 24), info=INFO, fold_bn=True).difference < 1e-5


@FORMAT
def test_a_fixed_batch_size_exports(pynative, random_network, tmp_path, tiny_model, suffix):
    path = tmp_path / f"network{suffix}"
    build = partial(random_network, tiny_model, **ONE_BLOCK)
    export_network(build, path, input_size=(3, 16, 16), info=INFO, dynamic_batch=False)
    assert read_info(path) == {**INFO, "input_shape": [1, 3, 16, 16]}
    assert ExportedNetwork(path).input_shape == (1, 3, 16, 16)


@FORMAT
def test_three_branches_export(pynative, random_network, tmp_path, tiny_model, suffix):
    middle = partial(SelectiveKernel, branches=3, min_reduced_channels=8)
    build = partial(random_network, tiny_model, middle_conv=middle, **ONE_BLOCK)
    assert export_network(build, tmp_path / f"a{suffix}", input_size=(3, 16, 16), info={}).difference < 1e-5


@FORMAT
@pytest.mark.parametrize("size", [32, 33])
def test_mindcvs_pooling_exports(pynative, random_network, tmp_path, suffix, size):
    def build():
        network = random_network("resnet18", layers=(1,), planes=(16,))
        network.pool = nn.MaxPool2d(3, 2, pad_mode="same")
        return network

    export_network(build, tmp_path / f"network{suffix}", input_size=(3, size, size), info={})


def test_grey_images_and_many_classes_export(pynative, random_network, tmp_path, tiny_model):
    build = partial(random_network, tiny_model, in_channels=1, num_classes=37, **ONE_BLOCK)
    export_network(build, tmp_path / "a.mindir", input_size=(1, 8, 8), info={})
    export_network(build, tmp_path / "a.onnx", input_size=(1, 8, 8), info={})
    for name in ("a.mindir", "a.onnx"):
        assert ExportedNetwork(tmp_path / name)(Tensor(np.zeros((2, 1, 8, 8), np.float32))).shape == (2, 37)


@COMPILED_LATER
def test_exporting_does_not_change_a_network_in_use(mode, random_network, tmp_path, tiny_model):
    live = random_network(tiny_model, **ONE_BLOCK)
    images = Tensor(np.random.default_rng(1).standard_normal((2, 3, 16, 16)).astype(np.float32))
    before = live(images).asnumpy()
    for name in ("a.onnx", "a.mindir"):
        export_network(
            partial(random_network, tiny_model, **ONE_BLOCK), tmp_path / name, input_size=(3, 16, 16), info={}
        )
        np.testing.assert_array_equal(live(images).asnumpy(), before)
    assert live.training is False
    live.set_train(True)
    assert not np.array_equal(live(images).asnumpy(), before)


@FORMAT
def test_a_file_that_fails_verification_is_not_kept(pynative, random_network, tmp_path, tiny_model, suffix):
    path = tmp_path / f"network{suffix}"
    path.write_bytes(b"what was there before")
    seeds = iter([1, 2])

    def build():
        network = random_network(tiny_model, **ONE_BLOCK)
        network.classifier.bias.set_data(Tensor(np.full(10, next(seeds), np.float32)))
        return network

    with pytest.raises(ValueError, match=r"differ from the network's by \d\.\d\de.* of the largest; up to 1\.00e-04"):
        export_network(build, path, input_size=(3, 16, 16), info={})
    assert path.read_bytes() == b"what was there before"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_verification_detects_nan_and_a_different_number_of_classes(pynative, random_network, tmp_path, tiny_model):
    path = tmp_path / "network.onnx"
    export_network(partial(random_network, tiny_model, **ONE_BLOCK), path, input_size=(3, 16, 16), info={})
    shape = (None, 3, 16, 16)
    assert verify_export(random_network(tiny_model, **ONE_BLOCK), path, shape) < 1e-5
    broken = random_network(tiny_model, **ONE_BLOCK)
    broken.classifier.bias.set_data(Tensor(np.full(10, np.nan, np.float32)))
    with pytest.raises(ValueError, match="differ from the network's by nan"):
        verify_export(broken, path, shape)
    with pytest.raises(ValueError, match=r"gives \(3, 10\) logits, the network \(3, 4\)"):
        verify_export(random_network(tiny_model, num_classes=4, **ONE_BLOCK), path, shape)


@pytest.mark.parametrize(
    "options", [{"padding": 2}, {"padding": (1, 0)}, {"padding": 1, "ceil_mode": True}, {"padding": 1, "dilation": 2}]
)
def test_padded_poolings_without_an_exportable_form_are_rejected(pynative, tmp_path, options):
    build = lambda: nn.SequentialCell([nn.MaxPool2d(5, 2, pad_mode="pad", **options)])  # noqa: E731
    with pytest.raises(ValueError, match=r"MaxPool2d.*cannot be exported.*only those with padding=1"):
        export_network(build, tmp_path / "a.mindir", input_size=(3, 16, 16), info={})


def test_cpu_forms_are_rejected_and_the_message_says_how_to_build(pynative, random_network, tmp_path, tiny_model):
    build = partial(random_network, tiny_model, device_forms=True, **ONE_BLOCK)
    with pytest.raises(ValueError, match=r"Conv2d computes on a CPU only.*create_model\(\.\.\., device_forms=False\)"):
        export_network(build, tmp_path / "a.mindir", input_size=(3, 16, 16), info={})


class Unexportable(nn.Cell):
    def construct(self, x):
        return ops.pad(x, (1, 1)).sum((2, 3))


def test_the_error_names_an_operator_that_onnx_lacks(pynative, tmp_path):
    path = tmp_path / "network.onnx"
    with pytest.raises(ValueError, match=r"cannot be exported to \.onnx: .*PadV3"):
        export_network(Unexportable, path, input_size=(3, 8, 8), info={})
    assert not list(tmp_path.iterdir())


def test_other_suffixes_are_rejected(tmp_path):
    with pytest.raises(ValueError, match=r"must be a file named \*\.onnx or \*\.mindir"):
        export_network(Unexportable, tmp_path / "a.air", input_size=(3, 8, 8), info={})


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_error_says_what_to_install(monkeypatch, tmp_path, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=rf"need the package {package}.*pip install onnx onnxruntime \"numpy<2\""):
        export_network(Unexportable, tmp_path / "a.onnx", input_size=(3, 8, 8), info={})


@pytest.mark.slow
@pytest.mark.parametrize("name", list_models())
def test_every_registered_network_exports(pynative, random_network, tmp_path, name):
    build = partial(random_network, name)
    for suffix, fold_bn in ((".onnx", True), (".mindir", False)):
        result = export_network(build, tmp_path / f"a{suffix}", input_size=(3, 64, 64), info={}, fold_bn=fold_bn)
        assert result.difference < 1e-5
        gc.collect()
