"""Callbacks after each step and epoch: a line on the console, a row in a file."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from mindcv import console
from mindcv.distributed import ALONE, World
from mindcv.engine.evaluator import Evaluation
from mindcv.engine.measures import Measured, in_words
from mindcv.engine.state import EpochResult, StepReport
from mindcv.files import replacing


class Callback:
    """Receives the results of a run without changing it. Subclasses override the methods they need."""

    def on_step_end(self, report: StepReport) -> None:
        """Called after each step, before a save. An accelerator may have begun the next one: weights may be newer."""

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
            trained = f" (without EMA {result.trained.score:.2f} %)" if result.trained else ""
            score, *others = in_words(evaluation.measures)
            line = "  ".join([line, score + trained, *others])
            line += "  best" * result.is_best
        console.say(line)


class MetricsFile(Callback):
    """A CSV file with one row per epoch, rewritten atomically; cells are empty for what was not validated.

    Args:
        path: the file. Its rows of epochs that are not in `history` are removed.
        history: complete epochs.
        kind: of the run's evaluations.
        on_error: if the file cannot be written. "stop": end the run. "continue": warn, and try again after the next
            epoch.
        world: the processes; the main one writes.
    """

    def __init__(
        self,
        path: Path,
        history: Sequence[EpochResult] = (),
        kind: type[Measured] = Evaluation,
        *,
        on_error: Literal["stop", "continue"] = "stop",
        world: World = ALONE,
    ) -> None:
        self.world = world
        self.measures = kind.MEASURES
        self.path = path
        self.on_error = on_error
        self._results = list(history)
        if self._results or path.exists():  # a resumed run may repeat epochs that are in the file
            self._write()

    def on_epoch_end(self, result: EpochResult) -> None:
        self._results.append(result)
        self._write()

    def _write(self) -> None:
        if not self.world.is_main:
            return
        try:
            with replacing(self.path) as temporary, temporary.open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(self._columns())
                writer.writerows(map(self._row, self._results))
        except OSError as error:
            problem = f"could not write {self.path}: {error.strerror or error}. The checkpoints beside it are intact."
            if self.on_error == "stop":
                raise OSError(problem) from error
            console.warn(problem)

    def _columns(self) -> list[str]:
        of_epoch = ["epoch", "train_loss", "lr", "train_seconds", "images_per_second", "data_wait"]
        of_validation = [f"val_{name}" for name in (*self.measures, "seconds")]
        return [*of_epoch, *of_validation, f"val_{self.measures[0]}_without_ema"]

    def _row(self, result: EpochResult) -> list[object]:
        of_epoch = [result.epoch, result.train_loss, result.lr]
        speed = [result.seconds, result.images_per_second, result.data_wait]
        trained = result.trained.score if result.trained else ""
        return [*of_epoch, *speed, *self._validated(result.evaluation), trained]

    def _validated(self, evaluation: Measured | None) -> list[object]:
        if evaluation is None:
            return [""] * (len(self.measures) + 1)
        return [*evaluation.measures.values(), evaluation.seconds]
