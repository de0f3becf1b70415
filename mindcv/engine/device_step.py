"""The training step of accelerators: one graph without control flow, whose result the host may read later.

Where the host decides, a GPU waits for it in every step; and where a graph reads batch norm statistics before and after
they change, MindSpore copies each of them twice.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops

from mindcv.checkpoint import COUNTER_SUFFIX
from mindcv.engine.train_step import CLOSED, SharedResult, StepResult, TrainStep
from mindcv.optim.optimizer import Optimizer, write
from mindcv.runtime import on_cpu, on_gpu

_flatten = ops.MultitypeFuncGraph("flatten")
_add_where = ops.MultitypeFuncGraph("add_where")
_clear_where = ops.MultitypeFuncGraph("clear_where")


@_flatten.register("Tensor")
def _flatten_one(array: Tensor) -> Tensor:
    return array.reshape((-1,))


@_add_where.register("Number", "Tensor", "Tensor", "Tensor")
def _add_one(scale: float, skips: Tensor, total: Tensor, gradient: Tensor) -> Tensor:
    return ops.assign_add(total, ops.masked_fill(gradient, skips, Tensor(0, ms.float32)) * scale)


@_clear_where.register("Tensor", "Tensor")
def _clear_one(clears: Tensor, total: Tensor) -> Tensor:
    return ops.assign(total, ops.masked_fill(total, clears, Tensor(0, ms.float32)))


class DeviceStep(TrainStep):
    """`TrainStep` where the device alone decides whether an update applies; the host may read the result a call later.

    A call with NaN or infinity changes no weight, optimizer state, accumulated gradient or average, and closes the
    step: later calls change nothing either, whatever their batches. It does leave its batch norm statistics, and later
    calls leave theirs and their `draws`; `reopen` undoes both. So the host may send calls before it has read the result
    of the one before, and repeat those after a bad one:

        result = step(images, labels); another = step(more_images, more_labels)
        if not result.finite: step.reopen(void=1), and train on the second batch again

    In float32 on a CPU numbers are `TrainStep`'s to the last bit, except that a call without an update may make a
    positive zero of a negative one, and that gradients count as finite if each number is: `TrainStep` looks at sums
    over rows, which overflow near 1e38. With accumulation, the optimizer's operators run in every call.

    Args: as for `TrainStep`. An optimizer of another package runs on a copy of its state that is written back.
    """

    lag = 1

    def __init__(
        self,
        network: nn.Cell,
        loss: Callable[[Tensor, Tensor], Tensor],
        optimizer: nn.Optimizer,
        **options: Any,
    ) -> None:
        super().__init__(network, loss, optimizer, **options)
        self.closed = Parameter(Tensor(False), name=CLOSED, requires_grad=False)
        self.update_where = optimizer if isinstance(optimizer, Optimizer) else Undoing(optimizer)
        self.counters = [p for p in network.get_parameters() if p.name.endswith(COUNTER_SUFFIX)]
        self.status = ops.FloatStatus() if on_gpu() else None
        self.snapshot = _Snapshot(self.statistics)
        self._before: deque[Tensor] = deque(maxlen=self.lag + 1)  # the statistics before each of the last calls

    def __call__(self, images: Tensor, labels: Tensor) -> StepResult | SharedResult:
        before = self.snapshot()
        self._before.append(before)
        return self._result(nn.Cell.__call__(self, images, labels, before))

    def reopen(self, void: int = 0) -> None:
        """Undo what a call that was not finite has left, and the `void` calls after it."""
        self._restore(self._before[-1 - void])
        for counter in self.counters if void else ():
            ops.assign(counter, Tensor(counter.asnumpy().item() - void, ms.int32))
        ops.assign(self.closed, Tensor(False))

    def construct(self, images: Tensor, labels: Tensor, before: Tensor | None = None) -> tuple[Tensor, ...]:
        loss, gradients, *stops = self._differentiate(images, labels)
        if self.loss_scale is not None:
            loss, gradients = self.loss_scale.unscale(loss, gradients)
        is_open = ops.logical_not(self.closed)
        finite, overflow = self._check_where(is_open, loss, gradients)
        updated = finite
        if self.accumulate_steps > 1:
            self.map(
                ops.partial(_add_where, 1.0 / self.accumulate_steps, ops.logical_not(finite)), self.sums, gradients
            )
            ops.assign_add(self.added, finite.astype(ms.int32))
            calls = ops.assign_add(self.calls, is_open.astype(ms.int32))
            due = ops.logical_and(calls % self.accumulate_steps == 0, self.added > 0)
            updated, gradients = ops.logical_and(is_open, due), self.sums
        if self.clip is not None:
            gradients = self.clip(gradients)
        self.update_where(gradients, updated)
        if self.average is not None:
            if self.accumulate_steps > 1:  # an update of other calls' gradients may come in a bad one
                self._restore(before, ops.logical_not(finite))
            self.average(self.optimizer.global_step, updated)
        if self.accumulate_steps > 1:
            self.map(ops.partial(_clear_where, updated), self.sums)
            write(self.added, Tensor(0, ms.int32), updated)
        ops.assign(self.closed, ops.logical_not(finite))
        return loss, finite, updated, overflow, *stops

    def _check_where(self, is_open: Tensor, loss: Tensor, gradients: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Like `_check`; neither is true if the step is closed."""
        forward, backward = (loss.reshape((1,)), *self.statistics), self.map(_flatten, gradients)
        if self.loss_scale is None:
            finite = ops.logical_and(is_open, self._is_finite((*forward, *backward)))
            return finite, ops.zeros_like(finite)
        forward_is_finite = ops.logical_and(is_open, self._is_finite(forward))
        gradients_are_finite = self._is_finite(backward)
        finite = ops.logical_and(forward_is_finite, gradients_are_finite)
        overflow = self.loss_scale.is_overflow(forward_is_finite, gradients_are_finite)
        self.loss_scale.adjust(finite, overflow)
        return finite, overflow

    def _is_finite(self, vectors: tuple[Tensor, ...]) -> Tensor:
        # Three operators for all arrays; on a GPU each operator takes about as long as reading a million numbers.
        numbers = ops.concat(vectors)
        return ops.isfinite(numbers).all() if self.status is None else (self.status(numbers) == 0.0).reshape(())


