"""Results for people and other programs."""

from mindcv.report.predictions import check_predictions_path, format_predictions, write_predictions
from mindcv.report.run import complete, finished, interrupted

__all__ = [
    "check_predictions_path",
    "complete",
    "finished",
    "format_predictions",
    "interrupted",
    "write_predictions",
]
