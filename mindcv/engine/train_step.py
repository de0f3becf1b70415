"""One training step for both modes: Graph compiles the Cell, Pynative runs it operator by operator."""

from collections.abc import Callable

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops

_accumulate = ops.MultitypeFuncGraph("accumulate")


@_accumulate.register("Tensor", "Tensor")
def _add_to_sum(total: Tensor, gradient: Tensor) -> Tensor:
    return ops.assign_add(total, gradient)


_reset = ops.MultitypeFuncGraph("reset")


@_reset.register("Tensor")
def _set_to_zero(total: Tensor) -> Tensor:
    return ops.assign(total, ops.zeros_like(total))


class TrainStep(nn.Cell):
    """Forward, backward and update: (B, C, H, W) images and labels -> the batch's loss, and whether all was finite.

    Args:
        network: images -> logits.
        loss: (logits, labels) -> mean loss.
        optimizer: applied to the gradients of its own parameters.
        clip_norm: largest global L2 norm of the gradients of one update; None leaves them as they are.
        accumulate_steps: number of calls whose gradients are averaged into one update. The optimizer, its learning rate
            and clipping see updates only: k batches of n give what one batch of k * n gives, batch norm aside.
        guard: leave everything as it was when a number went bad.

    Returns:
        The loss, () float32, and `finite`, () bool.
    """

    def __init__(
        self,
        network: nn.Cell,
        loss: Callable[[Tensor, Tensor], Tensor],
        optimizer: nn.Optimizer,
        *,
        clip_norm: float | None = None,
        accumulate_steps: int = 1,
        guard: bool = False,
    ) -> None:
        super().__init__(auto_prefix=False)  # wrapping must not rename the network's parameters
        self.network = network
        self.loss = loss
        self.optimizer = optimizer
        self.clip_norm = clip_norm
        self.accumulate_steps = accumulate_steps
        self.guard = guard
        self.loss_and_gradients = ms.value_and_grad(self._forward, None, optimizer.parameters)
        if accumulate_steps > 1:
            self.map = ops.HyperMap()
            self.sums = optimizer.parameters.clone("gradient_sum", init="zeros")
            self.calls = Parameter(Tensor(0, ms.int32), name="accumulated_calls", requires_grad=False)

    def _forward(self, images: Tensor, labels: Tensor) -> Tensor:
        return self.loss(self.network(images), labels)

    def construct(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        loss, gradients = self.loss_and_gradients(images, labels)
        finite = ops.isfinite(loss)
        if self.accumulate_steps == 1:
            return ops.depend(loss, self._update(gradients)), finite
        scaled = ()
        for gradient in gradients:
            scaled += (gradient * (1.0 / self.accumulate_steps),)
        loss = ops.depend(loss, self.map(_accumulate, self.sums, scaled))
        loss = ops.depend(loss, ops.assign_add(self.calls, Tensor(1, ms.int32)))
        if self.calls % self.accumulate_steps == 0:
            loss = ops.depend(loss, self._update(self.sums))
            loss = ops.depend(loss, self.map(_reset, self.sums))
        return loss, finite

    def _update(self, gradients: tuple[Tensor, ...]) -> Tensor:
        if self.clip_norm is not None:
            gradients = ops.clip_by_global_norm(gradients, self.clip_norm)
        return self.optimizer(gradients)
