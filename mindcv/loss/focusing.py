"""Losses that give easy answers little weight: the focal loss and the asymmetric losses.

Each multiplies an answer's cross-entropy by a power of its mistake, the probability of the wrong answer: 1 - p where
the label is 1, and p where it is 0.
"""

import mindspore as ms
from mindspore import Tensor, ops

from mindcv.arguments import (
    ASL_CLIP,
    ASL_GAMMA_NEG,
    ASL_GAMMA_POS,
    FOCAL_ALPHA,
    FOCAL_GAMMA,
    LABEL_SMOOTHING,
    REDUCTION,
)
from mindcv.loss.base import Loss

_LEAST_MISTAKE = 1e-8  # the gradient of a power below 1 is infinite at 0


class Focal(Loss):
    """Sigmoid focal loss of a batch: the mean over its B * K answers.

    Args:
        label_smoothing, reduction: see `Loss`; "sum" adds the B * K answers.
        gamma: power of the mistake, >= 0; 0 is the binary cross-entropy.
        alpha: weight of answers whose label is 1, in (0, 1); that of the others is 1 - alpha. None: 1 for both.

    Inputs:
        labels: as those of `Loss`; the rows of probabilities need not sum to 1.

    Raises:
        ValueError: if `gamma` or `alpha` is out of range.

    Source: Lin et al. 2017 (Focal Loss for Dense Object Detection), equation 5.
    """

    def __init__(
        self,
        label_smoothing: float = LABEL_SMOOTHING.default,
        reduction: str = REDUCTION.default,
        gamma: float = FOCAL_GAMMA.default,
        alpha: float | None = FOCAL_ALPHA.default,
    ) -> None:
        super().__init__(label_smoothing, reduction)
        FOCAL_GAMMA.check(gamma)
        if alpha is not None:
            FOCAL_ALPHA.check(alpha)
        self.gamma = float(gamma)
        self.alpha = alpha
        self.softplus = ops.Softplus()

    def construct(self, logits: Tensor, labels: Tensor) -> Tensor:
        logits = logits.astype(ms.float32)
        target = self.target(labels, logits.shape[1], self.label_smoothing)
        losses = target * self.softplus(-logits) + (1.0 - target) * self.softplus(logits)  # (B, K)
        mistake = target * ops.sigmoid(-logits) + (1.0 - target) * ops.sigmoid(logits)
        losses = losses * ops.pow(ops.maximum(mistake, _LEAST_MISTAKE), self.gamma)
        if self.alpha is not None:
            losses = losses * (self.alpha * target + (1.0 - self.alpha) * (1.0 - target))
        return self.reduce(losses.mean(-1) if self.reduction == "mean" else losses.sum(-1))


class _Asymmetric(Loss):
    """Base of the asymmetric losses: one power for labels of 1, a higher one for labels of 0."""

    def __init__(self, label_smoothing: float, reduction: str, gamma_pos: float, gamma_neg: float) -> None:
        super().__init__(label_smoothing, reduction)
        ASL_GAMMA_POS.check(gamma_pos)
        ASL_GAMMA_NEG.check(gamma_neg)
        self.gamma_pos, self.gamma_neg = float(gamma_pos), float(gamma_neg)

    def weights(self, target: Tensor, mistake: Tensor) -> Tensor:
        """The factors of the answers: (B, K) -> (B, K)."""
        gamma = self.gamma_pos * target + self.gamma_neg * (1.0 - target)
        return ops.pow(ops.maximum(mistake, _LEAST_MISTAKE), gamma)


class AsymmetricSingleLabel(_Asymmetric):
    """Asymmetric loss for one label per image: softmax cross-entropy with asymmetric weights, mean over the batch.

    Args:
        label_smoothing, reduction: see `Loss`. The weights follow from the labels without smoothing.
        gamma_pos, gamma_neg: power of the mistake for the label, and for the other classes; >= 0.

    Raises:
        ValueError: if a power is negative.

    Source: MindCV's and timm's variant of Ben-Baruch et al. 2021 (Asymmetric Loss for Multi-Label Classification).
    """

    def __init__(
        self,
        label_smoothing: float = LABEL_SMOOTHING.default,
        reduction: str = REDUCTION.default,
        gamma_pos: float = ASL_GAMMA_POS.default,
        gamma_neg: float = ASL_GAMMA_NEG.default,
    ) -> None:
        super().__init__(label_smoothing, reduction, gamma_pos, gamma_neg)
        self.log_softmax = ops.LogSoftmax(-1)

    def construct(self, logits: Tensor, labels: Tensor) -> Tensor:
        num_classes = logits.shape[1]
        log_probs = self.log_softmax(logits.astype(ms.float32))  # (B, K)
        probs = ops.exp(log_probs)
        own = self.target(labels, num_classes, 0.0)
        weights = self.weights(own, own * (1.0 - probs) + (1.0 - own) * probs)
        target = self.target(labels, num_classes, self.label_smoothing)
        return self.reduce(-(target * weights * log_probs).sum(-1))


class AsymmetricMultiLabel(_Asymmetric):
    """Asymmetric loss for several labels per image: the sum over the K classes, mean over the batch.

    MindCV adds the batch as well: `reduction="sum"`. MindCV and timm do not let probabilities fall below 1e-8, so that
    a label missed by far has no gradient; here it has.

    Args:
        reduction: see `Loss`.
        gamma_pos, gamma_neg: power of the mistake for labels of 1, and of 0; >= 0.
        clip: subtracted from the probability of classes whose label is 0; below it they cost nothing. In [0, 1).

    Inputs:
        labels: as those of `Loss`; the rows of probabilities need not sum to 1.

    Raises:
        ValueError: if a power is negative, or `clip` outside [0, 1).

    Source: Ben-Baruch et al. 2021 (Asymmetric Loss for Multi-Label Classification), equations 4 to 7.
    """

    def __init__(
        self,
        reduction: str = REDUCTION.default,
        gamma_pos: float = ASL_GAMMA_POS.default,
        gamma_neg: float = ASL_GAMMA_NEG.default,
        clip: float = ASL_CLIP.default,
    ) -> None:
        super().__init__(0.0, reduction, gamma_pos, gamma_neg)
        ASL_CLIP.check(clip)
        self.clip = float(clip)
        self.softplus = ops.Softplus()

    def construct(self, logits: Tensor, labels: Tensor) -> Tensor:
        logits = logits.astype(ms.float32)
        target = self.target(labels, logits.shape[1], 0.0)
        not_probs = ops.sigmoid(-logits)
        if self.clip > 0.0:
            wrong = ops.maximum(ops.sigmoid(logits) - self.clip, 0.0)
            log_not = ops.log(ops.minimum(not_probs + self.clip, 1.0))
        else:
            wrong = ops.sigmoid(logits)
            log_not = -self.softplus(logits)
        losses = target * self.softplus(-logits) - (1.0 - target) * log_not  # (B, K)
        weights = self.weights(target, target * not_probs + (1.0 - target) * wrong)
        return self.reduce((weights * losses).sum(-1))
