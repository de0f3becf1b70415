"""Loss scaling: keeps the small gradients of float16 from becoming zero."""

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops

from mindcv.arguments import LOSS_SCALE, LOSS_SCALE_TYPE

FIRST = 2.0**16
LARGEST = 2.0**24
WINDOW = 2000  # steps without overflow before the scale is doubled

_unscale = ops.MultitypeFuncGraph("unscale")


@_unscale.register("Tensor", "Tensor")
def _unscale_one(factor: Tensor, gradient: Tensor) -> Tensor:
    return gradient * factor


class LossScale(nn.Cell):
    """Multiplies the loss before the backward pass and divides the gradients after it.

    A dynamic scale is halved by an overflow, down to 1, and doubled after 2,000 steps without one, up to 2^24. Scales
    are powers of two, so that only an overflow or underflow changes a gradient.

    Args:
        scale: the first scale, at least 1.
        dynamic: whether it changes.
        skips_overflow: whether a step is left out, without counting as a bad step, if scaled gradients overflow; True
            for a dynamic scale.

    Source: Micikevicius et al. 2018, "Mixed Precision Training", section 3.2.
    """

    def __init__(self, scale: float, *, dynamic: bool, skips_overflow: bool) -> None:
        super().__init__(auto_prefix=False)
        self.dynamic = dynamic
        self.skips_overflow = skips_overflow or dynamic
        if dynamic:
            self.value = Parameter(Tensor(scale, ms.float32), name="loss_scale", requires_grad=False)
            self.good = Parameter(Tensor(0, ms.int32), name="loss_scale.good_steps", requires_grad=False)
        else:
            self.value = Tensor(scale, ms.float32)
        self.one, self.zero = Tensor(1, ms.float32), Tensor(0, ms.int32)
        self.map = ops.HyperMap()

    def construct(self, loss: Tensor) -> Tensor:
        """The scaled loss."""
        return loss * self.value

    def unscale(self, loss: Tensor, gradients: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The loss and the gradients without the scale."""
        factor = self.one / self.value
        return loss * factor, self.map(ops.partial(_unscale, factor), gradients)

    def is_overflow(self, loss_is_finite: Tensor, gradients_are_finite: Tensor) -> Tensor:
        """Whether a smaller scale may help: gradients that are not finite, of a finite loss, at a scale above 1."""
        overflow = ops.logical_and(loss_is_finite, ops.logical_not(gradients_are_finite))
        # The smallest dynamic scale cannot be halved: then the gradients themselves are not finite.
        return ops.logical_and(overflow, self.value > self.one) if self.skips_overflow else ops.zeros_like(overflow)

    def adjust(self, finite: Tensor, overflow: Tensor) -> None:
        """Count a step, and change the scale if it is due; a bad step changes nothing."""
        if not self.dynamic:
            return
        good = self.good + finite.astype(ms.int32)
        grows = good >= WINDOW
        halved = ops.maximum(self.value * 0.5, self.one)
        doubled = ops.minimum(self.value * 2.0, Tensor(LARGEST, ms.float32))
        scale = ops.select(overflow, halved, ops.select(grows, doubled, self.value.value()))
        ops.assign(self.good, ops.select(ops.logical_or(overflow, grows), self.zero, good))
        ops.assign(self.value, scale)


def create_loss_scale(
    kind: str, scale: float | None, amp_level: str, amp_dtype: str, *, skips_overflow: bool
) -> LossScale | None:
    """The loss scale for a level of mixed precision; None if there is nothing to scale.

    Args:
        kind: "fixed", "dynamic", or "auto": fixed if `scale` is given, else dynamic for float16 and none for bfloat16,
            which has the range of float32.
        scale: fixed, or the first of a dynamic one; None: 1, or 65536 if it is dynamic.
        amp_level, amp_dtype: as for `mindcv.models.set_precision`.
        skips_overflow: see `LossScale`.
    Raises:
        ValueError: if an argument is out of its range.
    """
    LOSS_SCALE_TYPE.check(kind)
    LOSS_SCALE.check(scale)
    if amp_level == "O0" or (kind == "auto" and scale is None and amp_dtype == "bfloat16"):
        return None
    dynamic = kind == "dynamic" or (kind == "auto" and scale is None)
    first = scale if scale is not None else FIRST if dynamic else 1.0
    return LossScale(first, dynamic=dynamic, skips_overflow=skips_overflow)
