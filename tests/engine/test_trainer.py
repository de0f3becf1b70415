"""The training loop: its order, reports, stopping and resuming."""

import math
from contextlib import nullcontext

import numpy as np
import pytest
from mindspore import Tensor

from mindcv.engine import Callback, EarlyStop, Evaluation, Progress, StepReport, StepResult, Trainer

GRADIENT = -1.0  # means a step with a finite loss and an infinite gradient


class FakeStep:
    """Replaces TrainStep: returns the next of the given losses."""

    def __init__(self, losses, accumulate_steps=1):
        self.losses, self.accumulate_steps, self.calls = iter(losses), accumulate_steps, 0
        self.updates, self._good = 0, 0  # good calls since the last update
        self.average, self.measuring = None, nullcontext

    lag = 0

    def set_train(self, mode):
        assert mode is True

    def reopen(self, void):
        assert void == 0

    def __call__(self, images, labels):
        self.calls += 1
        loss = next(self.losses)
        finite = math.isfinite(loss) and loss != GRADIENT
        self._good += finite
        updated = self.calls % self.accumulate_steps == 0 and self._good > 0
        if updated:
            self.updates, self._good = self.updates + 1, 0
        loss = np.float32(0.5 if loss == GRADIENT else loss)
        return StepResult(Tensor(loss), Tensor(finite), Tensor(updated), Tensor(False))


class FakeLoader:
    batch_size = 2
    num_examples = 10

    def __init__(self, batches=5):
        self.batches, self.epochs = batches, []

    def __len__(self):
        return self.batches

    def epoch(self, epoch, start=0):
        self.epochs.append(epoch if start == 0 else (epoch, start))
        for _ in range(start, self.batches):
            yield np.zeros((2, 1, 1, 1), np.float32), np.zeros(2, np.int32)


class Recorder(Callback):
    def __init__(self):
        self.results, self.reports = [], []

    def on_step_end(self, report):
        self.reports.append(report)

    def on_epoch_end(self, result):
        self.results.append(result)


class FakeSaver:
    """Records its calls."""

    def __init__(self):
        self.events = []

    def save_epoch(self, result, progress):
        self.events.append(("epoch", progress.epoch, progress.batch))

    def save_now(self, progress):
        self.events.append(("now", progress.epoch, progress.batch))

    def roll_back(self):
        self.events.append("back")


def scores(*top1):
    values = iter(top1)
    return lambda: Evaluation(top1=next(values), top5=100.0, loss=0.5, num_examples=4, seconds=0.1)


def test_fit_reports_mean_loss_best_epoch_and_last_learning_rate():
    recorder = Recorder()
    trainer = Trainer(FakeStep(range(1, 11)), scores(50.0, 40.0), [recorder])
    results = trainer.fit(FakeLoader(), epochs=2, learning_rates=np.linspace(1, 0.1, 10))
    assert results == recorder.results
    assert [r.train_loss for r in results] == [3.0, 8.0]
    assert [r.is_best for r in results] == [True, False]
    assert [r.is_final for r in results] == [False, True]
    np.testing.assert_allclose([r.lr for r in results], [0.6, 0.1])


def test_callbacks_receive_every_step_and_need_not_handle_it():
    recorder = Recorder()
    losses = [1.0, math.nan, 3.0, 4.0]
    trainer = Trainer(FakeStep(losses, accumulate_steps=2), None, [Callback(), recorder], on_nan="skip")
    trainer.fit(FakeLoader(2), epochs=2, learning_rates=[0.5, 0.25])
    last = recorder.reports.pop()
    assert last == StepReport(epoch=2, step=2, number=4, loss=4.0, lr=0.25, finite=True, updated=True)
    assert [(r.epoch, r.step, r.lr, r.finite, r.updated) for r in recorder.reports] == [
        (1, 1, 0.5, True, False),
        (1, 2, 0.5, False, True),
        (2, 1, 0.25, True, False),
    ]


def test_every_epoch_uses_its_own_order():
    loader = FakeLoader()
    Trainer(FakeStep(np.ones(15)), None).fit(loader, epochs=3, learning_rates=np.ones(15))
    assert loader.epochs == [1, 2, 3]


