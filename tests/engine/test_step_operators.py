"""What the accelerators' training step asks of a device, counted in its compiled graph."""

import numpy as np
import pytest
from count_operators import count_operators
from mindspore import Tensor, nn

import mindcv
from mindcv.engine import DeviceStep, TrainStep, device_step
from mindcv.optim import momentum

ADDITIONS = ("Add", "AddN", "AddExt")
COPIES = ("TensorMove", "Identity", "Assign", "AssignAdd")
DECISIONS = ("Switch", "Partial")


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    for module in (momentum, device_step):
        monkeypatch.setattr(module, "on_gpu", lambda: True)


def count(kind, network, side, *, weight_decay=1e-4):
    optimizer = mindcv.create_optimizer(network, "momentum", lr=[0.1] * 9, weight_decay=weight_decay)
    step = kind(network, mindcv.create_loss(), optimizer).set_train(True)
    images, labels = np.zeros((2, 3, side, side), np.float32), np.zeros(2, np.int32)
    inputs = [Tensor(images), Tensor(labels)]
    if kind is DeviceStep:
        inputs.append(step.snapshot())
    return count_operators(step, *inputs)


def small() -> nn.Cell:
    return nn.SequentialCell(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Dense(8 * 64, 3))


def test_an_update_with_decay_is_one_operator_for_each_parameter(as_on_a_gpu):
    decaying, graphs = count(DeviceStep, small(), 8)
    plain, _ = count(DeviceStep, small(), 8, weight_decay=0.0)
    parameters = len(small().trainable_params())
    assert graphs == 1
    assert not any(decaying[name] for name in DECISIONS)
    assert decaying["FusedWeightScaleApplyMomentum"] == plain["ApplyMomentum"] == decaying["MaskedFill"] == parameters
    assert all(decaying[name] == plain[name] for name in ("Mul", *ADDITIONS))
    assert {name: decaying[name] for name in COPIES if decaying[name]} == {"Assign": 1, "AssignAdd": 1}  # flag, updates
    assert decaying["Concat"] == decaying["FloatStatus"] == 1


@pytest.mark.slow
def test_the_step_of_sknet50_copies_neither_gradients_nor_statistics(as_on_a_gpu):
    """On a GPU 401 Add, 357 Mul, 18 Concat and 340 TensorMove were seen for `TrainStep`."""
    counts, graphs = count(DeviceStep, mindcv.create_model("sknet50", device_forms=False), 64)
    assert graphs == 1
    assert sum(counts[name] for name in ADDITIONS) <= 130
    assert counts["Mul"] <= 100 and counts["Concat"] <= 18
    assert {name: counts[name] for name in COPIES if counts[name]} == {"Assign": 1, "AssignAdd": 1}


@pytest.mark.slow
def test_the_count_finds_the_copies_that_a_gpu_makes_of_a_step_that_the_host_decides():
    counts, graphs = count(TrainStep, mindcv.create_model("sknet50", device_forms=False), 64)
    assert counts["TensorMove"] == 340 and graphs > 1
