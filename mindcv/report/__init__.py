"""Results for people and other programs."""

from mindcv.report.predictions import check_predictions_path, format_predictions, write_predictions

__all__ = ["check_predictions_path", "format_predictions", "write_predictions"]
