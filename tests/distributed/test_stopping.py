"""Processes that train together stop after the same step."""

from contextlib import nullcontext

import numpy as np
import pytest
from mindspore import Tensor

from mindcv.distributed import World
from mindcv.engine import Progress, Trainer
from mindcv.engine.train_step import SharedResult


class FakeStep:
    """Replaces a step of two processes, of which the other asks to stop in the given call."""

    accumulate_steps, average, measuring, updates = 1, None, nullcontext, 0

    def __init__(self, lag, asked_in):
        self.lag, self.asked_in, self.calls, self.told = lag, asked_in, 0, []

    def set_train(self, mode):
        assert mode is True

    def ask_to_stop(self):
        self.told.append(self.calls + 1)

    def __call__(self, images, labels):
        self.calls += 1
        stops = self.calls == self.asked_in or self.calls in self.told
        return SharedResult(Tensor(np.float32(1.0)), Tensor(True), Tensor(True), Tensor(False), Tensor(stops))


class FakeLoader:
    batch_size, num_examples = 2, 12

    def __len__(self):
        return 6

    def epoch(self, epoch, start=0):
        for _ in range(start, len(self)):
            yield np.zeros((2, 1, 1, 1), np.float32), np.zeros(2, np.int32)


def fit(step, *, stop=lambda: False, add=lambda numbers: numbers):
    progress = Progress()
    trainer = Trainer(step, None, stop=stop, progress=False, world=World(1, 2, add))
    trainer.fit(FakeLoader(), epochs=2, learning_rates=np.ones(12), progress=progress)
    return progress.epoch, progress.batch


@pytest.mark.parametrize(("lag", "position"), [(0, (0, 3)), (1, (0, 4))])
def test_a_run_stops_when_the_step_that_says_so_is_read_and_those_sent_are_done(lag, position):
    step = FakeStep(lag, asked_in=3)
    assert fit(step) == position
    assert step.calls == position[1] and step.told == []


@pytest.mark.parametrize(("lag", "position"), [(0, (0, 3)), (1, (0, 4))])
def test_a_signal_here_is_told_with_the_next_step_and_ends_the_run_no_earlier(lag, position):
    step = FakeStep(lag, asked_in=None)
    assert fit(step, stop=lambda: step.calls >= 2) == position
    assert step.told[0] == 3


def test_all_leave_out_the_next_epoch_if_one_was_asked_to_stop_after_the_last_step():
    heard = iter([0.0, 1.0])  # before each epoch: whether any process stops
    assert fit(FakeStep(0, asked_in=None), add=lambda numbers: [numbers[0] + next(heard)]) == (1, 0)


def test_throughput_counts_the_images_of_all():
    progress = Progress()
    trainer = Trainer(FakeStep(0, None), None, progress=False, world=World(0, 2))
    [result] = trainer.fit(FakeLoader(), epochs=1, learning_rates=np.ones(6), progress=progress)
    assert result.images_per_second == pytest.approx(2 * 2 * 6 / result.seconds)
