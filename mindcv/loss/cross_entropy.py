"""Softmax cross-entropy with label smoothing, for class indices and for probabilities."""

from collections.abc import Sequence

import mindspore as ms
from mindspore import Tensor, ops

from mindcv.arguments import LABEL_SMOOTHING, REDUCTION
from mindcv.loss.base import Loss, weight_tensor


class CrossEntropy(Loss):
    """Softmax cross-entropy of a batch, in nats.

    Computed from the log-softmax, which is exact for logits of any size.

    Args:
        label_smoothing, reduction: see `Loss`.
        class_weights: K numbers > 0 that multiply the terms of the K classes, smoothed ones included; the mean is then
            divided by the labels' weights, sum over the batch of weights[label], as PyTorch's for class indices.
            Probabilities are treated like indices (PyTorch divides by B there). None: all 1.

    Inputs:
        labels: as those of `Loss`; the rows of probabilities sum to 1.

    Raises:
        ValueError: as `Loss`, or if a class weight is not a number > 0.
    """

    def __init__(
        self,
        label_smoothing: float = LABEL_SMOOTHING.default,
        reduction: str = REDUCTION.default,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__(label_smoothing, reduction)
        self.class_weights = weight_tensor(class_weights)
        self.log_softmax = ops.LogSoftmax(-1)

    def construct(self, logits: Tensor, labels: Tensor) -> Tensor:
        num_classes = logits.shape[1]
        log_probs = self.log_softmax(logits.astype(ms.float32))  # (B, K)
        target = self.target(labels, num_classes, self.label_smoothing)  # (B, K)
        if self.class_weights is None:
            return self.reduce(-(target * log_probs).sum(-1))
        total = -(target * self.class_weights * log_probs).sum()
        if self.reduction == "sum":
            return total
        return total / (self.target(labels, num_classes, 0.0) * self.class_weights).sum()
