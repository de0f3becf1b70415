"""Exponential moving average (EMA) of the weights."""

from collections.abc import Iterator
from contextlib import contextmanager

import mindspore as ms
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from mindcv.arguments import EMA_DECAY, EMA_WARMUP
from mindcv.checkpoint import weight_parameters
from mindcv.optim.optimizer import write

_average = ops.MultitypeFuncGraph("average")


@_average.register("Tensor", "Tensor", "Tensor")
def _average_one(share: Tensor, average: Tensor, weight: Tensor) -> Tensor:
    return ops.assign_add(average, (weight - average) * share)


_average_where = ops.MultitypeFuncGraph("average_where")


@_average_where.register("Tensor", "Tensor", "Tensor", "Tensor")
def _average_one_where(applies: Tensor, share: Tensor, average: Tensor, weight: Tensor) -> Tensor:
    return write(average, average + (weight - average) * share, applies)


class WeightAverage(nn.Cell):
    """Averages every weight and running statistic of a network over its updates.

    After update t = 1, 2, ...: average = d average + (1 - d) weight, with d = decay * (1 - exp(-t / warmup)).

    Args:
        network: with its first weights, which are the first averages.
        decay: in (0, 1).
        warmup: updates in which the decay rises to 63 % of `decay`, so that the first weights are soon forgotten; 0: it
            is constant.

    Raises:
        ValueError: if an argument is out of its range.

    Source: the average is Polyak's and Ruppert's (Tan & Le 2019 use it for EfficientNet); the rising decay is MindCV's.
    """

    def __init__(self, network: nn.Cell, decay: float = EMA_DECAY.default, warmup: float = EMA_WARMUP.default) -> None:
        super().__init__(auto_prefix=False)
        EMA_DECAY.check(decay)
        EMA_WARMUP.check(warmup)
        self.decay, self.warmup = float(decay), float(warmup)
        self._own = weight_parameters(network)
        self.weights = ParameterTuple(self._own.values())
        self.averages = self.weights.clone("ema", init="same")
        self.map = ops.HyperMap()

    def construct(self, updates: Tensor, applies: Tensor | None = None) -> None:
        """Take up the weights after an update; `updates` is the number of all updates, (1,) int32.

        If `applies`, () bool, is false, nothing changes; None: it is true.
        """
        share = Tensor(1.0 - self.decay, ms.float32)
        if self.warmup:
            share = share + self.decay * ops.exp(updates.astype(ms.float32).reshape(()) * (-1.0 / self.warmup))
        if applies is None:
            self.map(ops.partial(_average, share), self.averages, self.weights)
        else:
            self.map(ops.partial(_average_where, applies, share), self.averages, self.weights)

    def parameters(self) -> dict[str, Parameter]:
        """The averages under the names of their weights."""
        return dict(zip(self._own, self.averages, strict=True))

    @contextmanager
    def in_network(self) -> Iterator[None]:
        """Put the averages into the network, and afterwards the trained weights back."""
        trained = [weight.asnumpy().copy() for weight in self.weights]
        _assign(self.weights, [average.asnumpy() for average in self.averages])
        try:
            yield
        finally:
            _assign(self.weights, trained)


def _assign(parameters: ParameterTuple, arrays: list) -> None:
    for parameter, array in zip(parameters, arrays, strict=True):
        ops.assign(parameter, Tensor(array))  # set_data would give it other memory; see TrainState.roll_back
