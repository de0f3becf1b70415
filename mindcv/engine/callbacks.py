"""What happens after each epoch beside training: a line on the console, a row in a file, checkpoints."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mindspore import nn
from tqdm import tqdm

from mindcv.checkpoint import CheckpointStore
from mindcv.engine.trainer import EpochResult


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

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_epoch_end(self, result: EpochResult) -> None:
        evaluation = result.evaluation
        validated = (evaluation.top1, evaluation.top5, evaluation.loss, evaluation.seconds) if evaluation else [""] * 4
        row = (
            result.epoch,
            result.train_loss,
            result.lr,
            result.seconds,
            result.images_per_second,
            result.data_wait,
            *validated,
        )
        is_new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.writer(file)
            if is_new:
                writer.writerow(self.COLUMNS)
            writer.writerow(row)


class SaveCheckpoints:
    """Hands the weights and their description to the store after each epoch.

    Args:
        store: decides which files to write.
        network: the weights.
        info: what the checkpoint says about itself, apart from epoch and metrics.
    """

    def __init__(self, store: CheckpointStore, network: nn.Cell, info: Mapping[str, Any]) -> None:
        self.store = store
        self.network = network
        self.info = info

    def on_epoch_end(self, result: EpochResult) -> None:
        evaluation = result.evaluation
        metrics = {"train_loss": result.train_loss}
        if evaluation:
            metrics |= {"top1": evaluation.top1, "top5": evaluation.top5, "loss": evaluation.loss}
        self.store.save(
            self.network,
            {**self.info, "epoch": result.epoch, "metrics": metrics},
            epoch=result.epoch,
            is_best=result.is_best,
            is_final=result.is_final,
        )
