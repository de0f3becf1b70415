"""The loss of networks with auxiliary classifiers."""

from mindspore import Tensor, nn

from mindcv.arguments import AUX_FACTOR


class WithAuxiliary(nn.Cell):
    """The loss of a network's logits, plus a share of the loss of each auxiliary classifier's.

    Args:
        loss: (logits, labels) -> ().
        aux_factor: factor of the auxiliary losses, >= 0.

    Inputs:
        logits: a tuple of (B, K): the network's, then the auxiliary ones, as it returns them in training.
        labels: those of `loss`.

    Outputs:
        () float32.

    Raises:
        ValueError: if `aux_factor` is negative; when called, if there are no auxiliary logits.

    Source: Szegedy et al. 2015 (Going Deeper with Convolutions), section 5.
    """

    def __init__(self, loss: nn.Cell, aux_factor: float) -> None:
        super().__init__()
        AUX_FACTOR.check(aux_factor)
        self.loss = loss
        self.aux_factor = float(aux_factor)

    def construct(self, logits: tuple[Tensor, ...], labels: Tensor) -> Tensor:
        if not isinstance(logits, tuple):
            raise ValueError("aux_factor above 0 needs a network with auxiliary logits; this one has none: set it to 0")
        total = self.loss(logits[0], labels)
        for auxiliary in logits[1:]:
            total = total + self.aux_factor * self.loss(auxiliary, labels)
        return total
