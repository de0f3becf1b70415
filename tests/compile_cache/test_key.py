"""Everything that determines a compiled graph changes its key; undescribable objects get none."""

import functools
import types

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from mindcv.compile_cache import key as key_module
from mindcv.compile_cache.key import Undescribable, check_sources, graph_key
from mindcv.engine import Clip, TrainStep
from mindcv.loss import create_loss
from mindcv.loss.cross_entropy import CrossEntropy
from mindcv.models import fold_batch_norm, freeze
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
        *, batch=4, side=16, stages=None, batch_norm="frozen", smoothing=0.1, clip=5.0, accumulate=1, updates=8,
        network=None, **optim,
    ):  # fmt: skip
        model = tiny_network(**(network or {}))
        freeze(model, stages, batch_norm)
        settings = {"opt": "momentum", "weight_decay": 1e-4, **optim}
        optimizer = create_optimizer(model, lr=[0.1] * updates, **settings)
        loss = create_loss(label_smoothing=smoothing)
        limit = Clip("norm", clip, optimizer.parameters) if clip else None
        step = TrainStep(model, loss, optimizer, clip=limit, accumulate_steps=accumulate)
        step.set_train(True)
        labels = Tensor(np.zeros(batch, np.int32))
        found = {"train": graph_key({}, step, (images(batch, side=side), labels))}
        step.set_train(False)
        found["evaluate"] = graph_key({}, model, (images(batch, side=side),))
        return found

    return build


def changed(before, after) -> set[str]:
    return {name for name in before if before[name] != after[name]}


def test_the_same_network_built_again_has_the_same_keys(keys):
    before = keys(network={"drop_path_rate": 0.2}, opt="adamw")
    assert before == keys(network={"drop_path_rate": 0.2}, opt="adamw")
    assert len(set(before.values())) == 2


@pytest.mark.parametrize(
    "options, parts",
    [
        ({"weight_decay": 2e-4}, "train"),
        ({"weight_decay_filter": "norm_and_bias"}, "train"),
        ({"use_nesterov": True}, "train"),
        ({"clip": 6.0}, "train"),
        ({"clip": None}, "train"),
        ({"updates": 9}, "train"),  # the learning rates are one Parameter, whose shape is in the graph
        ({"layer_decay": 0.9}, "train"),
        ({"smoothing": 0.2}, "train"),
        ({"accumulate": 2}, "train"),
        ({"stages": 1}, "train evaluate"),
        ({"batch_norm": "all"}, "train evaluate"),
        ({"batch": 5}, "train evaluate"),
        ({"side": 17}, "train evaluate"),
        ({"network": {"num_classes": 9}}, "train evaluate"),
        ({"network": {"drop_path_rate": 0.2}}, "train evaluate"),
        ({"network": {"stem_pool": "same", "stem": "conv7"}}, "train evaluate"),
    ],
    ids=str,
)
def test_a_changed_option_changes_the_keys_of_the_graphs_it_affects(keys, options, parts):
    assert set(parts.split()) <= changed(keys(), keys(**options))


def test_learning_rates_baked_into_the_graph_change_the_key(keys):
    dropping = [keys(network={"drop_path_rate": rate, "drop_rate": rate}) for rate in (0.2, 0.3)]
    assert "train" in changed(*dropping)
    for first, second in (
        ({"opt": "adamw"}, {"opt": "adamw", "betas": (0.9, 0.99)}),
        ({"opt": "adamw"}, {"opt": "adamw", "eps": 1e-7}),
        ({"opt": "adam"}, {"opt": "adam", "betas": (0.8, 0.999)}),
        ({"use_nesterov": True}, {"use_nesterov": True, "momentum": 0.8}),
    ):
        assert "train" in changed(keys(**first), keys(**second)), second


