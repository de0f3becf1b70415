"""One training step for both modes: Graph compiles its cells, Pynative runs them operator by operator.

What is to be decided on the way (were all numbers finite, is an update due) is decided in Python, between graphs that
have no branches.
"""

from collections.abc import Callable
from typing import NamedTuple

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


_row_sums = ops.MultitypeFuncGraph("row_sums")


@_row_sums.register("Tensor")
def _sum_rows(gradient: Tensor) -> Tensor:
    # Not finite if one of the numbers is not. Sums over rows: one over everything, or isfinite on every number, takes a
    # CPU twice to five times as long.
    return gradient.reshape((gradient.shape[0], -1)).sum(-1) if gradient.ndim > 1 else gradient


class StepResult(NamedTuple):
    """Outcome of one call of the training step.

    Attributes:
        loss: () float32.
        finite: () bool. Without `guard` it tells of the loss only, which can be finite although an input is not: ReLU
            may make 0 of NaN (it does on a CPU).
        updated: whether the optimizer was called.
    """

    loss: Tensor
    finite: Tensor
    updated: bool


class TrainStep(nn.Cell):
    """Forward, backward and update: (B, C, H, W) images and labels -> `StepResult`.

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
        self.optimizer = optimizer
        self.accumulate_steps = accumulate_steps
        self.guard = guard
        self.backward = _Backward(network, loss, optimizer, guard=guard)
        self.update = _Update(optimizer, clip_norm)
        if guard:
            self.restore = _Restore(self.backward.statistics)
        if accumulate_steps > 1:
            self.sums = optimizer.parameters.clone("gradient_sum", init="zeros")
            self.calls = Parameter(Tensor(0, ms.int32), name="accumulated_calls", requires_grad=False)
            self.added = Parameter(Tensor(0, ms.int32), name="gradient_sum.batches", requires_grad=False)
            self.accumulate = _Accumulate(self.sums, self.added, 1.0 / accumulate_steps)
            self.update_from_sums = _UpdateFromSums(self.sums, self.added, self.update)
            self.count = _Count(self.calls)

    @property
    def updates(self) -> int:
        """How often the optimizer was called: the position in its list of learning rates."""
        return int(self.optimizer.global_step.asnumpy()[0])

    def __call__(self, images: Tensor, labels: Tensor) -> StepResult:
        loss, finite, before, *gradients = self.backward(images, labels)
        updated = False
        if self.guard and not finite.asnumpy():
            self.restore(before)
        elif self.accumulate_steps == 1:
            self.update(*gradients)
            updated = True
        else:
            self.accumulate(*gradients)
        if self.accumulate_steps > 1 and self.count() % self.accumulate_steps == 0 and self.added.asnumpy() > 0:
            self.update_from_sums()
            updated = True
        return StepResult(loss, finite, updated)


class _Backward(nn.Cell):
    """Images and labels -> loss, whether all is finite, the batch norm statistics from before, every gradient."""

    def __init__(self, network: nn.Cell, loss: Callable, optimizer: nn.Optimizer, *, guard: bool) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        self.loss = loss
        self.guard = guard
        self.map = ops.HyperMap()
        self.loss_and_gradients = ms.value_and_grad(self._forward, None, optimizer.parameters)
        norms = [cell for _, cell in network.cells_and_names() if isinstance(cell, _BATCH_NORMS)]
        self.statistics = ParameterTuple([s for norm in norms for s in (norm.moving_mean, norm.moving_variance)])

    def _forward(self, images: Tensor, labels: Tensor) -> Tensor:
        return self.loss(self.network(images), labels)

    def construct(self, images: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        if not self.guard:
            loss, gradients = self.loss_and_gradients(images, labels)
            finite = ops.isfinite(loss)
            return (loss, finite, finite, *gradients)
        # The forward pass overwrites the statistics: concatenating them makes a copy in one operator.
        before = ops.concat(self.statistics) if self.statistics else ops.zeros((1,), ms.float32)
        loss, gradients = self.loss_and_gradients(ops.depend(images, before), labels)
        return (loss, self._all_finite(loss, gradients), before, *gradients)

    def _all_finite(self, loss: Tensor, gradients: tuple[Tensor, ...]) -> Tensor:
        # By HyperMap: a loop that appends to a tuple makes sknet50 compile twice as long.
        parts = self.map(_row_sums, gradients)
        return ops.isfinite(ops.concat((loss.reshape((1,)), *parts, *self.statistics))).all()


class _Restore(nn.Cell):
    """Put the statistics back that `_Backward` returned."""

    def __init__(self, statistics: ParameterTuple) -> None:
        super().__init__(auto_prefix=False)
        self.statistics = statistics

    def construct(self, before: Tensor) -> Tensor:
        start = 0
        for statistic in self.statistics:
            before = ops.depend(before, ops.assign(statistic, before[start : start + statistic.shape[0]]))
            start += statistic.shape[0]
        return before


class _Update(nn.Cell):
    """Clip the gradients and apply them."""

    def __init__(self, optimizer: nn.Optimizer, clip_norm: float | None) -> None:
        super().__init__(auto_prefix=False)
        self.optimizer = optimizer
        self.clip_norm = clip_norm

    def construct(self, *gradients: Tensor) -> Tensor:
        if self.clip_norm is not None:
            gradients = ops.clip_by_global_norm(gradients, self.clip_norm)
        return self.optimizer(gradients)


class _Accumulate(nn.Cell):
    """Add `scale` times the gradients to their sums, and one to the number of batches in these."""

    def __init__(self, sums: ParameterTuple, added: Parameter, scale: float) -> None:
        super().__init__(auto_prefix=False)
        self.sums, self.added, self.scale = sums, added, scale
        self.map = ops.HyperMap()

    def construct(self, *gradients: Tensor) -> Tensor:
        scaled = ()
        for gradient in gradients:
            scaled += (gradient * self.scale,)
        return ops.depend(ops.assign_add(self.added, Tensor(1, ms.int32)), self.map(_accumulate, self.sums, scaled))


class _UpdateFromSums(nn.Cell):
    """Apply the sums and set them to zero."""

    def __init__(self, sums: ParameterTuple, added: Parameter, update: _Update) -> None:
        super().__init__(auto_prefix=False)
        self.sums, self.added, self.update = sums, added, update
        self.map = ops.HyperMap()

    def construct(self) -> Tensor:
        zero = ops.depend(Tensor(0, ms.int32), self.update(*self.sums))
        zero = ops.depend(zero, self.map(_reset, self.sums))
        return ops.assign(self.added, zero)


class _Count(nn.Cell):
    """One more call; their number."""

    def __init__(self, calls: Parameter) -> None:
        super().__init__(auto_prefix=False)
        self.calls = calls

    def construct(self) -> Tensor:
        return ops.assign_add(self.calls, Tensor(1, ms.int32))
