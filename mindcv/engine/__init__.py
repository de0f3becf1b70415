"""Training and evaluation."""

from mindcv.engine.callbacks import EpochLog, MetricsFile, SaveCheckpoints
from mindcv.engine.evaluator import Evaluation, evaluate
from mindcv.engine.predictor import Prediction, Predictions, predict
from mindcv.engine.train_step import TrainStep
from mindcv.engine.trainer import EpochResult, Trainer

__all__ = [
    "EpochLog",
    "EpochResult",
    "Evaluation",
    "MetricsFile",
    "Prediction",
    "Predictions",
    "SaveCheckpoints",
    "TrainStep",
    "Trainer",
    "evaluate",
    "predict",
]
