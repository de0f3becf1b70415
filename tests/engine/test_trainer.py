"""The order of the loop, what it reports, and how it stops."""

import csv

import numpy as np
import pytest
from mindspore import Tensor

from mindcv.engine import EpochLog, EpochResult, Evaluation, MetricsFile, Trainer


class FakeStep:
    """Stands for TrainStep: answers with the next of the given losses."""

    def __init__(self, losses, accumulate_steps=1):
        self.losses, self.accumulate_steps, self.calls = iter(losses), accumulate_steps, 0

    def set_train(self, mode):
        assert mode is True

    def __call__(self, images, labels):
        self.calls += 1
        return Tensor(np.float32(next(self.losses)))


class FakeLoader:
    batch_size = 2
    num_examples = 10

    def __init__(self, batches=5):
        self.batches, self.epochs = batches, []

    def __len__(self):
        return self.batches

    def epoch(self, epoch):
        self.epochs.append(epoch)
        for _ in range(self.batches):
            yield np.zeros((2, 1, 1, 1), np.float32), np.zeros(2, np.int32)


class Recorder:
    def __init__(self):
        self.results = []

    def on_epoch_end(self, result):
        self.results.append(result)


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


def test_every_epoch_asks_the_loader_for_its_own_order():
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


def test_accumulation_leaves_the_batches_that_fill_no_update():
    step = FakeStep(np.ones(8), accumulate_steps=2)
    results = Trainer(step, None).fit(FakeLoader(), epochs=2, learning_rates=[4.0, 3.0, 2.0, 1.0])
    assert step.calls == 8
    assert [r.lr for r in results] == [3.0, 1.0]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_no_number_stops_the_run_by_epoch_and_step(bad):
    step = FakeStep([1, 1, 1, 1, 1, 1, bad, 1])
    with pytest.raises(ValueError, match=r"epoch 2, step 2 of 5.*intact"):
        Trainer(step, None).fit(FakeLoader(), epochs=2, learning_rates=np.ones(10))
    assert step.calls == 7


def result(epoch, evaluation=None) -> EpochResult:
    return EpochResult(
        epoch=epoch,
        train_loss=0.25,
        lr=0.1,
        seconds=2.0,
        images_per_second=50.0,
        data_wait=0.01,
        evaluation=evaluation,
        is_best=True,
        is_final=False,
    )


def test_metrics_file_has_one_row_per_epoch_and_empty_cells_without_validation(tmp_path):
    file = MetricsFile(tmp_path / "metrics.csv")
    file.on_epoch_end(result(1))
    file.on_epoch_end(result(2, Evaluation(top1=75.0, top5=100.0, loss=0.5, num_examples=4, seconds=0.5)))
    with file.path.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert rows[0]["val_top1"] == "" and float(rows[1]["val_top1"]) == 75.0
    assert float(rows[1]["train_loss"]) == 0.25


def test_epoch_log_shows_loss_rate_and_scores(capsys):
    EpochLog(10).on_epoch_end(result(2, Evaluation(top1=75.0, top5=100.0, loss=0.5, num_examples=4, seconds=0.5)))
    line = capsys.readouterr().out
    for part in (" 2/10", "loss 0.2500", "lr 1.00e-01", "50.0 images/s", "top-1 75.00 %", "best"):
        assert part in line
