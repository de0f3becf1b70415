"""One training step: gradients, a check that they are finite, and the update.

Graph mode compiles `TrainStep` into one graph, Pynative mode runs it line by line. `DeviceStep` is its form for
accelerators.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import mindspore as ms
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from mindcv.checkpoint import weight_parameters
from mindcv.distributed import ALONE, World
from mindcv.engine.averaging import WeightAverage
from mindcv.engine.clipping import Clip
from mindcv.engine.loss_scale import LossScale
from mindcv.engine.sharing import Sharing
from mindcv.optim.optimizer import write

CLOSED = "closed"  # the name of a flag of `DeviceStep`
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)

_sum_rows = ops.MultitypeFuncGraph("sum_rows")


@_sum_rows.register("Tensor")
def _sum_rows_of_one(gradient: Tensor) -> Tensor:
    return gradient.reshape((gradient.shape[0], -1)).sum(-1) if gradient.ndim > 1 else gradient


_add = ops.MultitypeFuncGraph("add")


@_add.register("Number", "Tensor", "Tensor")
def _add_scaled(scale: float, total: Tensor, gradient: Tensor) -> Tensor:
    return ops.assign_add(total, gradient * scale)


_reset = ops.MultitypeFuncGraph("reset")


@_reset.register("Tensor")
def _set_to_zero(total: Tensor) -> Tensor:
    return ops.assign(total, ops.zeros_like(total))


class StepResult(NamedTuple):
    """Outcome of one call of the training step.

    Attributes:
        loss: () float32.
        finite: () bool, whether loss, gradients and running statistics were finite.
        updated: () bool, whether the optimizer was called.
        overflow: () bool, whether only the loss scale was too large, which makes it no bad step.
    """

    loss: Tensor
    finite: Tensor
    updated: Tensor
    overflow: Tensor


class SharedResult(NamedTuple):
    """`StepResult` of one of several processes, the same in all of them.

    Attributes:
        stops: () bool, whether any process has asked to stop.
    """

    loss: Tensor
    finite: Tensor
    updated: Tensor
    overflow: Tensor
    stops: Tensor


class TrainStep(nn.Cell):
    """Forward, backward and update: (B, C, H, W) images and labels -> `StepResult`.

    A call with NaN or infinity in its loss, a gradient or a batch norm statistic changes nothing: parameters,
    statistics, optimizer states (with the count of updates) and accumulated gradients stay bit-identical. Only the
    counters of calls increase: `accumulated_calls`, and the `draws` of drop layers. With accumulation, such a batch is
    left out of its update: the other batches' gradients are still divided by `accumulate_steps`, and the update comes
    after the same call as usual, or not at all if no batch is left.

    Args:
        network: images -> logits.
        loss: (logits, labels) -> mean loss.
        optimizer: applied to the gradients of its own parameters.
        clip: limits the gradients of one update; None does not clip.
        accumulate_steps: number of calls whose gradients are averaged into one update. Optimizer, learning rate,
            clipping and average work on updates: k batches of n give the same as one batch of k * n, except for batch
            norm.
        loss_scale: for gradients in float16; None scales nothing.
        average: of the weights after each update; None for none.
        world: the processes that train together, each on batches of its own: loss, gradients and running statistics
            are means over them.
    """

    lag = 0  # calls that may be sent before the result of one is read

    def __init__(
        self,
        network: nn.Cell,
        loss: Callable[[Tensor, Tensor], Tensor],
        optimizer: nn.Optimizer,
        *,
        clip: Clip | None = None,
        accumulate_steps: int = 1,
        loss_scale: LossScale | None = None,
        average: WeightAverage | None = None,
        world: World = ALONE,
    ) -> None:
        super().__init__(auto_prefix=False)  # wrapping must not rename the network's parameters
        self.network = network
        self.loss = loss
        self.optimizer = optimizer
        self.clip = clip
        self.accumulate_steps = accumulate_steps
        self.loss_scale = loss_scale
        self.average = average
        self.map = ops.HyperMap()
        self.loss_and_gradients = ms.value_and_grad(self._forward, None, optimizer.parameters)
        norms = [cell for _, cell in network.cells_and_names() if isinstance(cell, _BATCH_NORMS)]
        self.statistics = _statistics(norms)
        self.sharing = (
            Sharing(world, optimizer.parameters, _statistics(norms, frozen=False)) if world.size > 1 else None
        )
        if accumulate_steps > 1:
            self.sums = optimizer.parameters.clone("gradient_sum", init="zeros")
            self.calls = Parameter(Tensor(0, ms.int32), name="accumulated_calls", requires_grad=False)
            self.added = Parameter(Tensor(0, ms.int32), name="gradient_sum.batches", requires_grad=False)

    @property
    def updates(self) -> int:
        """Number of optimizer calls, the position in its list of learning rates."""
        return int(self.optimizer.global_step.asnumpy()[0])

    @property
    def measured(self) -> dict[str, Parameter]:
        """The weights that are validated and saved, by the names of the network: the averages, if there are any."""
        return self.average.parameters() if self.average is not None else weight_parameters(self.network)

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Have the measured weights in the network."""
        if self.average is not None:
            with self.average.in_network():
                yield
        else:
            yield

    def ask_to_stop(self) -> None:
        """Tell the other processes in the next call, whose result then says so in all of them."""
        if self.sharing is not None:
            self.sharing.ask_to_stop()

    def reopen(self, void: int = 0) -> None:
        """Go on after a call that was not finite, with `void` calls sent after it; here it has left nothing."""
        assert void == 0, "this step decides before the next call"

    def __call__(self, images: Tensor, labels: Tensor) -> StepResult | SharedResult:
        return self._result(super().__call__(images, labels))

    def construct(self, images: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        before = self._copy_statistics()  # the forward pass overwrites them
        loss, gradients, *stops = self._differentiate(ops.depend(images, before), labels)
        if self.loss_scale is not None:
            loss, gradients = self.loss_scale.unscale(loss, gradients)
        finite, overflow = self._check(loss, gradients)
        if self.accumulate_steps == 1:
            if finite:
                self._update(gradients)
            else:
                self._restore(before)
            return loss, finite, finite, overflow, *stops

        if finite:
            self._accumulate(gradients)
        else:
            self._restore(before)
        calls = ops.assign_add(self.calls, Tensor(1, ms.int32))
        updated = ops.logical_and(calls % self.accumulate_steps == 0, self.added > 0)
        if updated:
            self._update(self.sums)
            self._reset_sums()
        return loss, finite, updated, overflow, *stops

    def _result(self, outputs: tuple[Tensor, ...]) -> StepResult | SharedResult:
        return StepResult(*outputs) if self.sharing is None else SharedResult(*outputs)

    def _differentiate(self, images: Tensor, labels: Tensor) -> tuple[Any, ...]:
        """Loss and gradients; of several processes their means, and whether any asks to stop."""
        loss, gradients = self.loss_and_gradients(images, labels)
        return (loss, gradients) if self.sharing is None else self.sharing(loss, gradients)

    def _forward(self, images: Tensor, labels: Tensor) -> Tensor:
        loss = self.loss(self.network(images), labels)
        return loss if self.loss_scale is None else self.loss_scale(loss)

    def _check(self, loss: Tensor, gradients: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Whether all numbers are finite, and whether only the loss scale was too large."""
        # A sum is not finite if one of its numbers is not. Sums over rows: one over everything, or isfinite on every
        # number, takes a CPU two to five times as long. HyperMap: a loop takes twice as long to compile.
        sums = self.map(_sum_rows, gradients)
        forward = (loss.reshape((1,)), *self.statistics)
        if self.loss_scale is None:
            finite = ops.isfinite(ops.concat((*forward, *sums))).all()
            return finite, ops.zeros_like(finite)
        forward_is_finite = ops.isfinite(ops.concat(forward)).all()
        gradients_are_finite = ops.isfinite(ops.concat(sums)).all()
        finite = ops.logical_and(forward_is_finite, gradients_are_finite)
        overflow = self.loss_scale.is_overflow(forward_is_finite, gradients_are_finite)
        self.loss_scale.adjust(finite, overflow)
        return finite, overflow

    def _update(self, gradients: tuple[Tensor, ...]) -> None:
        if self.clip is not None:
            gradients = self.clip(gradients)
        self.optimizer(gradients)
        if self.average is not None:
            self.average(self.optimizer.global_step)

    def _accumulate(self, gradients: tuple[Tensor, ...]) -> None:
        self.map(ops.partial(_add, 1.0 / self.accumulate_steps), self.sums, gradients)
        ops.assign_add(self.added, Tensor(1, ms.int32))

    def _reset_sums(self) -> None:
        self.map(_reset, self.sums)
        ops.assign(self.added, Tensor(0, ms.int32))

    def _copy_statistics(self) -> Tensor:
        # One operator makes one copy of all.
        return ops.concat(self.statistics) if self.statistics else ops.zeros((1,), ms.float32)

    def _restore(self, before: Tensor, applies: Tensor | None = None) -> None:
        start = 0
        for statistic in self.statistics:
            write(statistic, before[start : start + statistic.shape[0]], applies)
            start += statistic.shape[0]


def _statistics(norms: Sequence[nn.Cell], *, frozen: bool = True) -> ParameterTuple:
    """The running means and variances of batch norms, without those of frozen ones if `frozen` is false."""
    chosen = [norm for norm in norms if frozen or norm.use_batch_statistics is not False]
    return ParameterTuple([s for norm in chosen for s in (norm.moving_mean, norm.moving_variance)])
