"""What the optimizers written here share: groups, the learning rates of an update, and moving averages."""

import math
from collections.abc import Callable
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

_masked = ops.MultitypeFuncGraph("masked")


@_masked.register("Tensor", "Tensor")
def _mask_one(skips: Tensor, gradient: Tensor) -> Tensor:
    return ops.masked_fill(gradient, skips, Tensor(0, ms.float32))


class Optimizer(nn.Optimizer):
    """An optimizer of which a subclass writes the update of one parameter.

    Its `construct` calls `begin_update` first, which raises before anything has changed if the list of learning rates
    is too short, and then `update_each`. The state is in Parameters made by `new_state` in the constructor.

    Args:
        params: parameters, or groups of them, as for every `nn.Optimizer`.
        learning_rate: one rate, or one for each update.
        weight_decay: decay factor of ungrouped parameters and of groups without their own.

    Inputs:
        gradients: tuple of one Tensor for each of `parameters`.
        applies: () bool, whether to update. If it is false, nothing changes, even if gradients are NaN or infinite; the
            device decides, without control flow. None, the default: always, without the operators that this takes.
    """

    def __init__(self, params: list, learning_rate: float | list[float], weight_decay: float = 0.0) -> None:
        # In an ungrouped list MindSpore exempts names with "beta" or "gamma" from decay.
        groups = params if isinstance(params[0], dict) else [{"params": params}]
        super().__init__(learning_rate, groups, weight_decay)
        self.expm1 = ops.Expm1()
        self.zero, self.one = Tensor(0, ms.float32), Tensor(1, ms.float32)

    def new_state(self, name: str, value: str = "zeros") -> ms.ParameterTuple:
        """An array for each parameter, of its shape, called `name.` and the parameter's name."""
        return self.parameters.clone(prefix=name, init=value)

    def begin_update(self, applies: Tensor | None) -> tuple[Any, Tensor]:
        """Count an update; return its learning rate, or one for each parameter, and t = 1, 2, ..., () float32."""
        lr, one = self.get_lr(), self.global_step_increase_tensor
        self.assignadd(self.global_step, one if applies is None else applies.astype(ms.int32).reshape((1,)))
        step = self.global_step.astype(ms.float32).reshape(())
        # Without an update t may be 0, where corrections divide by zero.
        return lr, step if applies is None else ops.maximum(step, self.one)

    def update_each(self, update: Callable[..., Tensor], options: tuple, lr: Any, *columns: Any) -> tuple[Tensor, ...]:
        """Call `update(options, learning rate, *row)` for each parameter; a column has an entry for each of them."""
        if self.is_group_lr:
            return self.hyper_map(ops.partial(update, options), lr, *columns)
        # A column of equal rates would take longer to compile than all the rest.
        return self.hyper_map(ops.partial(update, options, lr), *columns)

    def masked(self, gradients: tuple[Tensor, ...], applies: Tensor | None) -> tuple[Tensor, ...]:
        """The gradients; zeros where the update does not apply. For fused operators, which write what they compute."""
        if applies is None:
            return gradients
        return self.hyper_map(ops.partial(_masked, ops.logical_not(applies)), gradients)

    def rates(self, lr: Any, applies: Tensor | None) -> Any:
        """The learning rates; zeros where the update does not apply."""
        if applies is None:
            return lr
        if self.is_group_lr:
            return tuple([ops.select(applies, rate, self.zero) for rate in lr])
        return ops.select(applies, lr, self.zero)

    def correction(self, log_beta: float, step: Tensor) -> Tensor:
        """1 - beta^t: what an average that began at zero holds of a constant.

        It loses its digits in float32 while beta^t is near 1; expm1(t log beta) keeps them.
        """
        return -self.expm1(step * log_beta)


def write(parameter: Parameter, value: Tensor, applies: Tensor | None) -> Tensor:
    """Assign the value, where `applies` is true; see `Optimizer`."""
    return ops.assign(parameter, value if applies is None else ops.select(applies, value, parameter))


def log_of_float32(beta: float) -> float:
    """The logarithm of the float32 beta that the update uses, so that the first corrected average is the value."""
    return math.log(np.float32(beta))


def average(moment: Tensor, value: Tensor, beta: float) -> Tensor:
    """The next value of a moving average, beta m + (1 - beta) v."""
    return moment * beta + value * (1.0 - beta)
