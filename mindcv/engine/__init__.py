"""Training and evaluation."""

from mindcv.engine.averaging import WeightAverage
from mindcv.engine.callbacks import Callback, EpochLog, MetricsFile
from mindcv.engine.clipping import Clip
from mindcv.engine.compiling import compiling_shown
from mindcv.engine.device_step import DeviceStep, step_for_device
from mindcv.engine.early_stop import EarlyStop
from mindcv.engine.evaluator import Evaluation, Sums, count, evaluate
from mindcv.engine.interrupt import Interruption
from mindcv.engine.loss_scale import LossScale, create_loss_scale
from mindcv.engine.measures import Measured, deciding, in_words
from mindcv.engine.metrics import (
    Metrics,
    Outcomes,
    average_precision,
    confusion_matrix,
    mean_average_precision,
    measure,
)
from mindcv.engine.multi_label import LabelScores, MultiLabelEvaluation, evaluate_multi_label, evaluation_kind
from mindcv.engine.out_of_memory import memory_explained
from mindcv.engine.plateau import PlateauRates
from mindcv.engine.predictor import Prediction, Predictions, predict
from mindcv.engine.run_length import RunLength
from mindcv.engine.saving import SaveCheckpoints
from mindcv.engine.sent_steps import SentSteps
from mindcv.engine.state import EpochResult, Progress, StepReport, TrainState
from mindcv.engine.train_step import StepResult, TrainStep
from mindcv.engine.trainer import Trainer
from mindcv.engine.views import AveragedViews, size_to_load, with_views

__all__ = [
    "AveragedViews",
    "Callback",
    "Clip",
    "DeviceStep",
    "EarlyStop",
    "EpochLog",
    "EpochResult",
    "Evaluation",
    "Interruption",
    "LabelScores",
    "LossScale",
    "Measured",
    "Metrics",
    "MetricsFile",
    "MultiLabelEvaluation",
    "Outcomes",
    "PlateauRates",
    "Prediction",
    "Predictions",
    "Progress",
    "RunLength",
    "SaveCheckpoints",
    "SentSteps",
    "StepReport",
    "StepResult",
    "Sums",
    "TrainState",
    "TrainStep",
    "Trainer",
    "WeightAverage",
    "average_precision",
    "compiling_shown",
    "confusion_matrix",
    "count",
    "create_loss_scale",
    "deciding",
    "evaluate",
    "evaluate_multi_label",
    "evaluation_kind",
    "in_words",
    "mean_average_precision",
    "measure",
    "memory_explained",
    "predict",
    "size_to_load",
    "step_for_device",
    "with_views",
]