@pytest.mark.parametrize("interval, expected", [(2, [2, 4, 5]), (3, [3, 5]), (9, [5])])
def test_the_last_epoch_is_always_validated(interval, expected):
    recorder = Recorder()
    trainer = Trainer(FakeStep(np.ones(25)), scores(*range(9)), [recorder], val_interval=interval)
    trainer.fit(FakeLoader(), epochs=5, learning_rates=np.ones(25))
    assert [r.epoch for r in recorder.results if r.evaluation] == expected


def test_equal_scores_keep_the_earlier_best():
    recorder = Recorder()
    Trainer(FakeStep(np.ones(15)), scores(0.0, 0.0, 1.0), [recorder]).fit(
        FakeLoader(), epochs=3, learning_rates=np.ones(15)
    )
    assert [r.is_best for r in recorder.results] == [True, False, True]


def test_accumulation_leaves_out_incomplete_updates():
    step = FakeStep(np.ones(8), accumulate_steps=2)
    results = Trainer(step, None).fit(FakeLoader(), epochs=2, learning_rates=[4.0, 3.0, 2.0, 1.0])
    assert step.calls == 8
    assert [r.lr for r in results] == [3.0, 1.0]


@pytest.mark.parametrize(
    "bad, quantity",
    [
        (np.nan, "loss became nan"),
        (np.inf, "loss became inf"),
        (GRADIENT, "a gradient or running statistic is NaN or infinite"),
    ],
)
def test_a_non_finite_value_stops_the_run_and_is_reported_with_epoch_and_step(bad, quantity):
    step = FakeStep([1, 1, 1, 1, 1, 1, bad, 1])
    with pytest.raises(ValueError, match=rf"{quantity} in epoch 2, step 2 of 5.*intact"):
        Trainer(step, None).fit(FakeLoader(), epochs=2, learning_rates=np.ones(10))
    assert step.calls == 7


@pytest.mark.parametrize("policy, expected", [("skip", []), ("rollback", ["back", "back"])])
def test_bad_steps_are_skipped_counted_and_reported(capsys, policy, expected):
    saver, progress = FakeSaver(), Progress()
    trainer = Trainer(FakeStep([1, np.nan, 2, GRADIENT, 3]), None, saver=saver, on_nan=policy, nan_limit=2)
    [result] = trainer.fit(FakeLoader(), epochs=1, learning_rates=[5, 4, 3, 2, 1], progress=progress)
    assert result.train_loss == 2.0 and progress.bad_steps == 2
    assert result.lr == 3, "the third update is the last one made"
    assert saver.events == [*expected, ("epoch", 1, 0)]
    printed = capsys.readouterr().out
    assert "loss became nan in epoch 1, step 2 of 5" in printed and "(1 of at most 2)" in printed
    assert "a gradient or running statistic is NaN or infinite in epoch 1, step 4 of 5" in printed


def test_the_shown_learning_rate_is_right_after_a_skipped_accumulated_update():
    step = FakeStep([1, 1, np.nan, np.nan, 1, 1], accumulate_steps=2)
    [result] = Trainer(step, None, on_nan="skip").fit(FakeLoader(6), epochs=1, learning_rates=[3.0, 2.0, 1.0])
    assert step.updates == 2 and result.lr == 2.0


def test_more_bad_steps_than_the_limit_end_the_run():
    trainer = Trainer(FakeStep([1, np.nan, 1, np.nan, np.nan]), None, on_nan="skip", nan_limit=2)
    with pytest.raises(ValueError, match=r"epoch 1, step 5 of 5: stopped, because .* number 3 .* nan_limit is 2"):
        trainer.fit(FakeLoader(), epochs=1, learning_rates=np.ones(5))


def test_saves_inside_epochs_count_the_batches_of_the_whole_run():
    saver = FakeSaver()
    Trainer(FakeStep(np.ones(10)), None, saver=saver, save_steps=3).fit(
        FakeLoader(), epochs=2, learning_rates=np.ones(10)
    )
    assert saver.events == [("now", 0, 3), ("epoch", 1, 0), ("now", 1, 1), ("now", 1, 4), ("epoch", 2, 0)]


class StopAfter:
    """Returns True from the n-th call on."""

    def __init__(self, n):
        self.left = n

    def __call__(self):
        self.left -= 1
        return self.left <= 0


