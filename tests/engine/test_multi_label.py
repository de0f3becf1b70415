"""Several labels per image: mean average precision, what follows it, and probabilities of each class for itself."""

import csv
import json

import numpy as np
import pytest
from array_loader import ArrayLoader
from lookup import logits_network
from mindspore import Tensor
from scipy.special import expit
from sklearn.metrics import average_precision_score, log_loss

from mindcv.engine import (
    AveragedViews,
    EarlyStop,
    EpochLog,
    EpochResult,
    LabelScores,
    MetricsFile,
    MultiLabelEvaluation,
    Progress,
    average_precision,
    evaluate_multi_label,
)
from mindcv.report import complete, finished, format_precisions, write_multi_label_report


def examples(count=37, classes=5):
    """Logits with many ties, labels, and the images that `logits_network` takes."""
    rng = np.random.default_rng(1)
    logits = rng.integers(-3, 4, (count, classes)) / 2.0
    labels = rng.integers(0, 2, (count, classes)).astype(np.float32)
    labels[:, 3] = 0  # a class of no image
    labels[:4] = 0  # images without label
    return logits, labels, np.arange(count, dtype=np.float32).reshape(count, 1, 1, 1)


def precision_by_thresholds(labels, scores) -> float:
    """The sum over the distinct scores, from the highest on, of precision times the gain in recall."""
    labels, total, recall_before = labels.astype(np.float64), 0.0, 0.0
    for threshold in np.unique(scores)[::-1]:
        chosen = scores >= threshold
        recall = labels[chosen].sum() / labels.sum()
        total += labels[chosen].mean() * (recall - recall_before)
        recall_before = recall
    return total


def result(epoch, evaluation, trained=None) -> EpochResult:
    return EpochResult(epoch, 0.25, 0.1, 2.0, 50.0, 0.01, evaluation, True, False, trained)


def scored(score) -> MultiLabelEvaluation:
    return MultiLabelEvaluation(score, 0.5, num_examples=4, seconds=0.1)


@pytest.mark.parametrize("batch_size", [1, 8, 64])
def test_the_measures_are_scikit_learns_for_any_batch_size(batch_size):
    logits, labels, images = examples()
    found = evaluate_multi_label(logits_network(logits), ArrayLoader(images, labels, batch_size))
    present = [0, 1, 2, 4]
    by_hand = [precision_by_thresholds(labels[:, k], logits[:, k]) for k in present]
    assert found.mAP == pytest.approx(100 * np.mean(by_hand), rel=1e-12)
    assert found.mAP == pytest.approx(100 * average_precision_score(labels[:, present], logits[:, present]), rel=1e-12)
    losses = [log_loss(labels[:, k], expit(logits[:, k]), labels=[0, 1]) for k in range(5)]
    assert found.loss == pytest.approx(np.mean(losses), rel=1e-6)
    assert (found.num_examples, found.num_bad, found.num_not_finite) == (37, 0, 0)


def test_graph_and_pynative_agree(mode):
    logits, labels, images = examples()
    found = evaluate_multi_label(logits_network(logits), ArrayLoader(images, labels, 8))
    by_hand = [precision_by_thresholds(labels[:, k], logits[:, k]) for k in (0, 1, 2, 4)]
    assert found.mAP == pytest.approx(100 * np.mean(by_hand), rel=1e-12)


def test_unreadable_images_are_left_out():
    logits, labels, images = examples()
    bad = np.isin(np.arange(37), [0, 3, 8, 9, 10, 11, 36])  # with batches of 4, a whole one and the last
    marked = np.where(bad[:, None], -1, labels).astype(np.float32)
    scores = LabelScores()
    found = evaluate_multi_label(logits_network(logits), ArrayLoader(images, marked, 4), observe=scores.add)
    alone = evaluate_multi_label(logits_network(logits), ArrayLoader(images[~bad], labels[~bad], 4))
    assert (found.num_examples, found.num_bad) == (30, 7)
    assert (found.mAP, found.loss) == (alone.mAP, alone.loss)
    np.testing.assert_array_equal(scores.labels, labels[~bad])
    np.testing.assert_array_equal(scores.scores, logits[~bad])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_example_that_is_not_finite_is_wrong_for_every_class(bad):
    logits = np.array([[3.0, -3.0], [bad, 0.0], [-3.0, 3.0]])
    labels = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    images = np.arange(3, dtype=np.float32).reshape(3, 1, 1, 1)
    found = evaluate_multi_label(logits_network(logits), ArrayLoader(images, labels, 3))
    # class 0: hits at ranks 1 and 3; class 1: the wrong example comes first, then the hit
    assert found.mAP == pytest.approx(100 * ((1 + 2 / 3) / 2 + 1 / 2) / 2)
    assert found.num_not_finite == 1 and not np.isfinite(found.loss)


