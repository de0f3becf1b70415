"""Results for people and other programs."""

from mindcv.report.bad_images import BadImagesFile, format_bad_images, write_bad_images
from mindcv.report.contact_sheet import write_contact_sheet
from mindcv.report.predictions import check_predictions_path, format_predictions, write_predictions
from mindcv.report.run import complete, finished, interrupted

__all__ = [
    "BadImagesFile",
    "check_predictions_path",
    "complete",
    "finished",
    "format_bad_images",
    "format_predictions",
    "interrupted",
    "write_bad_images",
    "write_contact_sheet",
    "write_predictions",
]