@pytest.mark.parametrize("questions, position", [(3, (0, 2)), (6, (1, 0)), (7, (1, 0)), (9, (1, 2))])
def test_a_stopped_run_is_saved_and_resumes_at_its_position(questions, position):
    losses = np.arange(1.0, 11.0)
    whole = Trainer(FakeStep(losses), scores(50.0, 60.0)).fit(FakeLoader(), epochs=2, learning_rates=losses)

    saver, progress, step, loader = FakeSaver(), Progress(), FakeStep(losses), FakeLoader()
    trainer = Trainer(step, scores(50.0, 60.0), saver=saver, stop=StopAfter(questions))
    first = trainer.fit(loader, epochs=2, learning_rates=losses, progress=progress)
    assert len(first) == position[0] and saver.events[-1] == ("now", *position)

    progress = Progress.from_dict(progress.to_dict())
    rest = Trainer(step, scores(*([50.0] * (position[0] == 0)), 60.0), saver=saver)
    results = rest.fit(loader, epochs=2, learning_rates=losses, progress=progress)
    assert step.calls == 10
    assert [(r.epoch, r.train_loss, r.lr, r.is_best) for r in results] == [
        (r.epoch, r.train_loss, r.lr, r.is_best) for r in whole
    ]
    if position == (1, 2):
        assert loader.epochs == [1, 2, (2, 2)]


def test_a_run_stopped_during_validation_resumes_with_that_validation():
    progress, loader, step = Progress(), FakeLoader(), FakeStep(np.ones(5))
    Trainer(step, lambda: None, saver=FakeSaver()).fit(loader, epochs=1, learning_rates=np.ones(5), progress=progress)
    assert (progress.epoch, progress.batch) == (0, 5)
    [result] = Trainer(step, scores(70.0)).fit(loader, epochs=1, learning_rates=np.ones(5), progress=progress)
    assert step.calls == 5 and loader.epochs == [1] and result.evaluation.top1 == 70.0


def test_a_run_stopped_before_its_first_step_saves_nothing():
    saver = FakeSaver()
    Trainer(FakeStep([]), None, saver=saver, stop=lambda: True).fit(FakeLoader(), epochs=1, learning_rates=np.ones(5))
    assert saver.events == []


def test_progress_is_restored_from_its_description():
    progress = Progress(epoch=1, batch=2, counted=2, loss_sum=0.1 + 0.2, bad_steps=1)
    Trainer(FakeStep(np.ones(5) / 3), scores(50.0)).fit(
        FakeLoader(), epochs=1, learning_rates=np.ones(5), progress=(other := Progress())
    )
    progress.history = other.history
    assert Progress.from_dict(progress.to_dict()) == progress


TOP1 = [50.0, 60.0, 55.0, 58.0, 70.0]


def fit_patiently(progress, *, stop=lambda: False):
    losses = np.arange(1.0, 26.0)
    done = progress.epoch * 5 + progress.batch
    step = FakeStep(losses[done:])
    step.updates = done
    saver = FakeSaver()
    trainer = Trainer(step, scores(*TOP1[progress.epoch :]), saver=saver, stop=stop, early_stop=EarlyStop(2))
    return trainer.fit(FakeLoader(), epochs=5, learning_rates=losses, progress=progress), saver


def test_the_epoch_that_ends_a_run_is_its_final_one():
    results, saver = fit_patiently(Progress())
    assert [result.is_final for result in results] == [False, False, False, True]
    assert saver.events[3] == ("epoch", 4, 0)


@pytest.mark.parametrize("questions", [3, 9, 17, 21])
def test_an_interrupted_run_ends_after_the_same_epoch(questions):
    progress = Progress()
    fit_patiently(progress, stop=StopAfter(questions))
    assert progress.epoch < 4
    results, _ = fit_patiently(Progress.from_dict(progress.to_dict()))
    assert [(result.epoch, result.evaluation.top1) for result in results] == [*enumerate(TOP1[:4], start=1)]


def test_a_run_that_has_ended_stays_as_it_is():
    progress = Progress()
    fit_patiently(progress)
    results, saver = fit_patiently(progress)
    assert len(results) == 4 and saver.events == [("now", 4, 0)]  # which the real saver has saved already
