"""The moving average of the weights against NumPy, and its place in the network."""

import numpy as np
import pytest
from mindspore import Tensor, nn

from mindcv.checkpoint import network_weights
from mindcv.engine import TrainStep, WeightAverage
from mindcv.loss import create_loss
from mindcv.models.layers import ConvNormAct
from mindcv.optim import create_optimizer

RNG = np.random.default_rng(5)
BATCHES = [
    (Tensor(RNG.standard_normal((4, 3, 4, 4)).astype(np.float32)), Tensor(RNG.integers(0, 3, 4).astype(np.int32)))
    for _ in range(4)
]
BAD = (Tensor(np.full((4, 3, 4, 4), np.nan, np.float32)), BATCHES[0][1])


class Small(nn.Cell):
    def __init__(self):
        super().__init__()
        self.conv, self.classifier = ConvNormAct(3, 4, 3), nn.Dense(4, 3)

    def construct(self, x):
        return self.classifier(self.conv(x).mean((2, 3)))


def build(decay, warmup, **options):
    network = Small()
    optimizer = create_optimizer(network, "momentum", lr=0.1)
    step = TrainStep(network, create_loss(), optimizer, average=WeightAverage(network, decay, warmup), **options)
    step.set_train(True)
    return step


def measured(step):
    return {name: parameter.asnumpy().copy() for name, parameter in step.measured.items()}


@pytest.mark.parametrize("decay, warmup", [(0.9, 0), (0.99, 2.0)])
def test_averages_equal_those_in_numpy(mode, decay, warmup):
    step = build(decay, warmup)
    expected = {name: array.astype(np.float64) for name, array in network_weights(step.network).items()}
    assert "conv.bn.moving_variance" in expected
    for update, batch in enumerate(BATCHES, start=1):
        step(*batch)
        now = decay * (1 - np.exp(-update / warmup)) if warmup else decay
        for name, array in network_weights(step.network).items():
            expected[name] = now * expected[name] + (1 - now) * array
    for name, array in measured(step).items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=1e-6)
        assert not np.array_equal(array, network_weights(step.network)[name])


def test_only_updates_are_averaged(mode):
    step, expected = build(0.9, 0, accumulate_steps=2), build(0.9, 0, accumulate_steps=2)
    for name, parameter in step.network.parameters_and_names():
        expected.network.parameters_dict()[name].set_data(Tensor(parameter.asnumpy()))
    for average, parameter in zip(expected.average.averages, step.average.averages, strict=True):
        average.set_data(Tensor(parameter.asnumpy()))
    before = measured(step)
    step(*BATCHES[0])
    for name, array in measured(step).items():  # no update yet
        np.testing.assert_array_equal(array, before[name])
    for batch in (BATCHES[1], BAD, BAD):
        step(*batch)
    for batch in BATCHES[:2]:
        expected(*batch)
    for name, array in measured(step).items():
        np.testing.assert_array_equal(array, measured(expected)[name])


def test_the_averages_are_in_the_network_while_measuring_and_the_weights_return(mode):
    step = build(0.9, 0)
    step(*BATCHES[0])
    trained, averages = network_weights(step.network), measured(step)
    with pytest.raises(KeyError), step.measuring():
        for name, array in network_weights(step.network).items():
            np.testing.assert_array_equal(array, averages[name])
        raise KeyError
    for name, array in network_weights(step.network).items():
        np.testing.assert_array_equal(array, trained[name])
    step(*BATCHES[1])  # the optimizer still updates the network's weights
    assert not np.array_equal(step.network.classifier.weight.asnumpy(), trained["classifier.weight"])


def test_without_averages_the_trained_weights_are_measured(mode):
    network = Small()
    step = TrainStep(network, create_loss(), create_optimizer(network, "momentum", lr=0.1))
    assert step.measured == {parameter.name: parameter for parameter in network.get_parameters()}
    with step.measuring():
        assert step.measured["classifier.weight"] is network.classifier.weight


@pytest.mark.parametrize("decay, warmup, name", [(1.0, 0, "ema_decay"), (0.9, -1, "ema_warmup")])
def test_an_illegal_argument_is_an_error(decay, warmup, name):
    with pytest.raises(ValueError, match=name):
        WeightAverage(Small(), decay, warmup)
