"""Callbacks after each step and epoch: a line on the console, a row in a file."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from mindcv import console
from mindcv.engine.state import EpochResult, StepReport
from mindcv.files import replacing


class Callback:
    """Receives the results of a run without changing it. Subclasses override the methods they need."""

    def on_step_end(self, report: StepReport) -> None:
        """Called after each step, before a save."""

    def on_epoch_end(self, result: EpochResult) -> None:
        """Called after each epoch and its validation, before the save."""


class EpochLog(Callback):
    """Prints one line per epoch."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_epoch_end(self, result: EpochResult) -> None:
        evaluation = result.evaluation
        val_loss = f" (val {evaluation.loss:.4f})" if evaluation else ""
        line = (
            f"epoch {result.epoch:{len(str(self.epochs))}d}/{self.epochs}  loss {result.train_loss:.4f}{val_loss}  "
            f"lr {result.lr:.2g}  {result.images_per_second:.0f} img/s"
        )
        if evaluation:
            trained = f" (without EMA {result.trained.top1:.2f} %)" if result.trained else ""
            line += f"  top-1 {evaluation.top1:.2f} %{trained}  top-5 {evaluation.top5:.2f} %"
            line += "  best" * result.is_best
        console.say(line)


class MetricsFile(Callback):
    """A CSV file with one row per epoch, rewritten atomically; cells are empty for what was not validated.

    Args:
        path: the file. Its rows of epochs that are not in `history` are removed.
        history: complete epochs.
        on_error: if the file cannot be written. "stop": end the run. "continue": warn, and try again after the next
            epoch.
    """

    COLUMNS = (
        "epoch",
        "train_loss",
        "lr",
        "train_seconds",
        "images_per_second",
        "data_wait",
        "val_top1",
        "val_top5",
        "val_loss",
        "val_seconds",
        "val_top1_without_ema",
    )

    def __init__(
        self, path: Path, history: Sequence[EpochResult] = (), *, on_error: Literal["stop", "continue"] = "stop"
    ) -> None:
        self.path = path
        self.on_error = on_error
        self._results = list(history)
        if self._results or path.exists():  # a resumed run may repeat epochs that are in the file
            self._write()

    def on_epoch_end(self, result: EpochResult) -> None:
        self._results.append(result)
        self._write()

    def _write(self) -> None:
        try:
            with replacing(self.path) as temporary, temporary.open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(self.COLUMNS)
                writer.writerows(map(_row, self._results))
        except OSError as error:
            problem = f"could not write {self.path}: {error.strerror or error}. The checkpoints beside it are intact."
            if self.on_error == "stop":
                raise OSError(problem) from error
            console.warn(problem)


def _row(result: EpochResult) -> tuple[object, ...]:
    evaluation = result.evaluation
    validated = (evaluation.top1, evaluation.top5, evaluation.loss, evaluation.seconds) if evaluation else [""] * 4
    return (
        result.epoch,
        result.train_loss,
        result.lr,
        result.seconds,
        result.images_per_second,
        result.data_wait,
        *validated,
        result.trained.top1 if result.trained else "",
    )
