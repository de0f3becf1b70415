"""The training step against an optimizer written out in NumPy, and its options against each other."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from mindcv.engine import TrainStep
from mindcv.loss import create_loss
from mindcv.optim import create_optimizer

RNG = np.random.default_rng(3)
IMAGES = RNG.standard_normal((12, 5)).astype(np.float32)
LABELS = RNG.integers(0, 3, 12).astype(np.int32)
WEIGHT = RNG.standard_normal((3, 5)).astype(np.float32)


def linear() -> nn.Dense:
    network = nn.Dense(5, 3, has_bias=False)
    network.weight.set_data(Tensor(WEIGHT))
    return network


def make_step(*, lr=0.5, momentum=0.9, **options) -> TrainStep:
    network = linear()
    optimizer = create_optimizer(network, "momentum", lr=lr, momentum=momentum, weight_decay=0.0)
    step = TrainStep(network, create_loss("CE"), optimizer, **options)
    step.set_train(True)
    return step


def weight_after(step, batches) -> tuple[np.ndarray, list[float]]:
    losses = [float(step(Tensor(x), Tensor(y))[0].asnumpy()) for x, y in batches]
    return step.network.weight.asnumpy().copy(), losses


def gradient(weight, images, labels) -> tuple[float, np.ndarray]:
    """Loss and gradient of softmax regression, float64."""
    logits = images.astype(np.float64) @ weight.T
    shifted = logits - logits.max(axis=1, keepdims=True)
    probabilities = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    loss = -np.log(probabilities[rows, labels]).mean()
    probabilities[rows, labels] -= 1
    return loss, probabilities.T @ images / len(labels)


def test_three_steps_agree_with_momentum_written_out(mode):
    weight, velocity, expected_losses = WEIGHT.astype(np.float64), 0.0, []
    for _ in range(3):
        loss, slope = gradient(weight, IMAGES, LABELS)
        velocity = 0.9 * velocity + slope
        weight = weight - 0.5 * velocity
        expected_losses.append(loss)
    got, losses = weight_after(make_step(), [(IMAGES, LABELS)] * 3)
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)
    np.testing.assert_allclose(got, weight, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("parts", [2, 3])
def test_accumulating_k_batches_equals_one_batch_of_all(mode, parts):
    pieces = list(zip(np.split(IMAGES, parts), np.split(LABELS, parts), strict=True))
    whole, _ = weight_after(make_step(), [(IMAGES, LABELS)] * 4)
    accumulated, losses = weight_after(make_step(accumulate_steps=parts), pieces * 4)
    np.testing.assert_allclose(accumulated, whole, rtol=1e-5, atol=1e-6)
    assert len(losses) == 4 * parts


def test_accumulation_moves_the_schedule_once_per_update(mode):
    rates = [0.5, 0.25]
    pieces = list(zip(np.split(IMAGES, 2), np.split(LABELS, 2), strict=True))
    whole, _ = weight_after(make_step(lr=rates), [(IMAGES, LABELS)] * 2)
    accumulated, _ = weight_after(make_step(lr=rates, accumulate_steps=2), pieces * 2)
    np.testing.assert_allclose(accumulated, whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("clip_norm, expected", [(0.1, 0.1), (100.0, None)])
def test_clipping_limits_the_global_norm_of_the_update(mode, clip_norm, expected):
    _, slope = gradient(WEIGHT, IMAGES, LABELS)
    got, _ = weight_after(make_step(lr=1.0, momentum=0.0, clip_norm=clip_norm), [(IMAGES, LABELS)])
    moved = np.linalg.norm(WEIGHT - got)
    np.testing.assert_allclose(moved, expected or np.linalg.norm(slope), rtol=1e-5)


def test_clipping_applies_to_the_accumulated_gradient(mode):
    pieces = list(zip(np.split(IMAGES, 2), np.split(LABELS, 2), strict=True))
    whole, _ = weight_after(make_step(clip_norm=0.1), [(IMAGES, LABELS)])
    accumulated, _ = weight_after(make_step(clip_norm=0.1, accumulate_steps=2), pieces)
    np.testing.assert_allclose(accumulated, whole, rtol=1e-5, atol=1e-6)


def test_both_modes_train_an_sk_network_alike(tiny_network):
    rng = np.random.default_rng(0)
    images = rng.standard_normal((8, 3, 16, 16)).astype(np.float32)
    labels = rng.integers(0, 10, 8).astype(np.int32)
    losses = {}
    for name, context in (("graph", ms.GRAPH_MODE), ("pynative", ms.PYNATIVE_MODE)):
        ms.set_context(mode=context)
        network = tiny_network()
        optimizer = create_optimizer(network, "momentum", lr=0.05, use_nesterov=True)
        step = TrainStep(network, create_loss("CE"), optimizer)
        step.set_train(True)
        losses[name] = [float(step(Tensor(images), Tensor(labels))[0].asnumpy()) for _ in range(4)]
    ms.set_context(mode=ms.GRAPH_MODE)
    np.testing.assert_allclose(losses["graph"], losses["pynative"], rtol=2e-4)
    assert losses["graph"][-1] < losses["graph"][0]


def test_frozen_parameters_stay_as_they_are(mode):
    class Two(nn.Cell):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Dense(5, 4), nn.Dense(4, 3)

        def construct(self, x):
            return self.second(ops.relu(self.first(x)))

    network = Two()
    for parameter in network.first.get_parameters():
        parameter.requires_grad = False
    before = {p.name: p.asnumpy().copy() for p in network.get_parameters()}
    step = TrainStep(network, create_loss("CE"), create_optimizer(network, "adamw", lr=0.1))
    step.set_train(True)
    step(Tensor(IMAGES), Tensor(LABELS))
    for parameter in network.get_parameters():
        same = np.array_equal(before[parameter.name], parameter.asnumpy())
        assert same == parameter.name.startswith("first."), parameter.name
