"""What happens after each epoch beside training and saving: a line on the console, a row in a file."""

import csv
import os
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from mindcv.checkpoint import publish
from mindcv.engine.progress import EpochResult


class EpochLog:
    """Prints one line per epoch."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_epoch_end(self, result: EpochResult) -> None:
        line = (
            f"epoch {result.epoch:{len(str(self.epochs))}d}/{self.epochs}  loss {result.train_loss:.4f}  "
            f"lr {result.lr:.2e}  {result.images_per_second:.1f} images/s  {result.seconds:.1f} s"
        )
        if result.evaluation:
            evaluation = result.evaluation
            line += (
                f"  |  top-1 {evaluation.top1:.2f} %  top-5 {evaluation.top5:.2f} %  val loss {evaluation.loss:.4f}  "
                f"{evaluation.seconds:.1f} s{'  best' if result.is_best else ''}"
            )
        tqdm.write(line)


class MetricsFile:
    """Appends one row per epoch to a CSV file; cells of epochs without validation stay empty."""

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
    )

    def __init__(self, path: Path, history: Sequence[EpochResult] = ()) -> None:
        self.path = path
        if history:  # a resumed run may come by epochs again that are in the file already
            temporary = path.with_name(f".{path.name}.saving")
            self._write(temporary, history, "w")
            publish(temporary, path)

    def on_epoch_end(self, result: EpochResult) -> None:
        self._write(self.path, [result], "a")

    def _write(self, path: Path, results: Sequence[EpochResult], mode: str) -> None:
        with path.open(mode, newline="") as file:
            writer = csv.writer(file)
            if os.fstat(file.fileno()).st_size == 0:
                writer.writerow(self.COLUMNS)
            writer.writerows(map(_row, results))


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
    )
