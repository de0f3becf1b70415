"""The training loop and nothing else."""

import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from mindspore import Tensor
from tqdm import tqdm

from mindcv.engine.evaluator import Batches, Evaluation
from mindcv.engine.train_step import TrainStep


@dataclass(frozen=True)
class EpochResult:
    """What one epoch did.

    Attributes:
        epoch: counted from 1.
        train_loss: mean training loss of the epoch, as optimized (with label smoothing).
        lr: learning rate of the epoch's last update.
        seconds: training time, without evaluation.
        images_per_second: training throughput.
        data_wait: share of `seconds` spent waiting for the data loader, 0 to 1.
        evaluation: None in epochs that were not validated.
        is_best: the best top-1 so far.
        is_final: the last epoch of the run.
    """

    epoch: int
    train_loss: float
    lr: float
    seconds: float
    images_per_second: float
    data_wait: float
    evaluation: Evaluation | None
    is_best: bool
    is_final: bool


class Callback(Protocol):
    """Sees the results of a run; changes nothing in it."""

    def on_epoch_end(self, result: EpochResult) -> None: ...


class Trainer:
    """Runs epochs: train, evaluate, tell the callbacks.

        for epoch:
            for batch: step; stop if the loss is not a number
            evaluate, if it is due (the last epoch always is)
            for callback: callback.on_epoch_end(result)

    Args:
        step: one call per batch.
        evaluate: measures the current weights, or None for no validation.
        callbacks: called in this order after each epoch.
        val_interval: epochs between evaluations.
        progress: show a bar on a terminal.
    """

    def __init__(
        self,
        step: TrainStep,
        evaluate: Callable[[], Evaluation] | None,
        callbacks: Sequence[Callback] = (),
        *,
        val_interval: int = 1,
        progress: bool = True,
    ) -> None:
        self.step = step
        self.evaluate = evaluate
        self.callbacks = callbacks
        self.val_interval = val_interval
        self.progress = progress

    def fit(self, loader: Batches, *, epochs: int, learning_rates: Sequence[float]) -> list[EpochResult]:
        """Train for `epochs` epochs.

        Args:
            loader: training batches, all of one size.
            learning_rates: the optimizer's schedule, one value per update; shown, not applied, here.
        Returns:
            One result per epoch.
        Raises:
            ValueError: if the loss is not a finite number, naming the epoch and the step.
        """
        results: list[EpochResult] = []
        best = -math.inf
        for epoch in range(1, epochs + 1):
            trained = self._train_epoch(loader, epoch, epochs, learning_rates)
            is_final = epoch == epochs
            due = self.evaluate is not None and (is_final or epoch % self.val_interval == 0)
            evaluation = self.evaluate() if due else None
            is_best = evaluation is not None and evaluation.top1 > best
            best = evaluation.top1 if is_best else best
            results.append(
                EpochResult(epoch=epoch, evaluation=evaluation, is_best=is_best, is_final=is_final, **trained)
            )
            for callback in self.callbacks:
                callback.on_epoch_end(results[-1])
        return results

    def _train_epoch(
        self, loader: Batches, epoch: int, epochs: int, learning_rates: Sequence[float]
    ) -> dict[str, float]:
        self.step.set_train(True)
        accumulate = self.step.accumulate_steps
        updates = len(loader) // accumulate  # an update takes `accumulate` whole batches; the rest of the epoch is left
        total, seen, waited = 0.0, 0, 0.0
        batches = iter(loader.epoch(epoch))
        start = time.perf_counter()
        bar = tqdm(
            range(updates * accumulate),
            desc=f"epoch {epoch}/{epochs}",
            unit="step",
            leave=False,
            disable=not (self.progress and sys.stderr.isatty()),
            bar_format="{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]",
        )
        for index in bar:
            asked = time.perf_counter()
            images, labels = next(batches)
            waited += time.perf_counter() - asked
            loss = float(self.step(Tensor(images), Tensor(labels)).asnumpy())
            if not math.isfinite(loss):
                bar.close()
                raise ValueError(
                    f"the training loss became {loss} in epoch {epoch}, step {index + 1} of {len(bar)}: stopped. "
                    "Checkpoints of earlier epochs are intact. Try a lower --lr, more --warmup_epochs or --clip_grad."
                )
            total += loss
            seen += len(labels)
            lr = learning_rates[(epoch - 1) * updates + index // accumulate]
            rate = seen / (time.perf_counter() - start)
            bar.set_postfix_str(f"loss {total / (index + 1):.4f}, lr {lr:.3g}, {rate:.0f} images/s", refresh=False)
        seconds = time.perf_counter() - start
        return {
            "train_loss": total / (updates * accumulate),
            "lr": lr,
            "seconds": seconds,
            "images_per_second": seen / seconds,
            "data_wait": waited / seconds,
        }
