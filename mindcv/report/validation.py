"""What `--report` and `--confusion_matrix` print and write after a validation."""

from collections.abc import Mapping, Sequence
from typing import Any

from mindcv.console import say
from mindcv.engine import (
    Evaluation,
    LabelScores,
    Measured,
    MultiLabelEvaluation,
    Outcomes,
    average_precision,
    confusion_matrix,
    in_words,
    measure,
)
from mindcv.report.confusion_figure import draw_confusion_matrix
from mindcv.report.evaluation import format_metrics, format_precisions, write_multi_label_report, write_report


def report_validation(
    result: Measured,
    observed: Outcomes | LabelScores,
    class_names: Sequence[str],
    about: Mapping[str, Any],
    report: str,
    figure: str,
) -> None:
    """Print the metrics beyond the score, and write those and the figure that were asked for.

    Args:
        observed: by the evaluation whose result it is.
        about: "model", "dataset" and "split".
        report, figure: the paths; "" for none. There is no figure with several labels per image.

    Raises:
        OSError: if a file cannot be written.
    """
    if isinstance(observed, LabelScores):
        assert isinstance(result, MultiLabelEvaluation) and report and not figure
        precisions = average_precision(observed.labels, observed.scores)
        say(format_precisions(precisions, class_names))
        write_multi_label_report(report, result, precisions, observed.labels, class_names, about)
    else:
        assert isinstance(result, Evaluation)
        metrics = measure(observed, len(class_names))
        say(format_metrics(metrics, observed, class_names))
        if report:
            write_report(report, result, metrics, observed, class_names, about)
        if figure:
            title = f"{about['model']} on {about['dataset']}, {about['split']}: {in_words(result.measures)[0]}"
            draw_confusion_matrix(figure, confusion_matrix(observed, len(class_names)), class_names, title)
    for path in filter(None, (report, figure)):
        say(f"written to {path}")
