"""Results for people and other programs."""

from mindcv.report.bad_images import BadImagesFile, format_bad_images, write_bad_images
from mindcv.report.confusion_figure import draw_confusion_matrix
from mindcv.report.contact_sheet import write_contact_sheet
from mindcv.report.evaluation import format_metrics, format_precisions, write_multi_label_report, write_report
from mindcv.report.predictions import check_predictions_path, format_predictions, write_predictions
from mindcv.report.run import complete, finished, interrupted
from mindcv.report.schedule_plot import plot_schedule
from mindcv.report.validation import report_validation

__all__ = [
    "BadImagesFile",
    "check_predictions_path",
    "complete",
    "draw_confusion_matrix",
    "finished",
    "format_bad_images",
    "format_metrics",
    "format_precisions",
    "format_predictions",
    "interrupted",
    "plot_schedule",
    "report_validation",
    "write_bad_images",
    "write_contact_sheet",
    "write_multi_label_report",
    "write_predictions",
    "write_report",
]
