"""Training and evaluation."""

from mindcv.engine.callbacks import EpochLog, MetricsFile
from mindcv.engine.compile_cache import compiled_graphs_kept
from mindcv.engine.compiling import compiling_shown
from mindcv.engine.evaluator import Evaluation, evaluate
from mindcv.engine.interrupt import Interruption
from mindcv.engine.memory import memory_explained
from mindcv.engine.predictor import Prediction, Predictions, predict
from mindcv.engine.progress import EpochResult, Progress, TrainState
from mindcv.engine.resuming import describe_position, take_up
from mindcv.engine.saving import SaveCheckpoints
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
    "SaveCheckpoints",
    "StepResult",
    "TrainState",
    "TrainStep",
    "Trainer",
    "compiled_graphs_kept",
    "compiling_shown",
    "describe_position",
    "evaluate",
    "memory_explained",
    "predict",
    "take_up",
]
