"""Binary cross-entropy: each class is a question of its own."""

from collections.abc import Sequence

import mindspore as ms
from mindspore import Tensor, ops

from mindcv.arguments import BCE_TARGET_THRESH, LABEL_SMOOTHING, REDUCTION
from mindcv.loss.base import Loss, weight_tensor


class BinaryCrossEntropy(Loss):
    """Sigmoid cross-entropy of a batch, in nats: the mean over its B * K answers.

    Args:
        label_smoothing, reduction: see `Loss`; "sum" adds the B * K answers. Smoothing moves mass to all K classes, as
            in MindCV and timm.
        target_thresh: makes a smoothed or mixed label 1 above it and 0 otherwise; in [0, 1). None: labels as they are.
        sum_classes: adds the answers of the K classes, and takes the mean over the batch alone.
        class_weights: K numbers > 0 that multiply the terms of the K classes. None: all 1.

    Inputs:
        labels: as those of `Loss`; the rows of probabilities need not sum to 1.

    Raises:
        ValueError: if `target_thresh` is outside [0, 1), or a class weight not a number > 0.

    Source: Wightman et al. 2021 (ResNet strikes back), section 3, for single labels.
    """

    def __init__(
        self,
        label_smoothing: float = LABEL_SMOOTHING.default,
        reduction: str = REDUCTION.default,
        target_thresh: float | None = BCE_TARGET_THRESH.default,
        sum_classes: bool = False,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__(label_smoothing, reduction)
        BCE_TARGET_THRESH.check(target_thresh)
        self.target_thresh = target_thresh
        self.sum_classes = sum_classes or reduction == "sum"
        self.class_weights = weight_tensor(class_weights)
        self.softplus = ops.Softplus()

    def construct(self, logits: Tensor, labels: Tensor) -> Tensor:
        logits = logits.astype(ms.float32)
        target = self.target(labels, logits.shape[1], self.label_smoothing)
        if self.target_thresh is not None:
            target = (target > self.target_thresh).astype(ms.float32)
        # softplus(-x) is -log(sigmoid(x)), without overflow
        losses = target * self.softplus(-logits) + (1.0 - target) * self.softplus(logits)  # (B, K)
        if self.class_weights is not None:
            losses = losses * self.class_weights
        return self.reduce(losses.sum(-1) if self.sum_classes else losses.mean(-1))
