"""Evaluation on examples with several labels: mean average precision."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from mindspore import nn

from mindcv.distributed import ALONE, World
from mindcv.engine.compiling import clock
from mindcv.engine.evaluator import Batches, Evaluation, evaluate, run_batches
from mindcv.engine.measures import Measured
from mindcv.engine.metrics import mean_average_precision


@dataclass(frozen=True)
class MultiLabelEvaluation(Measured):
    """Result over a whole split whose examples have several labels; see `Measured`.

    Attributes:
        mAP: mean over the classes of the average precision, per cent; classes without an example are left out.
        loss: binary cross-entropy in nats per answer, the mean over examples and classes, without label smoothing.
    """

    MEASURES = ("mAP", "loss")

    mAP: float
    loss: float
    num_examples: int
    seconds: float
    num_bad: int = 0
    num_not_finite: int = 0


class LabelScores:
    """What the network said about every example: pass `add` to `evaluate_multi_label` as `observe`.

    Attributes:
        scores, labels: (N, K) each; see `evaluate_multi_label`.
    """

    def __init__(self) -> None:
        self.scores = self.labels = np.empty((0, 0))

    def add(self, scores: np.ndarray, labels: np.ndarray) -> None:
        self.scores, self.labels = scores, labels


def evaluate_multi_label(
    network: nn.Cell,
    loader: Batches,
    *,
    progress: bool = True,
    stop: Callable[[], bool] = lambda: False,
    observe: Callable[[np.ndarray, np.ndarray], None] | None = None,
    world: World = ALONE,
) -> MultiLabelEvaluation | None:
    """Run the network over every example in evaluation mode, as `evaluate` does, and rank the examples for each class.

    An example with NaN or infinite logits ranks last for its labels and first for all other classes.

    Args:
        network, progress, stop: see `count`.
        loader: labels are (B, K) float32 of 0 and 1; a row of -1 replaces an unreadable image and is left out.
        observe: called once, with the (N, K) float64 scores by which examples are ranked, and their (N, K) labels.
        world: the processes, each with all examples, as their ranks are those among all.

    Returns:
        None if `stop` became true before the end, in any process.

    Raises:
        ValueError: if no image can be read, or none of them has a label.
    """
    start = clock()
    batches: list[tuple[np.ndarray, np.ndarray]] = []
    ended = run_batches(network, loader, lambda *batch: batches.append(batch), progress=progress, stop=stop)
    if world.any(not ended):
        return None
    logits, labels = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    good = (labels >= 0).all(axis=1)
    num_bad = len(good) - int(np.count_nonzero(good))
    logits, labels = logits[good], labels[good]
    if not len(labels):
        raise ValueError(f"nothing to evaluate: none of the {num_bad:,} images can be read.")
    if not labels.any():
        raise ValueError(f"nothing to evaluate: none of the {len(labels):,} images has a label, which mAP needs.")
    is_finite = np.isfinite(logits).all(axis=1)
    scores = _finite_scores(logits, labels, is_finite)
    if observe:
        observe(scores, labels)
    return MultiLabelEvaluation(
        mAP=100.0 * mean_average_precision(labels, scores),
        loss=float(binary_cross_entropy(logits, labels).mean()),
        num_examples=len(labels),
        seconds=clock() - start,
        num_bad=num_bad,
        num_not_finite=int(np.count_nonzero(~is_finite)),
    )


def evaluation_kind(*, multi_label: bool) -> tuple[Callable[..., Measured | None], type[Measured]]:
    """The function that evaluates data sets whose images have several labels, or one, and the class of its result."""
    return (evaluate_multi_label, MultiLabelEvaluation) if multi_label else (evaluate, Evaluation)


def binary_cross_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The cross-entropy of each answer in nats: (N, K) logits, (N, K) labels of 0 and 1 -> (N, K)."""
    with np.errstate(invalid="ignore"):  # infinite logits give NaN
        return labels * np.logaddexp(0.0, -logits) + (1.0 - labels) * np.logaddexp(0.0, logits)


def _finite_scores(logits: np.ndarray, labels: np.ndarray, is_finite: np.ndarray) -> np.ndarray:
    """The logits; those of examples that are not finite become wrong ones: (N, K), (N, K), (N,) -> (N, K)."""
    known = np.where(is_finite[:, None], logits, 0.0)
    wrong = np.where(labels > 0, known.min(axis=0) - 1.0, known.max(axis=0) + 1.0)
    return np.where(is_finite[:, None], logits, wrong)
