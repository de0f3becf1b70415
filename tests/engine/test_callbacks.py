"""Output after each epoch on the console and in files."""

import csv
import dataclasses

from mindcv.engine import EpochLog, EpochResult, Evaluation, MetricsFile


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
    assert line == ("epoch  2/10  loss 0.2500 (val 0.5000)  lr 0.1  50 img/s  top-1 75.00 %  top-5 100.00 %  best\n")


def test_epoch_log_fits_a_hundred_columns(capsys):
    large = dataclasses.replace(
        result(300, Evaluation(top1=75.0, top5=100.0, loss=6.9078, num_examples=4, seconds=0.5)),
        lr=0.00012345,
        images_per_second=1234.5,
    )
    EpochLog(300).on_epoch_end(large)
    assert len(capsys.readouterr().out) <= 101


def test_a_resumed_run_drops_the_rows_of_epochs_it_repeats(tmp_path):
    path = tmp_path / "metrics.csv"
    file = MetricsFile(path)
    for epoch in (1, 2, 3):
        file.on_epoch_end(result(epoch))
    resumed = MetricsFile(path, [result(1), result(2)])
    resumed.on_epoch_end(result(3))
    with path.open(newline="") as lines:
        assert [row["epoch"] for row in csv.DictReader(lines)] == ["1", "2", "3"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["metrics.csv"]
