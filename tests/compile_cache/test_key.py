"""Whatever shapes a compiled graph changes its key; what cannot be described gets none."""

import functools
import sys
import types

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from mindcv.compile_cache import surroundings
from mindcv.compile_cache.key import graph_digest
from mindcv.compile_cache.surroundings import Undescribable, check_sources
from mindcv.engine import TrainStep
from mindcv.loss import create_loss
from mindcv.models import freeze
from mindcv.optim import create_optimizer
from mindcv.runtime import setup_runtime


def images(batch=4, channels=3, side=16) -> Tensor:
    return Tensor(np.zeros((batch, channels, side, side), np.float32))


@pytest.fixture(autouse=True)
def graph_mode():
    setup_runtime(mode=0, device_target="CPU", seed=7)
    yield
    setup_runtime(mode=0, device_target="CPU", seed=7)


@pytest.fixture
def keys(tiny_network):
    """Builds the step that train.py builds, and returns the keys of its graphs and of the evaluation."""

    def build(
        *, batch=4, side=16, stages=None, batch_norm="frozen", smoothing=0.1, clip=5.0, guard=True, accumulate=1,
        updates=8, network=None, **optim,
    ):  # fmt: skip
        model = tiny_network(**(network or {}))
        freeze(model, stages, batch_norm)
        settings = {"opt": "momentum", "weight_decay": 1e-4, **optim}
        optimizer = create_optimizer(model, lr=[0.1] * updates, **settings)
        loss = create_loss(label_smoothing=smoothing)
        step = TrainStep(model, loss, optimizer, clip_norm=clip, accumulate_steps=accumulate, guard=guard)
        step.set_train(True)
        labels = Tensor(np.zeros(batch, np.int32))
        gradients = tuple(Tensor(np.zeros(p.shape, np.float32)) for p in optimizer.parameters)
        found = {"backward": graph_digest(step.backward, (images(batch, side=side), labels))}
        found["update"] = graph_digest(step.update, gradients)
        step.set_train(False)
        found["evaluate"] = graph_digest(model, (images(batch, side=side),))
        return found

    return build


def changed(before, after) -> set[str]:
    return {name for name in before if before[name] != after[name]}


def test_the_same_network_built_again_has_the_same_keys(keys):
    before = keys(network={"drop_path_rate": 0.2}, opt="adamw")
    assert before == keys(network={"drop_path_rate": 0.2}, opt="adamw")
    assert len(set(before.values())) == 3


@pytest.mark.parametrize(
    "options, parts",
    [
        ({"weight_decay": 2e-4}, "update"),
        ({"weight_decay_filter": "norm_and_bias"}, "update"),
        ({"use_nesterov": True}, "update"),
        ({"clip": 6.0}, "update"),
        ({"clip": None}, "update"),
        ({"updates": 9}, "update"),  # the learning rates are one Parameter, whose shape is in the graph
        ({"layer_decay": 0.9}, "update"),
        ({"smoothing": 0.2}, "backward"),
        ({"guard": False}, "backward"),
        ({"stages": 1}, "backward update evaluate"),
        ({"batch_norm": "all"}, "backward evaluate"),
        ({"batch": 5}, "backward evaluate"),
        ({"side": 17}, "backward evaluate"),
        ({"network": {"num_classes": 9}}, "backward update evaluate"),
        ({"network": {"drop_path_rate": 0.2}}, "backward evaluate"),
        ({"network": {"stem_pool": "same", "stem": "conv7"}}, "backward update evaluate"),
    ],
    ids=str,
)
def test_a_changed_option_changes_the_keys_of_what_it_shapes(keys, options, parts):
    assert set(parts.split()) <= changed(keys(), keys(**options))


def test_rates_that_are_baked_in_change_the_key(keys):
    dropping = [keys(network={"drop_path_rate": rate, "drop_rate": rate}) for rate in (0.2, 0.3)]
    assert "backward" in changed(*dropping)
    for first, second in (
        ({"opt": "adamw"}, {"opt": "adamw", "betas": (0.9, 0.99)}),
        ({"opt": "adamw"}, {"opt": "adamw", "eps": 1e-7}),
        ({"opt": "adam"}, {"opt": "adam", "betas": (0.8, 0.999)}),
        ({"use_nesterov": True}, {"use_nesterov": True, "momentum": 0.8}),
    ):
        assert "update" in changed(keys(**first), keys(**second)), second


