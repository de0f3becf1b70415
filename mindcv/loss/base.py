"""What the losses share: labels as a distribution over classes, weights of classes, the reduction over the batch."""

from collections.abc import Sequence

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindcv.arguments import CLASS_WEIGHTS, LABEL_SMOOTHING, REDUCTION


class Loss(nn.Cell):
    """Base of the losses, which are computed in float32 for any dtype of the logits.

    A compiled graph cannot check that class indices are in [0, K): an illegal one counts as no label. The data sets
    check labels.

    Args:
        label_smoothing: probability mass moved from the label to the uniform distribution over all K classes,
            in [0, 1).
        reduction: "mean" or "sum" over the batch.

    Inputs:
        logits: (B, K) float16 or float32, unnormalised.
        labels: (B,) int32 class indices in [0, K), or (B, K) float probabilities.

    Outputs:
        () float32.

    Raises:
        ValueError: if `label_smoothing` is outside [0, 1), or `reduction` unknown.

    Source: Szegedy et al. 2016 (Rethinking the Inception Architecture), section 7. The uniform distribution includes
        the label's own class, as in PyTorch and timm.
    """

    def __init__(self, label_smoothing: float = LABEL_SMOOTHING.default, reduction: str = REDUCTION.default) -> None:
        super().__init__()
        LABEL_SMOOTHING.check(label_smoothing)
        REDUCTION.check(reduction)
        self.label_smoothing = float(label_smoothing)
        self.reduction = reduction
        self.one_hot = ops.OneHot()

    def target(self, labels: Tensor, num_classes: int, label_smoothing: float) -> Tensor:
        """The smoothed labels as a distribution: (B, K) float32."""
        off = label_smoothing / num_classes
        on = 1.0 - label_smoothing + off
        if labels.ndim == 1:
            return self.one_hot(labels, num_classes, Tensor(on, ms.float32), Tensor(off, ms.float32))
        target = labels.astype(ms.float32)
        if label_smoothing > 0.0:
            target = target * (1.0 - label_smoothing) + off
        return target

    def reduce(self, losses: Tensor) -> Tensor:
        """The mean or sum of the losses of the examples: (B,) -> ()."""
        return losses.mean() if self.reduction == "mean" else losses.sum()


def weight_tensor(class_weights: Sequence[float] | None) -> Tensor | None:
    """The weights of K classes as (K,) float32; raises ValueError unless they are numbers > 0."""
    if class_weights is None:
        return None
    if not isinstance(class_weights, tuple | list) or not class_weights or not CLASS_WEIGHTS.in_range(class_weights):
        raise ValueError(f"class_weights must be a number > 0 for each class; got {class_weights!r}.")
    return Tensor(class_weights, ms.float32)
