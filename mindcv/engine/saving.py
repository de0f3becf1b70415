"""Checkpoints of a run: saving at the end of epochs and inside them, and rolling back to the last one."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from mindcv import console
from mindcv.checkpoint import CheckpointStore, read_checkpoint
from mindcv.distributed import ALONE, World
from mindcv.engine.state import EpochResult, Progress, TrainState


class SaveCheckpoints:
    """Passes weights, training state and their description to the store.

    Args:
        store: decides which files to write.
        state: the weights and training state.
        info: the checkpoint's description, without epoch, metrics and training state.
        training: further values needed to resume, JSON-compatible.
        on_error: if a checkpoint cannot be written. "stop": end the run. "continue": warn, and try again at the next
            save.
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
        """Save the checkpoints due at the end of an epoch.

        Raises:
            OSError: if that fails and `on_error` is "stop".
            ValueError: if a weight is not finite.
        """
        if self.store.is_due(result.epoch, is_best=result.is_best, is_final=result.is_final):
            self._write(progress, result)

    def save_now(self, progress: Progress) -> None:
        """Save the current state as the last checkpoint, unless it is saved already; raises as `save_epoch` does."""
        if self._saved != (progress.epoch, progress.batch):
            self._write(progress, None)

    def roll_back(self) -> None:
        """Restore weights and moments from the newest checkpoint of this run; a damaged one is skipped with a warning.

        Raises:
            ValueError: if there is none, or all are damaged.
            OSError, MemoryError: if one cannot be read, which does not mean that it is damaged.
        """
        checkpoint, complaints = self.store.newest()
        for complaint in complaints:
            console.warn(complaint)
        if checkpoint is None:
            raise ValueError(
                "on_nan=rollback, but this run has no checkpoint yet to roll back to: it stops. Try a lower --lr, more "
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
                self.store.save(
                    weights,
                    info,
                    self.state.arrays(),
                    epoch=result.epoch,
                    is_best=result.is_best,
                    is_final=result.is_final,
                    scores={past.epoch: past.evaluation.score for past in progress.history if past.evaluation},
                )
            else:
                self.store.save_last(weights, info, self.state.arrays())
        except OSError as error:
            self.problem = str(error)
            if self.on_error == "stop":
                raise OSError(f"{error}. {self._what_is_left()}") from error
            console.warn(f"{error}. Training continues without this checkpoint. {self._what_is_left()}")
            if result and result.is_best:
                progress.set_best(*self._best_on_disk())
        else:
            self.problem, self._saved = None, (progress.epoch, progress.batch)

    def _best_on_disk(self) -> tuple[int | None, dict[str, float]]:
        """Return epoch and measures of the best checkpoint that exists."""
        if not self.store.best.exists():
            return None, {}
        info = read_checkpoint(self.store.best).info
        return info["epoch"], info["metrics"]

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
                    f"{name} holds NaN or infinity after {_where(progress)}: no checkpoint was written, and the run "
                    f"stops. {self._what_is_left()} Try a lower --lr, more --warmup_epochs or --clip_grad; "
                    "--on_nan=skip skips steps with such gradients."
                )


def _where(progress: Progress) -> str:
    return f"epoch {progress.epoch + 1}, step {progress.batch}" if progress.batch else f"epoch {progress.epoch}"


def _metrics(result: EpochResult) -> dict[str, float]:
    return {"train_loss": result.train_loss, **(result.evaluation.measures if result.evaluation else {})}