def test_the_seed_the_mode_the_version_and_the_environment_change_every_key(tiny_network, monkeypatch):
    network, everything = tiny_network(), {}

    def note(name):
        everything[name] = graph_digest(network, (images(),))

    note("as it is")
    ms.set_seed(8)
    note("seed")
    ms.set_seed(7)
    with monkeypatch.context() as patch:
        patch.setattr(ms, "__version__", "2.10.1")
        note("MindSpore")
    with monkeypatch.context() as patch:
        patch.setattr(np, "__version__", "1.99")
        note("NumPy")
    with monkeypatch.context() as patch:
        patch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE")
        note("instructions")
    with monkeypatch.context() as patch:
        patch.setattr("os.sched_getaffinity", lambda _: set(range(64)))
        note("cores")
    with monkeypatch.context() as patch:
        patch.setattr("mindcv.models.layers.drop.GOLDEN", 3)
        note("a module's constant")
    with monkeypatch.context() as patch:
        patch.setattr(type(network), "construct", lambda self, x: x)
        note("a method that was replaced")
    with monkeypatch.context() as patch:
        patch.setenv("MINDCV_CACHE", "elsewhere")
        assert graph_digest(network, (images(),)) == everything["as it is"]
    network.set_train(not network.training)
    note("training")
    network.set_train(not network.training)
    setup_runtime(mode=1, device_target="CPU", seed=7)
    note("mode")
    assert len(set(everything.values())) == len(everything), everything


def test_a_changed_source_changes_the_key_and_one_changed_since_the_start_has_none(tmp_path, monkeypatch):
    package = tmp_path / "package"
    package.mkdir()
    source = package / "layers.py"
    monkeypatch.setattr(surroundings, "_PACKAGE", package)
    monkeypatch.setattr(surroundings, "_STARTED", 2e9 + 1)
    cell, found = nn.ReLU(), []
    for text in ("SLOPE = 0.1\n", "SLOPE = 0.2\n"):
        source.write_text(text)
        found.append(graph_digest(cell, (images(),)))
    assert found[0] != found[1]
    monkeypatch.setattr(surroundings, "_STARTED", 0)
    with pytest.raises(Undescribable, match="changed after this program had started"):
        check_sources()


class _Holder(nn.Cell):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def construct(self, x):
        return x


class _Plain:
    def __init__(self, value):
        self.value = value


def _function(slope):
    def apply(x, power=2):
        return slope * x**power

    return apply


VALUES = (
    None, True, False, 1, 0, 1.0, 0.0, -0.0, "1", b"1", "", (), (1,), (1, 2), ((1,), 2), (1, (2,)), ("12",), ("1", "2"),
    [1], {"a": 1}, {"a": 2}, {1}, {1, 2}, np.float32(1), np.ones(2), np.ones(3), np.ones(2, np.float32),
    ms.float32, ms.float16, slice(1, 2), ops.ReduceSum(), ops.ReduceSum(keep_dims=True), ops.LogSoftmax(-1),
    ops.LogSoftmax(0), nn.ReLU(), nn.LeakyReLU(0.1), nn.LeakyReLU(0.2), _Plain(1), _Plain(2), _Plain("1"),
    _function(1.0), _function(2.0), functools.partial(_function, 1), functools.partial(_function, 2),
    _Plain, _Holder, ms.value_and_grad(_function(1.0)), ms.value_and_grad(_function(2.0)),
    nn.SequentialCell([nn.ReLU()]), nn.SequentialCell([nn.ReLU(), nn.ReLU()]),
)  # fmt: skip


def test_no_two_attributes_have_the_same_key():
    tensors = [Tensor(1.0), Tensor(2.0), Tensor(1.0, ms.float16), Tensor([1.0]), Tensor([[1.0]]), Tensor(1)]
    cells = [_Holder(value) for value in (*VALUES, *tensors)]
    for name, grad in (("p", True), ("q", True), ("p", False)):
        cells.append(_Holder(Parameter(Tensor([1.0]), name=name, requires_grad=grad)))
    digests = [graph_digest(cell, (images(),)) for cell in cells]
    assert len(set(digests)) == len(digests)


def test_the_value_of_a_parameter_is_not_in_the_key():
    first, second = (graph_digest(_Holder(Parameter(Tensor([x]), name="p")), (images(),)) for x in (1.0, 2.0))
    assert first == second


class _Slotted:
    __slots__ = ("value",)


class _IntLike(int):
    pass


@pytest.mark.parametrize(
    "make",
    [
        object,
        lambda: open(__file__),  # noqa: SIM115
        _Slotted,
        lambda: _IntLike(3),
        lambda: {object()},
        lambda: (1, [object()]),
        lambda: np.array([None]),
        lambda: types,
        lambda: iter([1]),
        lambda: Tensor(shape=[None, 3], dtype=ms.float32),
        lambda: _function(object()),
        lambda: pytest.Cache,  # of another installed package, whose version is not in the key
        lambda: [Parameter(Tensor([1.0]), name="not registered")],
    ],
)
def test_what_cannot_be_described_has_no_key(make):
    value = make()
    with pytest.raises(Undescribable):
        graph_digest(_Holder(value), (images(),))
    if hasattr(value, "close"):
        value.close()


def test_a_container_of_itself_has_no_key():
    value = []
    value.append(value)
    with pytest.raises(Undescribable, match="contain themselves"):
        graph_digest(_Holder(value), (images(),))


def test_code_without_a_source_has_no_key():
    typed_in = types.FunctionType((lambda x: x).__code__, {"__name__": "typed_in"})
    assert typed_in.__module__ == "typed_in" not in sys.modules
    with pytest.raises(Undescribable, match="source"):
        graph_digest(_Holder(typed_in), (images(),))
