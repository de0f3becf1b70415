"""Evaluation counts every example once; ties and non-finite logits are wrong."""

from dataclasses import astuple

import numpy as np
import pytest
from array_loader import ArrayLoader
from lookup import logits_network
from sklearn.metrics import log_loss, top_k_accuracy_score

from mindcv.distributed import World
from mindcv.engine import Outcomes, Sums, count, evaluate, measure
from mindcv.engine.evaluator import cross_entropy, label_ranks


def numbered_images(count) -> np.ndarray:
    return np.arange(count, dtype=np.float32).reshape(count, 1, 1, 1)


@pytest.mark.parametrize("batch_size", [1, 7, 37, 64])
def test_metrics_agree_with_scikit_learn_for_any_batch_size(mode, batch_size):
    rng = np.random.default_rng(5)
    logits, labels = rng.standard_normal((37, 8)), rng.integers(0, 8, 37).astype(np.int32)
    result = evaluate(logits_network(logits), ArrayLoader(numbered_images(37), labels, batch_size))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert result.num_examples == 37
    assert result.top1 == pytest.approx(100 * top_k_accuracy_score(labels, logits, k=1, labels=range(8)))
    assert result.top5 == pytest.approx(100 * top_k_accuracy_score(labels, logits, k=5, labels=range(8)))
    assert result.loss == pytest.approx(log_loss(labels, probabilities, labels=range(8)), rel=1e-5)


@pytest.mark.parametrize("batch_size", [1, 4, 37])
def test_examples_without_a_label_are_left_out(batch_size):
    rng = np.random.default_rng(6)
    logits, labels = rng.standard_normal((37, 8)), rng.integers(0, 8, 37).astype(np.int32)
    bad = np.isin(np.arange(37), [0, 3, 4, 5, 6, 7, 36])  # with batch size 4: a whole batch, and the last one
    marked = np.where(bad, -1, labels).astype(np.int32)
    result = evaluate(logits_network(logits), ArrayLoader(numbered_images(37), marked, batch_size))
    good_logits, good_labels = logits[~bad], labels[~bad]
    probabilities = np.exp(good_logits) / np.exp(good_logits).sum(axis=1, keepdims=True)
    assert (result.num_examples, result.num_bad) == (30, 7)
    assert result.top1 == pytest.approx(100 * top_k_accuracy_score(good_labels, good_logits, k=1, labels=range(8)))
    assert result.loss == pytest.approx(log_loss(good_labels, probabilities, labels=range(8)), rel=1e-5)


def test_what_is_observed_gives_the_same_top1():
    rng = np.random.default_rng(8)
    logits = rng.integers(0, 3, (37, 3)).astype(np.float64)  # many ties
    logits[5] = np.nan
    labels = np.where(np.arange(37) % 6 == 4, -1, rng.integers(0, 3, 37)).astype(np.int32)  # unreadable ones
    outcomes, loader = Outcomes(), ArrayLoader(numbered_images(37), labels, 8)
    result = evaluate(logits_network(logits), loader, observe=outcomes.add)
    plain = evaluate(logits_network(logits), loader)
    assert (result.top1, result.top5, result.num_bad) == (plain.top1, plain.top5, 6)
    assert len(outcomes.labels) == result.num_examples == 31
    assert 100 * np.mean(outcomes.predicted == outcomes.labels) == pytest.approx(result.top1)
    assert 100 * measure(outcomes, 3).weighted.recall == pytest.approx(result.top1)


def test_several_processes_give_the_result_of_one():
    rng = np.random.default_rng(7)
    logits, labels = rng.standard_normal((37, 8)), rng.integers(0, 8, 37).astype(np.int32)
    network, images = logits_network(logits), numbered_images(37)
    parts = [ArrayLoader(images[rank::2], labels[rank::2], 4) for rank in range(2)]
    other = count(network, parts[1])
    assert isinstance(other, Sums) and other.examples == 18
    its = (False, *astuple(other))
    world = World(0, 2, add=lambda numbers: [sum(pair) for pair in zip(numbers, its, strict=True)])
    shared, alone = evaluate(network, parts[0], world=world), evaluate(network, ArrayLoader(images, labels, 4))
    assert (shared.num_examples, shared.top1, shared.top5) == (37, alone.top1, alone.top5)
    assert shared.loss == pytest.approx(alone.loss, rel=1e-12)


def test_an_evaluation_that_another_process_has_stopped_has_no_result():
    logits, labels = np.eye(4), np.arange(4, dtype=np.int32)
    network, loader = logits_network(logits), ArrayLoader(numbered_images(4), labels, 2)
    stopped = World(0, 2, add=lambda numbers: [numbers[0] + 1, *numbers[1:]])
    assert evaluate(network, loader, world=stopped) is None
    asked = []
    told = World(1, 2, add=lambda numbers: asked.append(numbers) or numbers)
    assert evaluate(network, loader, world=told, stop=lambda: True) is None
    empty = count(network, ArrayLoader(numbered_images(4)[:0], labels[:0], 2))
    assert empty == Sums(0, 0, 0, 0.0, 0, 0)  # a process without examples
    assert asked == [(True, 0, 0, 0, 0.0, 0, 0)]  # it tells the others, which wait for its sums


def test_a_split_without_readable_images_is_an_error():
    loader = ArrayLoader(numbered_images(5), np.full(5, -1, np.int32), 2)
    with pytest.raises(ValueError, match="none of the 5 images can be read"):
        evaluate(logits_network(np.zeros((5, 8))), loader)


def test_the_batch_size_does_not_change_the_result(tiny_network):
    rng = np.random.default_rng(0)
    images = rng.standard_normal((10, 3, 8, 8)).astype(np.float32)
    labels = rng.integers(0, 10, 10).astype(np.int32)
    network = tiny_network()
    results = [evaluate(network, ArrayLoader(images, labels, size)) for size in (3, 10)]
    assert results[0].top1 == results[1].top1
    assert results[0].loss == pytest.approx(results[1].loss, rel=1e-5)


def test_constant_logits_give_zero_accuracy():
    assert np.all(label_ranks(np.zeros((4, 3)), np.array([0, 1, 2, 0])) == 2)


def test_nan_logits_give_zero_accuracy():
    logits = np.array([[np.nan, 0.0, 1.0], [np.inf, np.nan, 0.0]])
    assert np.all(label_ranks(logits, np.array([0, 0])) > 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_examples_with_non_finite_logits_are_counted_as_wrong(bad):
    logits = np.array([[3.0, 0.0], [bad, 0.0], [0.0, bad], [3.0, 0.0]])  # two classes: any finite rank is in the top 5
    result = evaluate(logits_network(logits), ArrayLoader(numbered_images(4), np.zeros(4, np.int32), 4))
    assert (result.num_not_finite, result.top1, result.top5) == (2, 50.0, 50.0)


def test_cross_entropy_is_exact_for_huge_logits():
    losses = cross_entropy(np.array([[1e4, 0.0], [-1e4, 1e4]]), np.array([1, 1]))
    np.testing.assert_allclose(losses, [1e4, 0.0])


def test_evaluation_restores_the_training_flag_and_does_not_change_statistics(tiny_network):
    network = tiny_network()
    network.set_train(True)
    before = {p.name: p.asnumpy().copy() for p in network.get_parameters()}
    images = np.ones((4, 3, 8, 8), np.float32)
    evaluate(network, ArrayLoader(images, np.zeros(4, np.int32), 2))
    assert network.training
    for parameter in network.get_parameters():
        np.testing.assert_array_equal(parameter.asnumpy(), before[parameter.name])
