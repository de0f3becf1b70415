"""Metrics beyond top-1 against scikit-learn on random predictions, and by hand on small cases."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    classification_report,
)
from sklearn.metrics import (
    confusion_matrix as confusions,
)

from mindcv.engine import Outcomes, confusion_matrix, mean_average_precision, measure
from mindcv.engine.metrics import NO_CLASS, calibrate


def outcomes_of(logits, labels, batch_size=7) -> Outcomes:
    outcomes = Outcomes()
    for start in range(0, len(labels), batch_size):
        outcomes.add(np.asarray(logits[start : start + batch_size]), np.asarray(labels[start : start + batch_size]))
    return outcomes


def given(labels, predicted, confidence=None) -> Outcomes:
    outcomes = Outcomes()
    outcomes.labels, outcomes.predicted = np.array(labels), np.array(predicted)
    outcomes.confidence = np.ones(len(labels)) if confidence is None else np.array(confidence)
    return outcomes


def random_examples(examples=400, classes=6):
    rng = np.random.default_rng(3)
    labels = rng.integers(0, classes, examples).astype(np.int32)
    return rng.normal(size=(examples, classes)) + 1.5 * np.eye(classes)[labels], labels


def test_outcomes_are_the_largest_probability_of_each_example():
    logits, labels = random_examples()
    outcomes = outcomes_of(logits, labels)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_array_equal(outcomes.labels, labels)
    np.testing.assert_array_equal(outcomes.predicted, logits.argmax(axis=1))
    np.testing.assert_allclose(outcomes.confidence, probabilities.max(axis=1), rtol=1e-12)


def test_metrics_are_scikit_learns():
    logits, labels = random_examples()
    metrics, predicted = measure(outcomes_of(logits, labels), 6), logits.argmax(axis=1)
    expected = classification_report(labels, predicted, output_dict=True, zero_division=0.0)
    for number in range(6):
        row = expected[str(number)]
        found = metrics.precision[number], metrics.recall[number], metrics.f1[number], metrics.examples[number]
        assert found == pytest.approx((row["precision"], row["recall"], row["f1-score"], row["support"]))
    for found, name in ((metrics.macro, "macro avg"), (metrics.weighted, "weighted avg")):
        row = expected[name]
        assert (found.precision, found.recall, found.f1) == pytest.approx(
            (row["precision"], row["recall"], row["f1-score"])
        )
    assert metrics.macro.recall == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert metrics.weighted.recall == pytest.approx(accuracy_score(labels, predicted))
    np.testing.assert_array_equal(metrics.predicted, np.bincount(predicted, minlength=6))
    np.testing.assert_array_equal(confusion_matrix(outcomes_of(logits, labels), 6), confusions(labels, predicted))


def test_metrics_of_a_small_case_by_hand():
    # class 0: 2 of 3 right, once predicted wrongly; class 1: 1 of 2; class 2: has no example, but is predicted once
    outcomes = given([0, 0, 0, 1, 1], [0, 0, 1, 1, 2])
    metrics = measure(outcomes, 4)
    np.testing.assert_array_equal(metrics.examples, [3, 2, 0, 0])
    np.testing.assert_array_equal(metrics.predicted, [2, 2, 1, 0])
    np.testing.assert_allclose(metrics.precision, [1.0, 0.5, np.nan, np.nan])
    np.testing.assert_allclose(metrics.recall, [2 / 3, 0.5, np.nan, np.nan])
    np.testing.assert_allclose(metrics.f1, [0.8, 0.5, np.nan, np.nan])
    assert metrics.macro.f1 == pytest.approx(0.65)  # of the classes with examples
    assert metrics.weighted.f1 == pytest.approx((3 * 0.8 + 2 * 0.5) / 5)
    np.testing.assert_array_equal(
        confusion_matrix(outcomes, 4), [[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    )


def test_a_tie_with_the_label_is_a_mistake_as_for_top1():
    outcomes = outcomes_of([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 2.0, 1.0]], [0, 1, 1])
    np.testing.assert_array_equal(outcomes.predicted, [1, 0, 1])
    assert outcomes.confidence[0] == outcomes.confidence[1] == pytest.approx(np.e / (2 * np.e + 1))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_predict_no_class(bad):
    outcomes = outcomes_of([[3.0, 0.0], [bad, 0.0], [0.0, 3.0]], [0, 0, 1])
    np.testing.assert_array_equal(outcomes.predicted, [0, NO_CLASS, 1])
    metrics = measure(outcomes, 2)
    np.testing.assert_allclose(metrics.recall, [0.5, 1.0])
    np.testing.assert_array_equal(confusion_matrix(outcomes, 2), [[1, 0], [0, 1]])
    assert metrics.calibration.examples.sum() == 2
    assert np.isnan(measure(outcomes_of([[bad, 0.0]], [0]), 2).calibration.error)


def test_calibration_error_by_hand():
    # bins of a quarter: (0.25, 0.5] holds two, one right; (0.75, 1] three, two right; a border belongs to the bin below
    outcomes = given([0, 0, 0, 0, 0], [0, 1, 0, 0, 1], [0.5, 0.3, 0.8, 1.0, 0.9])
    found = calibrate(outcomes, bins=4)
    np.testing.assert_array_equal(found.examples, [0, 2, 0, 3])
    np.testing.assert_allclose(found.confidence, [np.nan, 0.4, np.nan, 0.9])
    np.testing.assert_allclose(found.accuracy, [np.nan, 0.5, np.nan, 2 / 3])
    assert found.error == pytest.approx((2 * 0.1 + 3 * (0.9 - 2 / 3)) / 5)


def test_calibration_bins_are_scikit_learns():
    outcomes = outcomes_of(*random_examples())
    found = measure(outcomes, 6).calibration
    accuracy, confidence = calibration_curve(outcomes.predicted == outcomes.labels, outcomes.confidence, n_bins=15)
    filled = found.examples > 0
    np.testing.assert_allclose(found.accuracy[filled], accuracy)
    np.testing.assert_allclose(found.confidence[filled], confidence)
    assert found.error == pytest.approx(np.average(np.abs(accuracy - confidence), weights=found.examples[filled]))


def test_perfect_and_certain_predictions_are_calibrated():
    assert calibrate(given([0, 1, 2], [0, 1, 2])).error == 0.0
    assert calibrate(given([0, 1, 2], [1, 2, 0])).error == 1.0


def test_mean_average_precision_by_hand_and_as_scikit_learns():
    labels = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0]])
    scores = np.array([[0.9, 0.1, 0.5], [0.8, 0.3, 0.2], [0.7, 0.4, 0.1]])
    # ranks of the hits of class 0: 1 and 3, of class 1: 2; class 2 has none
    assert mean_average_precision(labels, scores) == pytest.approx(((1 + 2 / 3) / 2 + 1 / 2) / 2)
    assert np.isnan(mean_average_precision(np.zeros((2, 3)), scores[:2]))

    rng = np.random.default_rng(4)
    labels, scores = rng.integers(0, 2, (50, 5)), rng.normal(size=(50, 5))
    expected = np.mean([average_precision_score(labels[:, k], scores[:, k]) for k in range(5)])
    assert mean_average_precision(labels, scores) == pytest.approx(expected)