def test_the_seed_the_mode_the_version_and_the_environment_change_every_key(tiny_network, monkeypatch):
    network, everything = tiny_network(), {}

    def note(name):
        everything[name] = graph_key({}, network, (images(),))

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
        patch.setattr("mindcv.models.layers.drop._int32", lambda word: word)
        note("a function that was replaced")
    with monkeypatch.context() as patch:
        patch.setattr("mindcv.models.resnet.Bottleneck.expansion", 5)
        note("a class's constant")
    with monkeypatch.context() as patch:
        patch.setenv("MINDCV_CACHE", "elsewhere")
        assert graph_key({}, network, (images(),)) == everything["as it is"]
    network.set_train(not network.training)
    note("training")
    network.set_train(not network.training)
    setup_runtime(mode=1, device_target="CPU", seed=7)
    note("mode")
    assert len(set(everything.values())) == len(everything), everything


def test_a_changed_source_changes_the_key_and_a_change_since_the_start_is_an_error(tmp_path, monkeypatch):
    package = tmp_path / "package"
    package.mkdir()
    source = package / "layers.py"
    monkeypatch.setattr(key_module, "_PACKAGE", package)
    monkeypatch.setattr(key_module, "_STARTED", 2e9 + 1)
    cell, found = nn.ReLU(), []
    for text in ("SLOPE = 0.1\n", "SLOPE = 0.2\n"):
        source.write_text(text)
        found.append(graph_key({}, cell, (images(),)))
    assert found[0] != found[1]
    monkeypatch.setattr(key_module, "_STARTED", 0)
    with pytest.raises(Undescribable, match="changed after this program had started"):
        check_sources()


class _OfTheUser(nn.Cell):
    def construct(self, x):
        return x


def holder(value):
    """A Cell of MindSpore with this attribute."""
    cell = nn.ReLU()
    cell.value = value
    return cell


class _Plain:
    def __init__(self, value):
        self.value = value


def _function(slope):
    def apply(x, power=2):
        return slope * x**power

    return apply


VALUES = (
    None, True, False, 1, 0, 1.0, 0.0, -0.0, "1", b"1", "", (), (1,), (1, 2), ((1,), 2), (1, (2,)), ("12",), ("1", "2"),
    [1], {"a": 1}, {"a": 2}, ops.ReduceSum(), ops.ReduceSum(keep_dims=True), ops.LogSoftmax(-1), ops.LogSoftmax(0),
    [ops.LogSoftmax(0)], nn.ReLU(), nn.LeakyReLU(0.1), nn.LeakyReLU(0.2), ops.relu, ops.gelu, nn.ReLU, nn.GELU,
    ms.value_and_grad(ops.relu), ms.value_and_grad(ops.gelu), create_loss(), CrossEntropy,
    nn.SequentialCell([nn.ReLU()]), nn.SequentialCell([nn.ReLU(), nn.ReLU()]),
)  # fmt: skip


def test_different_attributes_have_different_keys():
    tensors = [Tensor(1.0), Tensor(2.0), Tensor(1.0, ms.float16), Tensor([1.0]), Tensor([[1.0]]), Tensor(1)]
    cells = [holder(value) for value in (*VALUES, *tensors)]
    for name, grad in (("p", True), ("q", True), ("p", False)):
        cells.append(holder(Parameter(Tensor([1.0]), name=name, requires_grad=grad)))
    digests = [graph_key({}, cell, (images(),)) for cell in cells]
    assert len(set(digests)) == len(digests)


def test_the_value_of_a_parameter_is_not_in_the_key():
    first, second = (graph_key({}, holder(Parameter(Tensor([x]), name="p")), (images(),)) for x in (1.0, 2.0))
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
        lambda: {1},
        lambda: np.ones(2),
        lambda: np.float32(1),
        lambda: _Plain(1),
        lambda: _Plain,
        lambda: _function(1.0),
        lambda: ms.value_and_grad(_function(1.0)),
        lambda: ms.jit(_function(1.0)),
        lambda: create_loss().construct,  # a method of a Cell that is not registered
        lambda: functools.partial(ops.relu),
        lambda: _OfTheUser(),
        lambda: [nn.Dense(2, 2)],  # not registered
        lambda: (1, [object()]),
        lambda: types,
        lambda: iter([1]),
        lambda: Tensor(shape=[None, 3], dtype=ms.float32),
        lambda: pytest.Cache,  # of another installed package, whose version is not in the key
        lambda: [Parameter(Tensor([1.0]), name="not registered")],
    ],
)
def test_undescribable_attributes_have_no_key(make):
    value = make()
    with pytest.raises(Undescribable):
        graph_key({}, holder(value), (images(),))
    if hasattr(value, "close"):
        value.close()


