"""Evaluation that counts every example once, whatever the batch size and the number of processes."""

from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass
from typing import Protocol

import numpy as np
from mindspore import Tensor, nn

from mindcv import console
from mindcv.distributed import ALONE, World
from mindcv.engine.compiling import clock

_NEVER_RIGHT = np.iinfo(np.int64).max  # the rank of a label whose logits are not finite


class Batches(Protocol):
    """What training and evaluation need of a data loader."""

    batch_size: int
    num_examples: int

    def __len__(self) -> int: ...

    def epoch(self, epoch: int, start: int = 0) -> Iterable[tuple[np.ndarray, np.ndarray]]:
        """(B, C, H, W) float32 images and (B,) int32 labels, batch by batch, from number `start` on."""


@dataclass(frozen=True)
class Sums:
    """What is counted of some examples; sums of different examples can be added.

    Attributes:
        examples: with a label.
        right, right_of_5: those whose label has the highest logit, or one of the five highest.
        loss: sum of their cross-entropies in nats, without label smoothing.
        bad: examples left out because their image could not be read.
        not_finite: examples with NaN or infinite logits; they are not right.
    """

    examples: int
    right: int
    right_of_5: int
    loss: float
    bad: int
    not_finite: int


@dataclass(frozen=True)
class Evaluation:
    """Result over a whole split.

    Attributes:
        top1: per cent of examples whose label has the highest logit.
        top5: per cent of examples whose label is among the five highest.
        loss: plain cross-entropy in nats per example, without label smoothing.
        num_examples: how many were counted.
        seconds: time taken, without compiling.
        num_bad: how many were left out because their image could not be read.
        num_not_finite: how many of the examples counted had NaN or infinite logits; they count as wrong.
    """

    top1: float
    top5: float
    loss: float
    num_examples: int
    seconds: float
    num_bad: int = 0
    num_not_finite: int = 0


def evaluate(
    network: nn.Cell,
    loader: Batches,
    *,
    progress: bool = True,
    stop: Callable[[], bool] = lambda: False,
    world: World = ALONE,
) -> Evaluation | None:
    """Run the network over every example in evaluation mode, and average over those of all processes.

    Args:
        network, loader, progress, stop: see `count`.
        world: the processes; each has a part of the examples.

    Returns:
        None if `stop` became true before the end.

    Raises:
        ValueError: if not one image can be read.
    """
    start = clock()
    sums = count(network, loader, progress=progress, stop=stop)
    if sums is None:
        return None
    sums = Sums(*world.add(astuple(sums)))
    if not sums.examples:
        raise ValueError(f"nothing to measure: not one of the {sums.bad:,} images can be read.")
    return Evaluation(
        top1=100.0 * (sums.right / sums.examples),
        top5=100.0 * (sums.right_of_5 / sums.examples),
        loss=sums.loss / sums.examples,
        num_examples=sums.examples,
        seconds=clock() - start,
        num_bad=sums.bad,
        num_not_finite=sums.not_finite,
    )


def count(
    network: nn.Cell, loader: Batches, *, progress: bool = True, stop: Callable[[], bool] = lambda: False
) -> Sums | None:
    """Run the network over every example of the loader in evaluation mode.

    The last batch is padded to the full batch size and the padding is not counted, so that a compiled graph serves all
    batches. An example whose label's logit ties with another counts as wrong, and so does one with a NaN or infinite
    logit.

    Args:
        network: (B, C, H, W) -> (B, num_classes); its training flag is restored afterwards.
        loader: the split, not shuffled and without dropping the last batch. An example with a label below 0 stands in
            for an image that could not be read: it is left out.
        progress: show a bar, or lines where no bar can be seen.
        stop: asked after each batch.

    Returns:
        None if `stop` became true before the end.
    """
    was_training = network.training
    network.set_train(False)
    ranks, losses, num_bad, num_not_finite = [], [], 0, 0
    with console.Progress("validate", len(loader), "batch", shown=progress, clock=clock) as shown:
        for images, labels in loader.epoch(0):
            if stop():
                network.set_train(was_training)
                return None
            logits = network(Tensor(pad_batch(images, loader.batch_size))).asnumpy()[: len(labels)].astype(np.float64)
            good = labels >= 0
            num_bad += len(labels) - int(np.count_nonzero(good))
            logits, labels = logits[good], labels[good]
            is_finite = np.isfinite(logits).all(axis=1)
            num_not_finite += int(np.count_nonzero(~is_finite))
            ranks.append(np.where(is_finite, label_ranks(logits, labels), _NEVER_RIGHT))
            losses.append(cross_entropy(logits, labels))
            shown.advance()
    network.set_train(was_training)
    ranks, losses = np.concatenate(ranks), np.concatenate(losses)
    return Sums(
        examples=len(ranks),
        right=int(np.count_nonzero(ranks == 0)),
        right_of_5=int(np.count_nonzero(ranks < 5)),
        loss=float(losses.sum()),  # of all at once: the sum of batches' sums would depend on their size
        bad=num_bad,
        not_finite=num_not_finite,
    )


def label_ranks(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many other classes are not below the label's logit: (B, K), (B,) -> (B,) int, 0 for a correct prediction."""
    own = np.take_along_axis(logits, labels[:, None].astype(np.int64), axis=1)
    return np.sum(~(logits < own), axis=1) - 1


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Cross-entropy of each example in nats: (B, K), (B,) -> (B,)."""
    with np.errstate(invalid="ignore"):  # infinite logits give NaN
        shifted = logits - logits.max(axis=1, keepdims=True)
        own = np.take_along_axis(shifted, labels[:, None].astype(np.int64), axis=1)[:, 0]
        return np.log(np.exp(shifted).sum(axis=1)) - own


def pad_batch(images: np.ndarray, batch_size: int) -> np.ndarray:
    """Fill (B, C, H, W) images up with zeros to (batch_size, C, H, W): one shape for the compiled graph."""
    missing = batch_size - len(images)
    return images if missing == 0 else np.concatenate([images, np.zeros((missing, *images.shape[1:]), images.dtype)])
