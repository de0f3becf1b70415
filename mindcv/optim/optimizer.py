"""What the optimizers written here share: groups, the learning rates of an update, and moving averages."""

import math
from collections.abc import Callable
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops


class Optimizer(nn.Optimizer):
    """An optimizer of which a subclass writes the update of one parameter.

    Its `construct` calls `begin_update` first, which raises before anything has changed if the list of learning rates
    is too short, and then `update_each`. The state is in Parameters made by `new_state` in the constructor.

    Args:
        params: parameters, or groups of them, as for every `nn.Optimizer`.
        learning_rate: one rate, or one for each update.
        weight_decay: decay factor of ungrouped parameters and of groups without their own.
    """

    def __init__(self, params: list, learning_rate: float | list[float], weight_decay: float = 0.0) -> None:
        # In an ungrouped list MindSpore exempts names with "beta" or "gamma" from decay.
        groups = params if isinstance(params[0], dict) else [{"params": params}]
        super().__init__(learning_rate, groups, weight_decay)
        self.expm1 = ops.Expm1()

    def new_state(self, name: str, value: str = "zeros") -> ms.ParameterTuple:
        """An array for each parameter, of its shape, called `name.` and the parameter's name."""
        return self.parameters.clone(prefix=name, init=value)

    def begin_update(self) -> tuple[Any, Tensor]:
        """Count an update; return its learning rate, or one for each parameter, and t = 1, 2, ..., () float32."""
        lr = self.get_lr()
        self.assignadd(self.global_step, self.global_step_increase_tensor)
        return lr, self.global_step.astype(ms.float32).reshape(())

    def update_each(self, update: Callable[..., Tensor], options: tuple, lr: Any, *columns: Any) -> tuple[Tensor, ...]:
        """Call `update(options, learning rate, *row)` for each parameter; a column has an entry for each of them."""
        if self.is_group_lr:
            return self.hyper_map(ops.partial(update, options), lr, *columns)
        # A column of equal rates would take longer to compile than all the rest.
        return self.hyper_map(ops.partial(update, options, lr), *columns)

    def correction(self, log_beta: float, step: Tensor) -> Tensor:
        """1 - beta^t: what an average that began at zero holds of a constant.

        It loses its digits in float32 while beta^t is near 1; expm1(t log beta) keeps them.
        """
        return -self.expm1(step * log_beta)


def log_of_float32(beta: float) -> float:
    """The logarithm of the float32 beta that the update uses, so that the first corrected average is the value."""
    return math.log(np.float32(beta))


def average(moment: Tensor, value: Tensor, beta: float) -> Tensor:
    """The next value of a moving average, beta m + (1 - beta) v."""
    return moment * beta + value * (1.0 - beta)
