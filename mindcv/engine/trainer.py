"""The training loop."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, Protocol

from mindcv import console
from mindcv.distributed import ALONE, World
from mindcv.engine.callbacks import Callback
from mindcv.engine.compiling import clock
from mindcv.engine.early_stop import NEVER, EarlyStop
from mindcv.engine.evaluator import Batches
from mindcv.engine.measures import Measured
from mindcv.engine.run_length import RunLength
from mindcv.engine.sent_steps import SentSteps
from mindcv.engine.state import EpochResult, Progress, StepReport
from mindcv.engine.train_step import TrainStep


class Saver(Protocol):
    """Saves a run; see `SaveCheckpoints`."""

    def save_epoch(self, result: EpochResult, progress: Progress) -> None: ...

    def save_now(self, progress: Progress) -> None: ...

    def roll_back(self) -> None: ...


class Trainer:
    """Runs epochs: train, evaluate, call the callbacks, save.

        for epoch:
            for batch: step; handle NaN or infinity; callback.on_step_end(report); save if due; stop if requested
            (with `step.lag` steps sent ahead of the one whose result is handled, but none before a save)
            evaluate, if due (the last epoch always is)
            for callback: callback.on_epoch_end(result)
            saver.save_epoch(result, progress)

    Args:
        step: one call per batch; a step that is not finite changes nothing.
        evaluate: evaluates the current weights, or None for no validation; it returns None if it was stopped.
        callbacks: called in this order after each step and each epoch.
        saver: writes checkpoints; None for none.
        val_interval: epochs between evaluations.
        save_steps: batches between two saves inside the epochs, counted from the start of the run; None for none.
        on_nan: reaction to a NaN or infinite loss or gradient, which changes nothing. "stop": an error. "skip": next
            batch. "rollback": also restore weights and moments of the last save, but not the position in data and
            schedule.
        nan_limit: number of such steps tolerated in a run.
        stop: called after each step; if it returns true, in any process, the run is saved and ends.
        early_stop: asked after each epoch; if it is reached, that epoch is the final one.
        log_interval: steps between two progress lines; None: about one a minute if there is no terminal.
        progress: show a bar or these lines.
        world: the processes that train together. Each has a trainer, whose every decision is the same.
    """

    def __init__(
        self,
        step: TrainStep,
        evaluate: Callable[[], Measured | None] | None,
        callbacks: Sequence[Callback] = (),
        *,
        saver: Saver | None = None,
        val_interval: int = 1,
        save_steps: int | None = None,
        on_nan: Literal["stop", "skip", "rollback"] = "stop",
        nan_limit: int = 20,
        stop: Callable[[], bool] = lambda: False,
        early_stop: EarlyStop = NEVER,
        log_interval: int | None = None,
        progress: bool = True,
        world: World = ALONE,
    ) -> None:
        self.step = step
        self.evaluate = evaluate
        self.callbacks = callbacks
        self.saver = saver
        self.val_interval = val_interval
        self.save_steps = save_steps
        self.on_nan = on_nan
        self.nan_limit = nan_limit
        self.stop = stop
        self.early_stop = early_stop
        self.log_interval = log_interval
        self.show_progress = progress
        self.world = world
        self._pace: float | None = None  # seconds of a step
        self._evaluation_seconds = 0.0  # of the last one

    def fit(
        self, loader: Batches, *, epochs: int, learning_rates: Sequence[float], progress: Progress | None = None
    ) -> list[EpochResult]:
        """Train until `epochs` epochs are complete.

        Args:
            loader: training batches, all of one size.
            learning_rates: the optimizer's schedule, one value per update, used here for display only.
            progress: the position to continue from, which is updated. None: the start.
        Returns:
            One result per complete epoch, those before `progress` included; fewer than `epochs` if `stop` became true
            or `early_stop` is reached.
        Raises:
            ValueError: if a loss or gradient is not finite, naming the epoch and the step, and `on_nan` is "stop" or
                `nan_limit` is exceeded.
            OSError: from the saver.
        """
        progress, length = progress or Progress(), RunLength(epochs, len(loader), self.step.accumulate_steps)
        self._updates = self.step.updates
        while (
            progress.epoch < epochs
            and not self.early_stop.reached(progress.history)
            and not self.world.any(self.stop())
        ):
            epoch = progress.epoch + 1
            if not self._train_epoch(loader, progress, length, learning_rates):
                break
            due = self._is_validated(epoch, epochs)
            evaluation, trained = self._validate() if due else (None, None)
            if due and evaluation is None:
                break
            result = EpochResult(
                epoch=epoch,
                train_loss=progress.loss_sum / progress.counted if progress.counted else math.nan,
                lr=learning_rates[max(self._updates - 1, 0)],
                seconds=progress.seconds,
                images_per_second=progress.batch * loader.batch_size * self.world.size / progress.seconds,
                data_wait=progress.waited / progress.seconds,
                evaluation=evaluation,
                is_best=evaluation is not None and _is_best(epoch, evaluation.score, progress),
                is_final=epoch == epochs,
                trained=trained,
            )
            if self.early_stop.reached([*progress.history, result]):
                result = replace(result, is_final=True)
            progress.end_epoch(result)
            for callback in self.callbacks:
                callback.on_epoch_end(result)
            if self.saver:
                console.status("saving")
                self.saver.save_epoch(result, progress)
                console.status("")
        if self.saver and progress.epoch < epochs and (progress.epoch or progress.batch):
            self.saver.save_now(progress)
        return progress.history

    def _validate(self) -> tuple[Measured | None, Measured | None]:
        """Evaluate the weights to save, and the trained ones if they are others; (None, None) if it was stopped."""
        assert self.evaluate is not None, "no validation is due without it"
        with self.step.measuring():
            evaluation = self.evaluate()
        trained = self.evaluate() if evaluation and self.step.average is not None else None
        if evaluation is None or (trained is None and self.step.average is not None):
            return None, None
        self._evaluation_seconds = evaluation.seconds + (trained.seconds if trained else 0.0)
        return evaluation, trained

    def _train_epoch(
        self, loader: Batches, progress: Progress, length: RunLength, learning_rates: Sequence[float]
    ) -> bool:
        """Train the rest of the current epoch; return whether it was completed."""
        self.step.set_train(True)
        epochs, count = length.epochs, length.steps_per_epoch
        if progress.batch >= count:
            return True
        batches = loader.epoch(progress.epoch + 1, progress.batch)
        sent, stopping = SentSteps(self.step, batches), False
        first, before, start = progress.batch, progress.seconds, clock()
        shown = console.Progress(
            f"epoch {progress.epoch + 1}/{epochs}",
            count,
            "step",
            start=first,
            interval=self.log_interval,
            shown=self.show_progress,
            clock=clock,
            pace=self._pace,
            rest=lambda pace: self._seconds_after_epoch(pace * count, progress.epoch + 1, epochs),
        )
        with shown:
            while sent or not (stopping or progress.batch == count):
                while not stopping and self._may_send(len(sent), progress, count):
                    if self.world.size > 1 and self.stop():
                        self.step.ask_to_stop()
                    progress.waited += sent.send()
                report, asked = self._read(sent, progress, count, learning_rates)
                if not report.finite and not report.overflow:
                    self._handle_nonfinite(report.loss, progress, count)
                progress.seconds = before + clock() - start
                rate = (progress.batch - first) * loader.batch_size * self.world.size / (clock() - start)
                mean = progress.loss_sum / max(progress.counted, 1)
                shown.advance(f"loss {mean:.4f}, lr {report.lr:.2g}, {rate:.0f} img/s")
                for callback in self.callbacks:
                    callback.on_step_end(report)
                if self.saver and self.save_steps and report.number % self.save_steps == 0:
                    self.saver.save_now(progress)
                stopping = self.stop() if asked is None else stopping or asked
        batches.close()
        self._pace = shown.pace
        return progress.batch == count

    def _may_send(self, sent: int, progress: Progress, count: int) -> bool:
        """Whether to train on another batch before the results of those sent are read; a save needs them first."""
        position = progress.batch + sent
        saves = self.saver and self.save_steps and (progress.epoch * count + position) % self.save_steps == 0
        return position < count and (sent == 0 or (sent <= self.step.lag and not saves))

    def _read(
        self, sent: SentSteps, progress: Progress, count: int, learning_rates: Sequence[float]
    ) -> tuple[StepReport, bool | None]:
        """Wait for the result of one step and count it; also return whether a process asked to stop, None if alone."""
        loss, finite, updated, overflow, asked = sent.read()
        lr = learning_rates[min(self._updates, len(learning_rates) - 1)]
        self._updates += updated
        progress.overflows += overflow
        progress.batch += 1
        if finite:
            progress.loss_sum += loss
            progress.counted += 1
        number = progress.epoch * count + progress.batch
        report = StepReport(progress.epoch + 1, progress.batch, number, loss, lr, finite, updated, overflow)
        return report, asked

    def _seconds_after_epoch(self, epoch_seconds: float, epoch: int, epochs: int) -> float:
        """Estimate the time from an epoch's last step to the end of the run, with validations as long as the last."""
        validations = sum(self._is_validated(later, epochs) for later in range(epoch, epochs + 1))
        return (epochs - epoch) * epoch_seconds + validations * self._evaluation_seconds

    def _is_validated(self, epoch: int, epochs: int) -> bool:
        return self.evaluate is not None and (epoch == epochs or epoch % self.val_interval == 0)

    def _handle_nonfinite(self, loss: float, progress: Progress, count: int) -> None:
        progress.bad_steps += 1
        what = (
            f"the training loss became {loss}"
            if not math.isfinite(loss)
            else "a gradient or running statistic is NaN or infinite"
        )
        where = f"in epoch {progress.epoch + 1}, step {progress.batch} of {count}"
        advice = "Try a lower --lr, more --warmup_epochs or --clip_grad."
        if self.on_nan == "stop":
            raise ValueError(f"{what} {where}: stopped. Checkpoints of earlier epochs are intact. {advice}")
        if progress.bad_steps > self.nan_limit:
            raise ValueError(
                f"{what} {where}: stopped, because this is bad step number {progress.bad_steps} of the run and "
                f"nan_limit is {self.nan_limit}. Checkpoints of earlier epochs are intact. {advice}"
            )
        if self.on_nan == "rollback":
            assert self.saver is not None, "rollback needs a saver"
            self.saver.roll_back()
        then = "skipped" if self.on_nan == "skip" else "back to the weights of the last checkpoint"
        console.say(f"{what} {where}: {then} ({progress.bad_steps} of at most {self.nan_limit})")


def _is_best(epoch: int, score: float, progress: Progress) -> bool:
    """Return whether an epoch is the best, also if a killed run has written its weights but not yet its state."""
    if progress.best_score is None or score > progress.best_score:
        return True
    return (epoch, score) == (progress.best_epoch, progress.best_score)
