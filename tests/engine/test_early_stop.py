"""Early stopping: after which epoch a run ends. test_trainer.py has what the trainer does then."""

import pytest

from mindcv.engine import EarlyStop, EpochResult, Evaluation


def history(*top1):
    return [
        EpochResult(
            epoch, 0.0, 0.1, 1.0, 1.0, 0.0, None if t is None else Evaluation(t, 100.0, 0.5, 4, 0.1), False, False
        )
        for epoch, t in enumerate(top1, start=1)
    ]


@pytest.mark.parametrize(
    ("patience", "delta", "top1", "ends_after"),
    [
        (None, 0.0, [5.0] * 9, None),
        (1, 0.0, [5.0, 6.0, 6.0], 3),  # an equal one is no improvement
        (2, 0.0, [5.0, 4.0, 4.5, 9.0], 3),
        (2, 0.0, [5.0, 4.0, 5.1, 5.0, 5.2], None),
        (2, 0.0, [5.0, None, None, 4.0, None, 3.0], 6),  # epochs without validation do not count
        (2, 1.0, [5.0, 5.6, 6.2, 7.0], None),  # measured from the last improvement, not from the highest so far
        (2, 1.0, [5.0, 5.6, 6.0], 3),
        (1, 0.0, [0.0], None),  # the first validation is an improvement
    ],
)
def test_a_run_ends_after_the_first_epoch_that_exhausts_the_patience(patience, delta, top1, ends_after):
    stop, results = EarlyStop(patience, delta), history(*top1)
    reached = [epoch for epoch in range(len(results) + 1) if stop.reached(results[:epoch])]
    assert (reached[0] if reached else None) == ends_after


def test_the_reason_names_the_epoch_and_the_limits():
    assert EarlyStop(1).reason(7) == "ended after epoch 7: the last validation did not raise the best top-1"
    assert EarlyStop(3, 0.1).reason(12) == (
        "ended after epoch 12: none of the last 3 validations raised the best top-1 by more than 0.1"
    )
