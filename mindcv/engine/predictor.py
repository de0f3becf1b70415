"""Predictions for images without labels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from mindspore import Tensor, nn

from mindcv import console
from mindcv.engine.compiling import clock
from mindcv.engine.evaluator import pad_batch


class UnlabelledBatches(Protocol):
    """The part of `mindcv.data.ImageFiles` that prediction needs."""

    batch_size: int
    unreadable: dict[int, str]

    @property
    def paths(self) -> Sequence[Path]: ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (B,) positions in `paths` and (B, C, H, W) float32 images, filling `unreadable`."""


class Candidate(NamedTuple):
    """A class and its probability in 0..1."""

    class_index: int
    class_name: str
    probability: float


class Prediction(NamedTuple):
    """The most probable classes of one image, best first."""

    path: Path
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class Predictions:
    """Result for every image file.

    Attributes:
        predictions: one per image with finite logits, in the order of the files.
        failures: (path, reason) of every other file, in their order.
        seconds: time taken, without compiling.
    """

    predictions: list[Prediction]
    failures: list[tuple[Path, str]]
    seconds: float


def predict(
    network: nn.Cell,
    batches: UnlabelledBatches,
    class_names: Sequence[str],
    topk: int = 5,
    *,
    multi_label: bool = False,
    progress: bool = True,
) -> Predictions:
    """Run the network over every image in evaluation mode.

    The last batch is padded to the full batch size, so that one compiled graph serves all batches. An image with NaN or
    infinite logits is a failure.

    Args:
        network: (B, C, H, W) -> (B, num_classes) logits; its training flag is restored afterwards.
        batches: the images.
        class_names: one per logit.
        topk: candidates per image; all classes if there are fewer. Equal logits rank by class index.
        multi_label: whether an image may have several labels: the probability of a class does not depend on the others
            (a sigmoid, not a softmax), and all above 0.5 are candidates, even if they are more than `topk`.
        progress: show a bar, or lines if there is no terminal.
    Raises:
        ValueError: if topk is below 1, or the network does not have one logit per class name.
    """
    if topk < 1:
        raise ValueError(f"topk must be at least 1; got {topk}.")
    best = _likely if multi_label else _best
    was_training = network.training
    network.set_train(False)
    start = clock()
    predictions: list[Prediction] = []
    not_finite: dict[int, str] = {}
    try:
        with console.Progress("predict", len(batches), "batch", shown=progress, clock=clock) as shown:
            for positions, images in batches:
                logits = network(Tensor(pad_batch(images, batches.batch_size))).asnumpy()[: len(images)]
                if logits.shape[1] != len(class_names):
                    raise ValueError(f"the network has {logits.shape[1]} classes, but {len(class_names)} are named.")
                for position, row in zip(positions.tolist(), logits.astype(np.float64), strict=True):
                    if np.isfinite(row).all():
                        predictions.append(Prediction(batches.paths[position], best(row, class_names, topk)))
                    else:
                        not_finite[position] = "the network's output for it is NaN or infinite"
                shown.advance()
    finally:
        network.set_train(was_training)
    failures = sorted({**batches.unreadable, **not_finite}.items())
    assert len(predictions) + len(failures) == len(batches.paths), "every file is accounted for"
    return Predictions(
        predictions=predictions,
        failures=[(batches.paths[position], reason) for position, reason in failures],
        seconds=clock() - start,
    )


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities over the last axis, (..., K) float64 -> (..., K) float64, for any finite logits."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _best(logits: np.ndarray, class_names: Sequence[str], topk: int) -> tuple[Candidate, ...]:
    return _highest(logits, softmax(logits), class_names, topk)


def _likely(logits: np.ndarray, class_names: Sequence[str], topk: int) -> tuple[Candidate, ...]:
    probabilities = np.exp(-np.logaddexp(0.0, -logits))  # the sigmoid, without overflow
    return _highest(logits, probabilities, class_names, max(topk, int(np.count_nonzero(logits > 0))))


def _highest(
    logits: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str], count: int
) -> tuple[Candidate, ...]:
    # By logit: small probabilities may be equal (0) although the logits differ.
    best = np.argsort(-logits, kind="stable")[:count].tolist()
    return tuple(Candidate(index, class_names[index], float(probabilities[index])) for index in best)
