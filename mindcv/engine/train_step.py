"""One training step for both modes: Graph compiles the Cell, Pynative runs it operator by operator."""

from collections.abc import Callable

import mindspore as ms
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)

_accumulate = ops.MultitypeFuncGraph("accumulate")


@_accumulate.register("Tensor", "Tensor")
def _add_to_sum(total: Tensor, gradient: Tensor) -> Tensor:
    return ops.assign_add(total, gradient)


_reset = ops.MultitypeFuncGraph("reset")


@_reset.register("Tensor")
def _set_to_zero(total: Tensor) -> Tensor:
    return ops.assign(total, ops.zeros_like(total))


# Scales numbers down so far that the sum of all finite ones in a tensor is finite, too.
_SHRINK = 2.0**-40


class TrainStep(nn.Cell):
    """Forward, backward and update: (B, C, H, W) images and labels -> the batch's loss, and whether all is finite.

    With `guard`, a call with a NaN or an infinity in its loss, a gradient or a batch norm statistic leaves no trace:
    parameters, statistics, optimizer states (with the count of updates) and accumulated gradients keep their bits. Only
    calls are counted: `accumulated_calls` here, and the `draws` of drop layers. With accumulation, such a batch is left
    out of its update: that comes after the same call as ever, from the other batches' gradients divided by
    `accumulate_steps`, or not at all if there are none.

    Args:
        network: images -> logits.
        loss: (logits, labels) -> mean loss.
        optimizer: applied to the gradients of its own parameters.
        clip_norm: largest global L2 norm of the gradients of one update; None leaves them as they are.
        accumulate_steps: number of calls whose gradients are averaged into one update. The optimizer, its learning rate
            and clipping see updates only: k batches of n give what one batch of k * n gives, batch norm aside.
        guard: undo calls that are not finite. Changes no bit of those that are.

    Returns:
        loss: () float32.
        finite: () bool. Without `guard` it tells of the loss only, which can be finite although an input is not: ReLU
            may make 0 of NaN (it does on a CPU).
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
        self.map = ops.HyperMap()
        if accumulate_steps > 1:
            self.sums = optimizer.parameters.clone("gradient_sum", init="zeros")
            self.calls = Parameter(Tensor(0, ms.int32), name="accumulated_calls", requires_grad=False)
            self.added = Parameter(Tensor(0, ms.int32), name="gradient_sum.batches", requires_grad=False)
        norms = [cell for _, cell in network.cells_and_names() if isinstance(cell, _BATCH_NORMS)]
        self.statistics = ParameterTuple([s for norm in norms for s in (norm.moving_mean, norm.moving_variance)])

    def _forward(self, images: Tensor, labels: Tensor) -> Tensor:
        return self.loss(self.network(images), labels)

    def construct(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        if self.guard:
            loss, finite = self._guarded(images, labels)
        else:
            loss, gradients = self.loss_and_gradients(images, labels)
            finite = ops.isfinite(loss)
            loss = ops.depend(loss, self._take(gradients))
        if self.accumulate_steps == 1:
            return loss, finite
        loss = ops.depend(loss, ops.assign_add(self.calls, Tensor(1, ms.int32)))
        if self.calls % self.accumulate_steps == 0 and self.added > 0:
            loss = ops.depend(loss, self._update(self.sums))
            loss = ops.depend(loss, self.map(_reset, self.sums))
            loss = ops.depend(loss, ops.assign(self.added, Tensor(0, ms.int32)))
        return loss, finite

    def _guarded(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        # The forward pass overwrites the statistics: concatenating them makes a copy in one operator.
        before = ops.concat(self.statistics) if self.statistics else images
        loss, gradients = self.loss_and_gradients(ops.depend(images, before), labels)
        finite = self._all_finite(loss, gradients)
        loss = ops.depend(loss, self._take(gradients)) if finite else ops.depend(loss, self._restore(before))
        return loss, finite

    def _all_finite(self, loss: Tensor, gradients: tuple[Tensor, ...]) -> Tensor:
        parts = (loss.reshape((1,)),)
        for gradient in gradients:
            # Sums over rows: one over everything, or isfinite on every number, takes a CPU twice to five times as long.
            rows = gradient.reshape((gradient.shape[0], -1)) if gradient.ndim > 1 else gradient.reshape((-1, 1))
            parts += ((rows * _SHRINK).sum(-1),)
        for statistic in self.statistics:
            parts += (statistic,)
        return ops.isfinite(ops.concat(parts)).all()

    def _restore(self, before: Tensor) -> Tensor:
        start = 0
        for statistic in self.statistics:
            before = ops.depend(before, ops.assign(statistic, before[start : start + statistic.shape[0]]))
            start += statistic.shape[0]
        return before

    def _take(self, gradients: tuple[Tensor, ...]) -> Tensor:
        if self.accumulate_steps == 1:
            return self._update(gradients)
        scaled = ()
        for gradient in gradients:
            scaled += (gradient * (1.0 / self.accumulate_steps),)
        return ops.depend(ops.assign_add(self.added, Tensor(1, ms.int32)), self.map(_accumulate, self.sums, scaled))

    def _update(self, gradients: tuple[Tensor, ...]) -> Tensor:
        if self.clip_norm is not None:
            gradients = ops.clip_by_global_norm(gradients, self.clip_norm)
        return self.optimizer(gradients)
