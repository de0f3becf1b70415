"""The state of a training: its position, results so far, and everything a checkpoint needs beside the weights."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from mindspore import Parameter, Tensor, ops

from mindcv.checkpoint import (
    COUNTER_SUFFIX,
    Checkpoint,
    check_same_arrays,
    set_arrays,
    weight_parameters,
)
from mindcv.engine.evaluator import Evaluation
from mindcv.engine.measures import Measured, deciding
from mindcv.engine.multi_label import MultiLabelEvaluation
from mindcv.engine.run_length import RunLength
from mindcv.engine.sharing import ASKS
from mindcv.engine.train_step import CLOSED, TrainStep
from mindcv.runtime import random_state, set_random_state

TRAINED = "trained."  # before the names of the trained weights, where averages are saved as the weights


@dataclass(frozen=True)
class StepReport:
    """Result of one step.

    Attributes:
        epoch: counted from 1.
        step: of the epoch, counted from 1.
        number: of the step in the run, counted from 1.
        loss: training loss of the batch, as optimized.
        lr: learning rate of the update to which the batch belongs.
        finite: whether loss, gradients and running statistics were finite; else the step changed nothing.
        updated: whether the optimizer was called.
        overflow: whether only the loss scale was too large: the step changed nothing, but is no bad one.
    """

    epoch: int
    step: int
    number: int
    loss: float
    lr: float
    finite: bool
    updated: bool
    overflow: bool = False


@dataclass(frozen=True)
class EpochResult:
    """Result of one epoch.

    Attributes:
        epoch: counted from 1.
        train_loss: mean training loss of the epoch, as optimized (with label smoothing), over the finite steps.
        lr: learning rate of the epoch's last update.
        seconds: training time, without evaluation.
        images_per_second: training throughput.
        data_wait: share of `seconds` spent waiting for the data loader, 0 to 1.
        evaluation: of the weights that are saved, the averages if there are any; None in epochs that were not
            validated.
        is_best: the best score so far: top-1, or mAP with several labels per image.
        is_final: the last epoch of the run.
        trained: evaluation of the trained weights; None if there are no averages.
    """

    epoch: int
    train_loss: float
    lr: float
    seconds: float
    images_per_second: float
    data_wait: float
    evaluation: Measured | None
    is_best: bool
    is_final: bool
    trained: Measured | None = None


@dataclass
class Progress:
    """The position and results of a run so far.

    Attributes:
        epoch: number of complete epochs: trained, validated if due, and reported.
        batch: number of batches trained in the current epoch; all of them if only its validation is missing.
        counted: number of those with a finite loss.
        loss_sum: sum of these losses.
        seconds: time taken by the current epoch, without the time between an interruption and a resume.
        waited: part of `seconds` spent waiting for data.
        bad_steps: steps of the whole run with a NaN or infinite loss or gradient.
        overflows: steps of the whole run at which only the loss scale was too large.
        best_epoch: that with the highest score, counted from 1; None before the first validation.
        best_top1, best_top5, best_mAP: of that epoch, per cent; None for those that are not measured.
        history: one result per complete epoch.
    """

    epoch: int = 0
    batch: int = 0
    counted: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0
    waited: float = 0.0
    bad_steps: int = 0
    overflows: int = 0
    best_epoch: int | None = None
    best_top1: float | None = None
    best_top5: float | None = None
    best_mAP: float | None = None
    history: list[EpochResult] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-compatible description."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Progress":
        """Return the progress of a description by `to_dict`."""
        history = []
        for row in values["history"]:
            evaluations = {key: _evaluation(row[key]) for key in ("evaluation", "trained") if row.get(key)}
            history.append(EpochResult(**{**row, **evaluations}))
        return cls(**{**values, "history": history})

    def end_epoch(self, result: EpochResult) -> None:
        """Count an epoch as complete."""
        self.history.append(result)
        if result.is_best and result.evaluation:
            self.set_best(result.epoch, result.evaluation.measures)
        self.epoch, self.batch, self.counted = result.epoch, 0, 0
        self.loss_sum = self.seconds = self.waited = 0.0

    def position(self, length: RunLength) -> str:
        """Return the position in a run of this length in words, for example "epoch 3, step 17 of 44"."""
        if self.batch == self.epoch == 0:
            return "its beginning"
        if self.batch == 0:
            return f"the end of epoch {self.epoch}"
        if self.batch == length.steps_per_epoch:
            return f"epoch {self.epoch + 1}, before its validation"
        return f"epoch {self.epoch + 1}, step {self.batch} of {length.steps_per_epoch}"

    @property
    def best(self) -> tuple[int, dict[str, float]] | None:
        """The best epoch and its measures in per cent; None before the first validation."""
        if self.best_epoch is None:
            return None
        measures = {"top1": self.best_top1, "top5": self.best_top5, "mAP": self.best_mAP}
        return self.best_epoch, {name: value for name, value in measures.items() if value is not None}

    @property
    def best_score(self) -> float | None:
        """Of the best epoch, per cent; None before the first validation."""
        return deciding(self.best[1])[1] if self.best else None

    def set_best(self, epoch: int | None, measures: Mapping[str, float]) -> None:
        """Set the best epoch and its measures, as in a checkpoint; None and {} for none."""
        self.best_epoch = epoch
        self.best_top1, self.best_top5, self.best_mAP = (measures.get(name) for name in ("top1", "top5", "mAP"))


def _evaluation(values: Mapping[str, Any]) -> Measured:
    return MultiLabelEvaluation(**values) if "mAP" in values else Evaluation(**values)


class TrainState:
    """Everything that changes in a run: weights, optimizer, counters of random layers, random generators.

    The weights are those that are measured and saved; if they are averages, the trained ones are part of the rest,
    with `TRAINED` before their names.

    Args:
        step: has the network and the optimizer.
    """

    def __init__(self, step: TrainStep) -> None:
        self.step = step

    def weights(self) -> dict[str, np.ndarray]:
        """Return a copy of every weight and running statistic."""
        return {name: parameter.asnumpy().copy() for name, parameter in self.step.measured.items()}

    def arrays(self) -> dict[str, np.ndarray]:
        """Return a copy of every other array of the step that changes."""
        return {name: parameter.asnumpy().copy() for name, parameter in self._parameters().items()}

    @staticmethod
    def describe(progress: Progress) -> dict[str, Any]:
        """Return the entries for a checkpoint's description, JSON-compatible."""
        return {"progress": progress.to_dict(), "random": random_state()}

    def restore(self, checkpoint: Checkpoint) -> Progress:
        """Restore the state in a checkpoint, and return its progress.

        A checkpoint from between two epochs, where nothing is accumulated, fits any number of accumulated steps.

        Raises:
            ValueError: if the checkpoint's arrays are not those of this run, listing both sides; nothing is changed.
        """
        progress = Progress.from_dict(checkpoint.info["training"]["progress"])
        own, arrays = self._parameters(), dict(checkpoint.state)
        if progress.batch == 0:
            own = {name: parameter for name, parameter in own.items() if not _is_accumulated(name)}
            arrays = {name: array for name, array in arrays.items() if not _is_accumulated(name)}
        check_same_arrays(own, arrays, "training state", str(checkpoint.path), "run")
        check_same_arrays(self.step.measured, checkpoint.weights, "weights", str(checkpoint.path), "network")
        set_arrays(self.step.measured, checkpoint.weights)
        set_arrays(own, arrays)
        set_random_state(checkpoint.info["training"]["random"])
        return progress

    def roll_back(self, checkpoint: Checkpoint) -> None:
        """Restore weights and moments from a checkpoint of this run, but keep the current position."""
        weights = self.step.measured
        moments = {name: parameter for name, parameter in self._parameters().items() if not _is_position(name)}
        check_same_arrays(weights, checkpoint.weights, "weights", str(checkpoint.path), "network")
        for parameters, arrays in ((weights, checkpoint.weights), (moments, checkpoint.state)):
            for name, parameter in parameters.items():
                # set_data would allocate new memory, while an optimizer that has run in Pynative mode keeps updating
                # the old one (MindSpore 2.10).
                ops.assign(parameter, Tensor(arrays[name]))

    def set_updates(self, updates: int) -> None:
        """Set the optimizer's count of updates, the position in its list of learning rates."""
        counter = self.step.optimizer.global_step
        set_arrays({"global_step": counter}, {"global_step": np.full(counter.shape, updates, np.int32)})

    def _parameters(self) -> dict[str, Parameter]:
        measured = {id(parameter) for parameter in self.step.measured.values()}
        trained = {id(parameter) for parameter in weight_parameters(self.step.network).values()}
        others = [p for p in self.step.get_parameters() if id(p) not in measured and not _is_setting(p.name)]
        return {TRAINED + p.name if id(p) in trained else p.name: p for p in others}


def _is_setting(name: str) -> bool:
    """Return whether it is no state: an option that optimizers keep as a parameter, or false at the start of a run."""
    return name.startswith("learning_rate") or name in ("momentum", CLOSED, ASKS)


def _is_accumulated(name: str) -> bool:
    return name.startswith("gradient_sum.") or name == "accumulated_calls"


def _is_position(name: str) -> bool:
    return name == "global_step" or name.endswith(COUNTER_SUFFIX) or _is_accumulated(name)
