"""Every SK network, loss and optimizer, as built for other devices, compiles to primitives that all devices have."""

import re

import numpy as np
import pytest
from count_operators import count_operators
from mindspore import Tensor, nn, ops
from portability import graph_primitives, not_portable, supported_platforms
from tiers import full

from mindcv.loss import LOSSES, create_loss
from mindcv.models import create_model, factory, list_models
from mindcv.models.cpu import CPU_FORMS
from mindcv.optim import OPTIMIZERS, create_optimizer, momentum

_compiled = {}  # printed network -> its primitives: sknet26, sknet50, sknet101 shrink to the same one


def shrunken_primitives(name):
    """Primitives of forward and backward of a model with the block types of the full one but three blocks in all.

    The second stage has a block that changes stride and width and one that keeps them; further blocks and stages repeat
    these with other sizes. The full networks take 20 to 80 s to compile, these 2 to 5.
    """
    sizes = {"channels": (24, 64, 128, 256)} if "shufflenet" in name else {"planes": (64, 128)}
    model = create_model(name, num_classes=10, device_forms=False, layers=(1, 2), **sizes).set_train()
    key = re.sub("0x[0-9a-f]+", "", str(model))  # without the addresses of the initializers
    if key not in _compiled:
        images = Tensor(np.zeros((2, 3, 64, 64), np.float32))
        _compiled[key] = graph_primitives(model, images, grad=True)
    return _compiled[key]


@pytest.mark.parametrize("name", full(list_models("sk*"), by_default=["skresnet18", "sknet50", "skshufflenet_v2_x0_5"]))
def test_sk_models_are_portable_forward_and_backward(name):
    primitives = shrunken_primitives(name)
    assert {"Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter", "BatchNormGrad", "ReluGrad"} <= primitives
    assert "MaxPoolWithArgmax" not in primitives  # the CPU form
    assert not not_portable(primitives)


@pytest.mark.parametrize("device", ["CPU", "another"])
def test_only_networks_for_a_cpu_hold_its_forms(monkeypatch, tiny_model, device):
    monkeypatch.setattr(factory, "on_cpu", lambda: device == "CPU")
    forms = [cell for _, cell in create_model(tiny_model).cells_and_names() if isinstance(cell, CPU_FORMS)]
    assert bool(forms) == (device == "CPU")


@pytest.mark.parametrize(
    "labels", [np.array([0, 3], np.int32), np.full((2, 4), 0.25, np.float32)], ids=["ids", "probs"]
)
@pytest.mark.parametrize("name", LOSSES.names())
def test_losses_are_portable_forward_and_backward(name, labels):
    loss = create_loss(name, label_smoothing=0.1, aug_splits=2)
    primitives = graph_primitives(loss, Tensor(np.zeros((2, 4), np.float16)), Tensor(labels), grad=True)
    assert not not_portable(primitives)


@pytest.mark.parametrize(
    ("name", "use_nesterov"), [*((name, False) for name in OPTIMIZERS.names()), ("sgd", True), ("momentum", True)]
)
def test_optimizers_are_portable_with_schedule_and_decay(name, use_nesterov):
    primitives = graph_primitives(*update_of(name, use_nesterov))
    updates = {"ApplyMomentum", "Adam", "AdamWeightDecay", "ApplyAdagrad", "SGD", "Assign"}
    assert primitives & updates  # the update itself is in the graph
    assert not not_portable(primitives)


def test_momentum_of_a_gpu_compiles_to_primitives_that_a_gpu_has(monkeypatch):
    monkeypatch.setattr(momentum, "on_gpu", lambda: True)
    counts, _ = count_operators(*update_of("momentum"))
    assert "AddExt" not in counts  # documented for a GPU, but without a kernel there
    assert not_portable({*counts}) == {"FusedWeightScaleApplyMomentum": {"GPU"}}


def update_of(name, use_nesterov=False):
    network = nn.Dense(3, 2)
    optimizer = create_optimizer(
        network,
        name,
        lr=[0.1, 0.2],
        weight_decay=0.1,
        use_nesterov=use_nesterov,
        weight_decay_filter="norm_and_bias",
    )
    gradients = tuple(Tensor(np.zeros(param.shape, np.float32)) for param in optimizer.parameters)
    return optimizer, gradients


class Apply(nn.Cell):
    def __init__(self, primitive):
        super().__init__()
        self.primitive = primitive

    def construct(self, x):
        return self.primitive(x, x)


def test_a_primitive_that_only_the_cpu_has_is_caught():
    primitives = graph_primitives(Apply(ops.operations.Fmax()), Tensor(np.ones((2, 2), np.float32)))
    assert not_portable(primitives) == {"Fmax": {"CPU"}}


def test_the_gradient_is_part_of_the_graph_only_on_request():
    x = Tensor(np.zeros((1, 2, 4, 4), np.float32))
    assert "ReluGrad" not in graph_primitives(nn.ReLU(), x)
    assert "ReluGrad" in graph_primitives(nn.ReLU(), x, grad=True)


def test_control_flow_with_hidden_branches_is_rejected():
    class Branch(nn.Cell):
        def construct(self, x):
            if x.sum() > 0:
                x = ops.tanh(x)
            return x

    with pytest.raises(ValueError, match="control flow"):
        graph_primitives(Branch(), Tensor(np.ones(2, np.float32)))


@pytest.mark.parametrize(
    ("primitive", "expected"),
    [
        ("Conv2D", {"Ascend", "GPU", "CPU"}),  # its own line
        ("Add", {"Ascend", "GPU", "CPU"}),  # by the function it refers to
        ("Conv2DBackpropInput", {"Ascend", "GPU", "CPU"}),  # by the table
        ("Lamb", {"Ascend", "GPU"}),
        ("FlashAttentionScore", {"Ascend"}),
    ],
)
def test_documented_platforms_are_found(primitive, expected):
    assert supported_platforms(primitive) == expected


def test_an_unknown_primitive_is_an_error_with_its_name():
    with pytest.raises(LookupError, match="'NoSuchPrimitive'"):
        not_portable({"Conv2D", "NoSuchPrimitive"})
