"""MindSpore's internals are looked up in one place, and nothing breaks without them."""

import ast
import re
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

from mindcv import internals
from mindcv.compile_cache import cache, compiled_graphs_kept
from mindcv.models.cpu import conv
from mindcv.optim import create_optimizer
from mindcv.optim import momentum as momentum_module
from mindcv.runtime import setup_runtime

ROOT = Path(__file__).parent.parent
INTERNAL = re.compile(r"mindspore\.(graph|common|_c_expression|ops\.auto_generate)\b|mindspore\..*\b_")


def imports(path):
    """What a file imports, as "module.name"."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_they_are_looked_up_in_one_place():
    files = [*ROOT.glob("*.py"), *(ROOT / "mindcv").rglob("*.py")]
    assert [(path, name) for path in files for name in imports(path) if INTERNAL.match(name)] == []
    assert INTERNAL.match("mindspore.ops.operations._grad_ops") and not INTERNAL.match("mindspore.dataset.vision.Inter")


def test_the_first_module_with_the_name_is_found():
    assert internals.find_module("loads", ["no_such_module", "re", "json"]).__name__ == "json"
    assert internals.find_module("no_such_name", ["json"]) is None


def test_this_version_has_what_the_compile_cache_needs():
    assert internals.compile_cache_lacks() == ""


def test_without_the_compilers_hook_no_graph_is_kept_and_one_line_says_so(tmp_path, monkeypatch, caplog):
    setup_runtime(mode=0, device_target="CPU")
    monkeypatch.setattr(internals, "COMPILER", None)
    monkeypatch.setattr(cache._GraphCache, "is_broken", False)
    for _ in range(2):
        with compiled_graphs_kept(tmp_path / "graphs", described_by={}) as kept:
            assert not kept
            assert nn.ReLU()(Tensor([-1.0, 2.0])).asnumpy().tolist() == [0, 2]
    assert not (tmp_path / "graphs").exists()
    (record,) = caplog.records
    assert record.getMessage() == (
        f"compiled graphs are not kept: MindSpore {ms.__version__} has no {internals.SOURCES_OF_PROGRAM}"
    )


@pytest.mark.parametrize("scaled", [internals.add_scaled, None])
def test_momentum_decays_weights_without_the_fused_operator(monkeypatch, pynative, scaled):
    setup_runtime(mode=1, device_target="CPU")
    monkeypatch.setattr(momentum_module, "_adds_scaled", scaled is not None)
    weight = Parameter(Tensor(np.array([[2.0]], np.float32)), "weight")
    optimizer = create_optimizer([weight], "momentum", lr=0.5, momentum=0.9, weight_decay=0.1)
    optimizer((Tensor(np.array([[1.0]], np.float32)),))
    assert weight.asnumpy() == pytest.approx(2 - 0.5 * (1 + 0.1 * 2), abs=1e-6)


@pytest.mark.parametrize("kernel_size, groups", [(1, 1), (3, 4)])
def test_convolutions_have_mindspores_gradient_without_the_operator(monkeypatch, kernel_size, groups):
    plain = nn.Conv2d(8, 8, kernel_size, pad_mode="pad", padding=kernel_size // 2, group=groups, has_bias=False)
    assert isinstance(conv.conv_form(plain).convolve, conv._Convolution) == (conv.Conv2DBackpropFilter is not None)
    monkeypatch.setattr(conv, "Conv2DBackpropFilter", None)
    form = conv.conv_form(plain)
    assert form.convolve is form.conv2d