def test_a_container_that_contains_itself_has_no_key():
    value = []
    value.append(value)
    with pytest.raises(Undescribable, match="contains itself"):
        graph_key({}, holder(value), (images(),))


def test_a_cell_that_is_not_of_this_package_or_mindspore_has_no_key(tiny_network):
    network = tiny_network()
    for cell in (_OfTheUser(), nn.SequentialCell([nn.ReLU(), _OfTheUser()]), type("Other", (nn.ReLU,), {})()):
        with pytest.raises(Undescribable, match="neither of this package nor of MindSpore"):
            graph_key({}, cell, (images(),))
    network.stem.construct = lambda x: x
    with pytest.raises(Undescribable, match="neither of this package nor of MindSpore"):
        graph_key({}, network, (images(),))


def test_a_user_defined_loss_has_no_key(tiny_network):
    network = tiny_network()
    step = TrainStep(network, lambda logits, labels: logits.mean(), create_optimizer(network, lr=0.1))
    labels = Tensor(np.zeros(4, np.int32))
    with pytest.raises(Undescribable, match="lambda"):
        graph_key({}, step, (images(), labels))


def test_a_graph_read_from_a_file_has_no_key(tmp_path):
    """Its class is MindSpore's; what it computes is in the file."""
    ms.export(nn.ReLU(), images(), file_name=str(tmp_path / "relu"), file_format="MINDIR")
    with pytest.raises(Undescribable, match="FuncGraph"):
        graph_key({}, nn.GraphCell(ms.load(str(tmp_path / "relu.mindir"))), (images(),))


def test_open_shapes_have_no_key():
    cell = nn.ReLU()
    cell.set_inputs(Tensor(shape=[None, 3], dtype=ms.float32))
    with pytest.raises(Undescribable, match="open shape"):
        graph_key({}, cell, (images(),))


def test_changing_a_built_network_changes_the_key(tiny_network):
    """The caller's description stays the same."""

    def key(change):
        network = tiny_network(drop_rate=0.2)
        change(network)
        return graph_key({"model": "tiny"}, network, (images(),))

    def set_attribute(name, value):
        def change(network):
            *path, last = name.split(".")
            setattr(functools.reduce(getattr, path, network), last, value)

        return change

    changes = [
        lambda network: None,
        fold_batch_norm,
        set_attribute("stem.bn.use_batch_statistics", False),
        set_attribute("stem.act", nn.LeakyReLU(0.1)),
        set_attribute("stem.act", nn.LeakyReLU(0.2)),
        set_attribute("stem.bn.bn_train", ops.BatchNorm(True, 1e-5, 0.2)),
        set_attribute("dropout.threshold", Tensor(5, ms.int32)),
        set_attribute("dropout.keep_prob", 0.7),
        set_attribute("stem.conv.weight.requires_grad", False),
        lambda network: network.stem.set_train(not network.training),
        lambda network: network.stages.append(nn.ReLU()),
    ]
    keys = [key(change) for change in changes]
    assert len(set(keys)) == len(keys)
    assert keys[0] == key(changes[0])


def test_calls_do_not_change_the_key(tiny_network):
    """MindSpore records calls in a Cell's attributes."""
    network = tiny_network().set_train(False)
    before = graph_key({}, network, (images(side=8),))
    network(images(side=8))
    assert graph_key({}, network, (images(side=8),)) == before