class _Snapshot(nn.Cell):
    """A copy of the batch norm statistics, in a graph of its own that changes none of them."""

    def __init__(self, statistics: ms.ParameterTuple) -> None:
        super().__init__(auto_prefix=False)
        self.statistics = statistics

    def construct(self) -> Tensor:
        return ops.concat(self.statistics) if self.statistics else Tensor([0.0], ms.float32)


class Undoing(nn.Cell):
    """Any `nn.Optimizer`, with the `applies` of `mindcv.optim.optimizer.Optimizer`: it runs, and is undone."""

    def __init__(self, optimizer: nn.Optimizer) -> None:
        super().__init__(auto_prefix=False)
        self.optimizer = optimizer
        state = [
            p for p in optimizer.get_parameters() if not p.name.startswith("learning_rate") and p.name != "momentum"
        ]
        self.numbers = ms.ParameterTuple([p for p in state if p.dtype == ms.float32])
        assert len(self.numbers) == len(state) - 1, "all but the count of updates are float32"
        self.map = ops.HyperMap()

    def construct(self, gradients: tuple[Tensor, ...], applies: Tensor) -> None:
        step = self.optimizer.global_step
        count, before = step + 0, ops.concat(self.map(_flatten, self.numbers))
        self.optimizer(ops.depend(gradients, (count, before)))
        start = 0
        for number in self.numbers:
            write(number, before[start : start + number.size].reshape(number.shape), ops.logical_not(applies))
            start += number.size
        write(step, count, ops.logical_not(applies))


def step_for_device(guard: str = "auto") -> type[TrainStep]:
    """The training step whose steps with NaN or infinity are noticed by the "host", on the "device", or where it suits.

    "auto" is the host on a CPU, which computes there anyway, and the device on a GPU and Ascend.
    """
    if guard == "auto":
        guard = "host" if on_cpu() else "device"
    return {"host": TrainStep, "device": DeviceStep}[guard]
