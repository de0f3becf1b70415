"""Evaluation that counts every example once, for any batch size and number of processes."""

from collections.abc import Callable, Generator
from dataclasses import astuple, dataclass
from typing import Protocol

import numpy as np
from mindspore import Tensor, nn

from mindcv import console
from mindcv.distributed import ALONE, World
from mindcv.engine.compiling import clock
from mindcv.engine.measures import Measured

_NEVER_RIGHT = np.iinfo(np.int64).max  # the rank of a label whose logits are not finite


class Batches(Protocol):
    """The part of a data loader that training and evaluation need."""

    batch_size: int
    num_examples: int

    def __len__(self) -> int: ...

    def epoch(self, epoch: int, start: int = 0) -> Generator[tuple[np.ndarray, np.ndarray], None, None]:
        """Yield images and labels of each batch from number `start` on: (B, C, H, W) float32 and (B,) int32.

        With several labels per image, these are (B, K) float32.
        """


@dataclass(frozen=True)
class Sums:
    """Counts over some examples, which can be added to those over others.

    Attributes:
        examples: number of examples with a label.
        right, right_of_5: number of those whose label has the highest logit, or one of the five highest.
        loss: sum of their cross-entropies in nats, without label smoothing.
        bad: number of examples left out because their image could not be read.
        not_finite: number of examples with NaN or infinite logits, which are not right.
    """

    examples: int
    right: int
    right_of_5: int
    loss: float
    bad: int
    not_finite: int


@dataclass(frozen=True)
class Evaluation(Measured):
    """Result over a whole split whose examples have one label; see `Measured`.

    Attributes:
        top1: per cent of examples whose label has the highest logit.
        top5: per cent of examples whose label is among the five highest.
        loss: plain cross-entropy in nats per example, without label smoothing.
    """

    MEASURES = ("top1", "top5", "loss")

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
    observe: Callable[[np.ndarray, np.ndarray], None] | None = None,
    world: World = ALONE,
) -> Evaluation | None:
    """Run the network over every example in evaluation mode, and average over all processes.

    Args:
        network, loader, progress, stop, observe: see `count`.
        world: the processes, each with a part of the examples.

    Returns:
        None if `stop` became true before the end, in any process.

    Raises:
        ValueError: if no image can be read.
    """
    start = clock()
    sums = count(network, loader, progress=progress, stop=stop, observe=observe)
    stopped, *added = world.add((sums is None, *astuple(sums or Sums(0, 0, 0, 0.0, 0, 0))))
    if stopped:
        return None
    examples, right, right_of_5, loss, bad, not_finite = added
    if not examples:
        raise ValueError(f"nothing to evaluate: none of the {bad:,} images can be read.")
    return Evaluation(
        top1=100.0 * (right / examples),
        top5=100.0 * (right_of_5 / examples),
        loss=loss / examples,
        num_examples=int(examples),
        seconds=clock() - start,
        num_bad=int(bad),
        num_not_finite=int(not_finite),
    )


def count(
    network: nn.Cell,
    loader: Batches,
    *,
    progress: bool = True,
    stop: Callable[[], bool] = lambda: False,
    observe: Callable[[np.ndarray, np.ndarray], None] | None = None,
) -> Sums | None:
    """Run the network over every example of the loader in evaluation mode.

    The last batch is padded to the full batch size, so that one compiled graph serves all batches; the padding is not
    counted. An example is wrong if its label's logit ties with another, or if a logit is NaN or infinite.

    Args:
        network: (B, C, H, W) -> (B, num_classes); its training flag is restored afterwards.
        loader: the split, not shuffled and with the last batch. An example with a label below 0 replaces an unreadable
            image and is left out.
        progress: show a bar, or lines if there is no terminal.
        stop: asked after each batch.
        observe: called with the (B, K) float64 logits and (B,) labels of each batch's counted examples.

    Returns:
        None if `stop` became true before the end.
    """
    ranks, losses, num_bad, num_not_finite = [], [], 0, 0

    def take(logits: np.ndarray, labels: np.ndarray) -> None:
        nonlocal num_bad, num_not_finite
        good = labels >= 0
        num_bad += len(labels) - int(np.count_nonzero(good))
        logits, labels = logits[good], labels[good]
        is_finite = np.isfinite(logits).all(axis=1)
        num_not_finite += int(np.count_nonzero(~is_finite))
        ranks.append(np.where(is_finite, label_ranks(logits, labels), _NEVER_RIGHT))
        losses.append(cross_entropy(logits, labels))
        if observe:
            observe(logits, labels)

    if not run_batches(network, loader, take, progress=progress, stop=stop):
        return None
    all_ranks = np.concatenate([np.empty(0, np.int64), *ranks])  # a process may have no example
    return Sums(
        examples=len(all_ranks),
        right=int(np.count_nonzero(all_ranks == 0)),
        right_of_5=int(np.count_nonzero(all_ranks < 5)),
        # Of all at once: a sum of batch sums would depend on the batch size.
        loss=float(np.concatenate([np.empty(0), *losses]).sum()),
        bad=num_bad,
        not_finite=num_not_finite,
    )


def run_batches(
    network: nn.Cell,
    loader: Batches,
    take: Callable[[np.ndarray, np.ndarray], None],
    *,
    progress: bool = True,
    stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Pass the (B, K) float64 logits and the labels of each batch to `take`; see `count`.

    Returns:
        Whether it came to the end, because `stop` did not become true.
    """
    was_training = network.training
    network.set_train(False)
    with console.Progress("validate", len(loader), "batch", shown=progress, clock=clock) as shown:
        for images, labels in loader.epoch(0):
            if stop():
                network.set_train(was_training)
                return False
            logits = network(Tensor(pad_batch(images, loader.batch_size))).asnumpy()
            take(logits[: len(labels)].astype(np.float64), labels)
            shown.advance()
    network.set_train(was_training)
    return True


def label_ranks(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Count the other classes whose logit is not below the label's: (B, K), (B,) -> (B,) int; 0 if it is correct."""
    own = np.take_along_axis(logits, labels[:, None].astype(np.int64), axis=1)
    return np.sum(~(logits < own), axis=1) - 1


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the cross-entropy of each example in nats: (B, K), (B,) -> (B,)."""
    with np.errstate(invalid="ignore"):  # infinite logits give NaN
        shifted = logits - logits.max(axis=1, keepdims=True)
        own = np.take_along_axis(shifted, labels[:, None].astype(np.int64), axis=1)[:, 0]
        return np.log(np.exp(shifted).sum(axis=1)) - own


def pad_batch(images: np.ndarray, batch_size: int) -> np.ndarray:
    """Pad (B, C, H, W) images with zeros to (batch_size, C, H, W), the shape of the compiled graph."""
    missing = batch_size - len(images)
    return images if missing == 0 else np.concatenate([images, np.zeros((missing, *images.shape[1:]), images.dtype)])
