"""What an evaluation says beyond top-1: metrics of each class, confusions, calibration, and average precision."""

from dataclasses import dataclass

import numpy as np

from mindcv.engine.evaluator import label_ranks
from mindcv.engine.predictor import softmax

CALIBRATION_BINS = 15  # as in Guo et al. 2017
NO_CLASS = -1  # predicted where a logit is NaN or infinite


class Outcomes:
    """What the network said about every example of a split: pass `add` to `evaluate` as `observe`.

    Attributes:
        labels: (N,) int64.
        predicted: (N,) int64, the class with the highest logit, or NO_CLASS. Of several, not the label's, so that an
            example is right here if and only if it counts for top-1.
        confidence: (N,) float64, the probability of that class, or NaN.
    """

    def __init__(self) -> None:
        self.labels = self.predicted = np.empty(0, np.int64)
        self.confidence = np.empty(0)

    def add(self, logits: np.ndarray, labels: np.ndarray) -> None:
        """Add a batch: (B, K) float64 logits and (B,) labels."""
        labels = labels.astype(np.int64)
        is_finite = np.isfinite(logits).all(axis=1)
        finite = np.where(is_finite[:, None], logits, 0.0)
        others = finite.copy()
        np.put_along_axis(others, labels[:, None], -np.inf, axis=1)
        predicted = np.where(label_ranks(finite, labels) == 0, labels, others.argmax(axis=1))
        confidence = np.take_along_axis(softmax(finite), predicted[:, None], axis=1)[:, 0]
        self.labels = np.concatenate([self.labels, labels])
        self.predicted = np.concatenate([self.predicted, np.where(is_finite, predicted, NO_CLASS)])
        self.confidence = np.concatenate([self.confidence, np.where(is_finite, confidence, np.nan)])


@dataclass(frozen=True)
class Averages:
    """Precision, recall and F1 over the classes that have examples, each in 0..1."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Calibration:
    """How far the network's probabilities are from its accuracy, by bins of the predicted class's probability.

    Bin m of M holds the examples with a confidence in (m / M, (m + 1) / M]. Examples with logits that are not finite
    are left out.

    Attributes:
        error: the expected calibration error, the mean over the examples of |accuracy - confidence| of their bin, in
            0..1; NaN without examples. Source: Guo et al. 2017 (On Calibration of Modern Neural Networks), equation 3.
        examples: (M,) int, number of examples.
        confidence, accuracy: (M,) means in 0..1; NaN in empty bins.
    """

    error: float
    examples: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


@dataclass(frozen=True)
class Metrics:
    """Metrics of a split with one label per example, each in 0..1.

    Attributes:
        examples, predicted: (K,) int, how often each class is the label, and the prediction.
        precision, recall, f1: (K,), NaN for classes without examples; a class that is never predicted has precision 0.
            A class's recall is the accuracy on its examples.
        macro: means over the classes; the recall is the balanced accuracy.
        weighted: means over the classes, weighted by their examples; the recall is the accuracy.
        calibration: of the probabilities.
    """

    examples: np.ndarray
    predicted: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    macro: Averages
    weighted: Averages
    calibration: Calibration


def measure(outcomes: Outcomes, num_classes: int) -> Metrics:
    """The metrics of all classes, of at least one example."""
    from sklearn.metrics import precision_recall_fscore_support  # here: takes a second to import

    numbers = np.arange(num_classes)
    *scores, examples = precision_recall_fscore_support(
        outcomes.labels, outcomes.predicted, labels=numbers, zero_division=0.0
    )
    present = examples > 0
    macro = [float(score[present].mean()) for score in scores]
    weighted = [float(np.average(score, weights=examples)) for score in scores]
    precision, recall, f1 = (np.where(present, score, np.nan) for score in scores)
    return Metrics(
        examples=examples,
        predicted=np.bincount(outcomes.predicted[outcomes.predicted >= 0], minlength=num_classes),
        precision=precision,
        recall=recall,
        f1=f1,
        macro=Averages(*macro),
        weighted=Averages(*weighted),
        calibration=calibrate(outcomes),
    )


def confusion_matrix(outcomes: Outcomes, num_classes: int) -> np.ndarray:
    """How often each class (row) was taken for each class (column): (K, K) int64.

    A row's sum is less than the examples of its class if logits were not finite.
    """
    from sklearn.metrics import confusion_matrix

    return confusion_matrix(outcomes.labels, outcomes.predicted, labels=np.arange(num_classes))


def calibrate(outcomes: Outcomes, bins: int = CALIBRATION_BINS) -> Calibration:
    """Compare confidence and accuracy in `bins` bins of equal width."""
    known = np.isfinite(outcomes.confidence)
    confidence = outcomes.confidence[known]
    right = outcomes.predicted[known] == outcomes.labels[known]
    number = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    examples = np.bincount(number, minlength=bins)
    with np.errstate(invalid="ignore"):  # empty bins give NaN
        mean_confidence = np.bincount(number, confidence, bins) / examples
        accuracy = np.bincount(number, right, bins) / examples
        error = np.nansum(examples * np.abs(accuracy - mean_confidence)) / np.float64(len(confidence))
    return Calibration(float(error), examples, mean_confidence, accuracy)


def average_precision(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The average precision of each class, for examples with several labels.

    Examples with equal scores share one place in the ranking.

    Args:
        labels: (N, K) of 0 and 1.
        scores: (N, K) logits or probabilities.

    Returns:
        (K,) float64 in 0..1; NaN for a class that is the label of no example.
    """
    from sklearn.metrics import average_precision_score

    columns = zip(labels.T, scores.T, strict=True)
    return np.array([average_precision_score(own, score) if own.any() else np.nan for own, score in columns])


def mean_average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """The mean of `average_precision` over the classes that have an example: in 0..1; NaN if none has."""
    precisions = average_precision(labels, scores)
    present = np.isfinite(precisions)
    return float(precisions[present].mean()) if present.any() else float("nan")