def test_what_cannot_be_measured_is_an_error():
    images = np.zeros((2, 1, 1, 1), np.float32)
    network = logits_network(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="none of the 2 images can be read"):
        evaluate_multi_label(network, ArrayLoader(images, np.full((2, 3), -1, np.float32), 2))
    with pytest.raises(ValueError, match="none of the 2 images has a label, which mAP needs"):
        evaluate_multi_label(network, ArrayLoader(images, np.zeros((2, 3), np.float32), 2))
    assert evaluate_multi_label(network, ArrayLoader(images, np.ones((2, 3), np.float32), 2), stop=lambda: True) is None


def test_one_class_alone_is_measured():
    np.testing.assert_allclose(average_precision(np.array([[1], [0], [1]]), np.array([[0.9], [0.8], [0.1]])), [5 / 6])


def test_views_are_averaged_as_probabilities_of_each_class():
    weight = np.random.default_rng(0).standard_normal((5, 5)) * 4
    logits = np.concatenate([weight, weight[::-1]])

    class Network:
        def __call__(self, images):
            return Tensor(logits[images.asnumpy()[:, 0, 0, 0].astype(int)].astype(np.float32))

    images = np.stack([np.arange(5), np.arange(5, 10)], axis=1).astype(np.float32).reshape(5, 1, 1, 2)
    found = AveragedViews(Network(), "hflip", 2, multi_label=True)(Tensor(images)).asnumpy()
    np.testing.assert_allclose(expit(found), (expit(logits[:5]) + expit(logits[5:])) / 2, rtol=1e-5)


def test_nothing_that_is_said_or_written_calls_map_top1(tmp_path, capsys):
    EpochLog(10).on_epoch_end(result(2, scored(75.0), trained=scored(70.0)))
    assert capsys.readouterr().out == (
        "epoch  2/10  loss 0.2500 (val 0.5000)  lr 0.1  50 img/s  mAP 75.00 % (without EMA 70.00 %)  best\n"
    )
    file = MetricsFile(tmp_path / "metrics.csv", [result(1, None)], MultiLabelEvaluation)
    file.on_epoch_end(result(2, scored(75.0), trained=scored(70.0)))
    with file.path.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    names = ["val_mAP", "val_loss", "val_seconds", "val_mAP_without_ema"]
    assert list(rows[0])[-4:] == names and [list(row.values())[-4:] for row in rows] == [
        ["", "", "", ""],
        ["75.0", "0.5", "0.1", "70.0"],
    ]
    assert EarlyStop(1).reason(7, scored(1.0).metric()).endswith("did not raise the best mAP")
    best = (3, {"mAP": 98.611})
    assert "best: epoch 3, mAP 98.61 %\n" in finished(tmp_path, tmp_path, best=best, bad_steps=0, bad_images=0)
    assert "10 epochs, best mAP 98.61 % in epoch 3" in complete(tmp_path, 10, best)


def test_progress_is_restored_and_that_of_an_earlier_version_too():
    progress = Progress()
    progress.end_epoch(result(1, scored(60.0)))
    assert (progress.best, progress.best_score) == ((1, {"mAP": 60.0}), 60.0)
    assert Progress.from_dict(json.loads(json.dumps(progress.to_dict()))) == progress
    earlier = {key: value for key, value in Progress().to_dict().items() if key != "best_mAP"}
    restored = Progress.from_dict({**earlier, "best_epoch": 2, "best_top1": 50.0, "best_top5": 90.0})
    assert (restored.best, restored.best_score) == ((2, {"top1": 50.0, "top5": 90.0}), 50.0)


def test_the_report_has_the_average_precision_of_each_class(tmp_path):
    precisions, labels = np.array([0.5, 1.0, np.nan]), np.array([[1, 1, 0], [1, 0, 0]], np.float32)
    names, about = ["cat", "=dog", "owl"], {"model": "sknet50"}
    assert format_precisions(precisions, names) == "lowest average precision:\n  cat: 50.00 %"
    write_multi_label_report(tmp_path / "r.json", scored(75.0), precisions, labels, names, about)
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["model"], report["mAP"], report["num_examples"]) == ("sknet50", 75.0, 4) and "top1" not in report
    assert report["classes"] == [
        {"class_index": 0, "class_name": "cat", "examples": 2, "average_precision": 0.5},
        {"class_index": 1, "class_name": "=dog", "examples": 1, "average_precision": 1.0},
        {"class_index": 2, "class_name": "owl", "examples": 0, "average_precision": None},
    ]
    write_multi_label_report(tmp_path / "r.csv", scored(75.0), precisions, labels, names, about)
    lines = (tmp_path / "r.csv").read_text().splitlines()
    assert lines[0] == "class_index,class_name,examples,average_precision"
    assert lines[1:] == ["0,cat,2,0.5", "1,'=dog,1,1.0", "2,owl,0,"]
