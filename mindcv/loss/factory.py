"""Training losses by name."""

from mindspore import nn

from mindcv.loss.cross_entropy import CrossEntropy
from mindcv.registry import Registry

LOSSES = Registry("loss")
LOSSES.register("CE")(CrossEntropy)


def create_loss(loss: str = "CE", *, label_smoothing: float = 0.0) -> nn.Cell:
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
