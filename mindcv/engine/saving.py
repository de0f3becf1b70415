"""Checkpoints of a run under way: at the end of epochs, inside them, and back to the last one."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from mindcv import console
from mindcv.checkpoint import CheckpointStore, read_checkpoint
from mindcv.distributed import ALONE, World
from mindcv.engine.state import EpochResult, Progress, TrainState


class SaveCheckpoints:
    """Hands weights, training state and their description to the store.

    Args:
        store: decides which files to write.
        state: what to save.
        info: what the checkpoint says about itself, apart from epoch, metrics and the state of the training.
        training: what else a resume needs to know, JSON-compatible.
        on_error: "stop": a checkpoint that cannot be written ends the run. "continue": the run says so and tries again
            at the next one.
        world: the processes; the main one writes.

    Attributes:
        problem: why the newest save failed; None if it did not.
    """

    def __init__(
        self,
        store: CheckpointStore,
        state: TrainState,
        info: Mapping[str, Any],
        training: Mapping[str, Any],
        *,
        on_error: Literal["stop", "continue"] = "stop",
        world: World = ALONE,
    ) -> None:
        self.store = store
        self.state = state
        self.info = info
        self.training = training
        self.on_error = on_error
        self.world = world
        self.problem: str | None = None
        self._saved: tuple[int, int] | None = None  # epoch and batch of the last checkpoint

    def save_epoch(self, result: EpochResult, progress: Progress) -> None:
        """Save what is due at the end of an epoch.

        Raises:
            OSError: if that fails and `on_error` is "stop".
            ValueError: if a weight is not finite.
        """
        if self.store.is_due(result.epoch, is_best=result.is_best, is_final=result.is_final):
            self._write(progress, result)

    def save_now(self, progress: Progress) -> None:
        """Save the present state as the last checkpoint, unless it is that already; raises as `save_epoch` does."""
        if self._saved != (progress.epoch, progress.batch):
            self._write(progress, None)

    def roll_back(self) -> None:
        """Return to weights and moments of the newest checkpoint of this run.

        Raises:
            ValueError: if there is none, or all are damaged; a damaged one that another replaces is a warning.
            OSError, MemoryError: if one cannot be read; that says nothing about it.
        """
        checkpoint, complaints = self.store.newest()
        for complaint in complaints:
            console.warn(complaint)
        if checkpoint is None:
            raise ValueError(
                "on_nan=rollback, but this run has no checkpoint yet to go back to: it stops. Try a lower --lr, more "
                "--warmup_epochs or --clip_grad; --ckpt_save_steps saves earlier."
            )
        self.state.roll_back(checkpoint)

    def _write(self, progress: Progress, result: EpochResult | None) -> None:
        if not self.world.is_main:
            return
        weights = self.state.weights()
        self._check_finite(weights, progress)
        info = {
            **self.info,
            "epoch": progress.epoch,
            "metrics": _metrics(result) if result else {},
            "training": {**self.training, **self.state.describe(progress)},
        }
        try:
            if result:
                epoch, is_best, is_final = result.epoch, result.is_best, result.is_final
                self.store.save(weights, info, self.state.arrays(), epoch=epoch, is_best=is_best, is_final=is_final)
            else:
                self.store.save_last(weights, info, self.state.arrays())
        except OSError as error:
            self.problem = str(error)
            if self.on_error == "stop":
                raise OSError(f"{error}. {self._what_is_left()}") from error
            console.warn(f"{error}. Training goes on without this checkpoint. {self._what_is_left()}")
            if result and result.is_best:
                progress.set_best(*self._best_on_disk())
        else:
            self.problem, self._saved = None, (progress.epoch, progress.batch)

    def _best_on_disk(self) -> tuple[int | None, float | None, float | None]:
        """Epoch, top-1 and top-5 of the best checkpoint that there is: a run names no other."""
        if not self.store.best.exists():
            return None, None, None
        info = read_checkpoint(self.store.best).info
        return info["epoch"], info["metrics"]["top1"], info["metrics"]["top5"]

    def _what_is_left(self) -> str:
        return (
            f"The checkpoint before it, {self.store.last}, is intact."
            if self.store.last.exists()
            else "There is no earlier checkpoint of this run."
        )

    def _check_finite(self, weights: Mapping[str, np.ndarray], progress: Progress) -> None:
        for name, array in weights.items():
            if not np.isfinite(array).all():
                raise ValueError(
                    f"{name} holds NaN or infinity after {_where(progress)}: no checkpoint was written of it, and the "
                    f"run stops. {self._what_is_left()} Try a lower --lr, more --warmup_epochs or --clip_grad; "
                    "--on_nan=skip leaves out steps with such gradients."
                )


def _where(progress: Progress) -> str:
    return f"epoch {progress.epoch + 1}, step {progress.batch}" if progress.batch else f"epoch {progress.epoch}"


def _metrics(result: EpochResult) -> dict[str, float]:
    metrics = {"train_loss": result.train_loss}
    if result.evaluation:
        evaluation = result.evaluation
        metrics |= {"top1": evaluation.top1, "top5": evaluation.top5, "loss": evaluation.loss}
    return metrics
