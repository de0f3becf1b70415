"""Training and evaluation."""

from mindcv.engine.callbacks import EpochLog, MetricsFile
from mindcv.engine.compiling import compiling_shown
from mindcv.engine.evaluator import Evaluation, evaluate
from mindcv.engine.interrupt import Interruption
from mindcv.engine.out_of_memory import memory_explained
from mindcv.engine.predictor import Prediction, Predictions, predict
from mindcv.engine.run_length import RunLength
from mindcv.engine.saving import SaveCheckpoints
from mindcv.engine.state import EpochResult, Progress, TrainState
from mindcv.engine.train_step import StepResult, TrainStep
from mindcv.engine.trainer import Trainer

__all__ = [
    "EpochLog",
    "EpochResult",
    "Evaluation",
    "Interruption",
    "MetricsFile",
    "Prediction",
    "Predictions",
    "Progress",
    "RunLength",
    "SaveCheckpoints",
    "StepResult",
    "TrainState",
    "TrainStep",
    "Trainer",
    "compiling_shown",
    "evaluate",
    "memory_explained",
    "predict",
]
