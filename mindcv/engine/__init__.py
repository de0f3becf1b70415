"""Training and evaluation."""

from mindcv.engine.callbacks import Callback, EpochLog, MetricsFile
from mindcv.engine.compiling import compiling_shown
from mindcv.engine.evaluator import Evaluation, Sums, count, evaluate
from mindcv.engine.interrupt import Interruption
from mindcv.engine.metrics import Metrics, Outcomes, confusion_matrix, mean_average_precision, measure
from mindcv.engine.out_of_memory import memory_explained
from mindcv.engine.predictor import Prediction, Predictions, predict
from mindcv.engine.run_length import RunLength
from mindcv.engine.saving import SaveCheckpoints
from mindcv.engine.state import EpochResult, Progress, StepReport, TrainState
from mindcv.engine.train_step import StepResult, TrainStep
from mindcv.engine.trainer import Trainer

__all__ = [
    "Callback",
    "EpochLog",
    "EpochResult",
    "Evaluation",
    "Interruption",
    "Metrics",
    "MetricsFile",
    "Outcomes",
    "Prediction",
    "Predictions",
    "Progress",
    "RunLength",
    "SaveCheckpoints",
    "StepReport",
    "StepResult",
    "Sums",
    "TrainState",
    "TrainStep",
    "Trainer",
    "compiling_shown",
    "confusion_matrix",
    "count",
    "evaluate",
    "mean_average_precision",
    "measure",
    "memory_explained",
    "predict",
]
