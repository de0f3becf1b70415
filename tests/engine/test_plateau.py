"""PlateauRates: what the optimizer really uses after a drop, for each group and in both modes."""

import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

from mindcv.engine import EpochResult, Evaluation, PlateauRates
from mindcv.optim import create_optimizer


class Two(nn.Cell):
    """A body and a classifier of one number each."""

    def __init__(self):
        super().__init__()
        self.body = Parameter(Tensor(np.zeros(1, np.float32)), name="body")
        self.head = Parameter(Tensor(np.zeros(1, np.float32)), name="head")

    def depth_groups(self):
        return [["body"], ["head"]]


def result(epoch, top1):
    evaluation = None if top1 is None else Evaluation(top1, 100.0, 1.0, num_examples=4, seconds=0.1)
    return EpochResult(epoch, 1.0, 0.1, 1.0, 10.0, 0.0, evaluation, False, False)


def halve_each(scores):
    """The factor after these scores: half for each of them, so that it shows what the callback passed on."""
    return 0.5 ** len(scores)


def updated(network, optimizer):
    """The change of both numbers in an update by a gradient of 1, without momentum."""
    before = [p.asnumpy().copy() for p in (network.body, network.head)]
    optimizer((Tensor(np.ones(1, np.float32)),) * 2)
    return [float((a - p.asnumpy())[0]) for a, p in zip(before, (network.body, network.head), strict=True)]


@pytest.mark.parametrize("opt", ["momentum", "sgd"])
def test_the_optimizer_updates_with_the_lowered_rates_of_each_group(mode, opt):
    network, rates = Two(), [1.0, 0.75, 0.5, 0.25]
    optimizer = create_optimizer(network, opt, lr=rates, momentum=0.0, head_lr_scale=4.0)
    callback = PlateauRates(optimizer, rates, halve_each)
    assert updated(network, optimizer) == [1.0, 4.0]
    callback.on_epoch_end(result(1, None))  # not validated: no score
    assert updated(network, optimizer) == [0.75, 3.0]
    callback.on_epoch_end(result(2, 50.0))
    assert rates == [0.5, 0.375, 0.25, 0.125]
    assert updated(network, optimizer) == [0.25, 1.0]
    callback.on_epoch_end(result(3, 50.0))
    assert updated(network, optimizer) == [0.0625, 0.25]


def test_the_results_of_a_resumed_run_lower_the_rates_at_once():
    history = [result(1, 10.0), result(2, None), result(3, 20.0)]
    network, rates = Two(), [1.0] * 4
    optimizer = create_optimizer(network, "momentum", lr=rates, momentum=0.0)
    PlateauRates(optimizer, rates, halve_each, history)
    assert rates == [0.25] * 4
    assert updated(network, optimizer) == [0.25, 0.25]


def test_the_scores_are_those_of_the_validated_epochs():
    seen = []
    optimizer = create_optimizer(Two(), "momentum", lr=[1.0])
    callback = PlateauRates(optimizer, [1.0], lambda scores: seen.append(list(scores)) or 1.0, [result(1, 10.0)])
    callback.on_epoch_end(result(2, 30.0))
    callback.on_epoch_end(result(3, None))
    callback.on_epoch_end(result(4, 20.0))
    assert seen == [[(1, 10.0)], [(1, 10.0), (2, 30.0)], [(1, 10.0), (2, 30.0), (4, 20.0)]]


def test_only_a_drop_is_reported_and_not_after_the_last_epoch(capsys):
    optimizer = create_optimizer(Two(), "momentum", lr=[1.0])
    factors = iter([1.0, 1.0, 0.1, 0.01])
    callback = PlateauRates(optimizer, [1.0], lambda scores: next(factors))
    callback.on_epoch_end(result(1, 1.0))
    assert not capsys.readouterr().out
    callback.on_epoch_end(result(2, 1.0))
    assert "the learning rate is multiplied by 0.1" in capsys.readouterr().out
    last = EpochResult(3, 1.0, 0.1, 1.0, 10.0, 0.0, result(3, 1.0).evaluation, False, True)
    callback.on_epoch_end(last)
    assert not capsys.readouterr().out
