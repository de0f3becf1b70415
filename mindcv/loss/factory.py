"""Training losses by name. Imports MindSpore only to build one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mindcv.arguments import LABEL_SMOOTHING
from mindcv.keywords import also_called
from mindcv.registry import Registry

if TYPE_CHECKING:
    from mindspore import nn

# A loss takes as keywords the options that it uses.
LOSSES: Registry[Callable[..., Any]] = Registry("loss")


@LOSSES.register("CE")
def _cross_entropy(*, label_smoothing: float) -> nn.Cell:
    from mindcv.loss.cross_entropy import CrossEntropy

    return CrossEntropy(label_smoothing)


@also_called({"name": "loss", "weight": "class_weights"})
def create_loss(loss: str = "CE", *, label_smoothing: float = LABEL_SMOOTHING.default) -> nn.Cell:
    """Create a loss: a Cell from logits (B, K) and labels (B,) int32 or (B, K) float to the mean over the batch.

    Args:
        loss: "CE", softmax cross-entropy.
        label_smoothing: probability mass moved to the uniform distribution over all classes, in [0, 1).

    Returns:
        A Cell whose output is () float32, in nats.

    Raises:
        ValueError: if the name is unknown or `label_smoothing` out of range.
    """
    return LOSSES.get(loss)(label_smoothing=label_smoothing)
