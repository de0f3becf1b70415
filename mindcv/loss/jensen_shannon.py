"""Cross-entropy with a Jensen-Shannon divergence between differently augmented copies of the images."""

import math
from collections.abc import Sequence

import mindspore as ms
from mindspore import Tensor, ops

from mindcv.arguments import LABEL_SMOOTHING, REDUCTION
from mindcv.loss.base import Loss
from mindcv.loss.cross_entropy import CrossEntropy


class JensenShannon(Loss):
    """Cross-entropy of the clean images, plus `alpha` times the divergence between the predictions for all copies.

    The divergence is the mean over the S copies of KL(p_s || mean of all p), at most log(S) nats. It is exact: timm and
    MindCV do not let the mean's probabilities fall below 1e-7.

    Args:
        num_splits: S, the number of copies of each image; at least 2.
        label_smoothing, reduction: see `Loss`.
        class_weights: of the cross-entropy, see `CrossEntropy`.
        alpha: factor of the divergence, > 0.

    Inputs:
        logits: (S * B, K): B clean images, then the B images of each further copy in the same order.
        labels: (S * B,) int32 or (S * B, K) float; the first B count.

    Raises:
        ValueError: if `num_splits` is below 2.

    Source: Hendrycks et al. 2020 (AugMix), section 3, with 3 copies and alpha 12.
    """

    def __init__(
        self,
        num_splits: int = 3,
        label_smoothing: float = LABEL_SMOOTHING.default,
        reduction: str = REDUCTION.default,
        class_weights: Sequence[float] | None = None,
        alpha: float = 12.0,
    ) -> None:
        super().__init__(label_smoothing, reduction)
        if num_splits < 2:
            raise ValueError(
                f"loss JSD compares differently augmented copies of each image: aug_splits must be at least 2, "
                f"usually 3; got {num_splits}."
            )
        self.num_splits = num_splits
        self.alpha = float(alpha)
        self.cross_entropy = CrossEntropy(label_smoothing, reduction, class_weights)
        self.log_softmax = ops.LogSoftmax(-1)

    def construct(self, logits: Tensor, labels: Tensor) -> Tensor:
        num_classes = logits.shape[1]
        copies = logits.astype(ms.float32).reshape((self.num_splits, -1, num_classes))  # (S, B, K)
        shape = (self.num_splits, -1) if labels.ndim == 1 else (self.num_splits, -1, num_classes)
        clean = self.cross_entropy(copies[0], labels.reshape(shape)[0])
        log_probs = self.log_softmax(copies)
        log_mean = ops.logsumexp(log_probs, 0) - math.log(self.num_splits)  # (B, K)
        divergence = (ops.exp(log_probs) * (log_probs - log_mean)).sum(-1).mean(0)  # (B,)
        return clean + self.alpha * self.reduce(divergence)
