"""Softmax cross-entropy with label smoothing, for class indices and for probabilities."""

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindcv.arguments import LABEL_SMOOTHING


class CrossEntropy(nn.Cell):
    """Mean softmax cross-entropy of a batch, in nats.

    Computed in float32 whatever the type of the logits, through the log-softmax, so that it is exact for logits of any
    size.

    A class index outside [0, K) cannot be detected in a compiled graph: its row would count as unlabelled. The data
    loader checks labels.

    Args:
        label_smoothing: probability mass moved from the label to the uniform distribution over all K classes,
            in [0, 1).

    Inputs:
        logits: (B, K) float16 or float32, unnormalised.
        labels: (B,) int32 class indices in [0, K), or (B, K) float probabilities whose rows sum to 1.

    Outputs:
        () float32.

    Raises:
        ValueError: if `label_smoothing` is outside [0, 1).

    Source: Szegedy et al. 2016 (Rethinking the Inception Architecture), section 7. The uniform distribution includes
        the label's own class, as in PyTorch and timm.
    """

    def __init__(self, label_smoothing: float = LABEL_SMOOTHING.default) -> None:
        super().__init__()
        LABEL_SMOOTHING.check(label_smoothing)
        self.label_smoothing = float(label_smoothing)
        self.log_softmax = ops.LogSoftmax(-1)
        self.one_hot = ops.OneHot()

    def construct(self, logits: Tensor, labels: Tensor) -> Tensor:
        log_probs = self.log_softmax(logits.astype(ms.float32))  # (B, K)
        num_classes = logits.shape[1]
        off = self.label_smoothing / num_classes
        on = 1.0 - self.label_smoothing + off
        if labels.ndim == 1:
            on, off = Tensor(on, ms.float32), Tensor(off, ms.float32)
            target = self.one_hot(labels, num_classes, on, off)  # (B, K)
        else:
            target = labels.astype(ms.float32)
            if self.label_smoothing > 0.0:
                target = target * (1.0 - self.label_smoothing) + off
        return -(target * log_probs).sum(-1).mean()
