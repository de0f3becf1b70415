"""Lion: the sign of an averaged gradient, with decoupled weight decay."""

import mindspore as ms
from mindspore import ops

from mindcv.optim.optimizer import Optimizer, average, write

_update = ops.MultitypeFuncGraph("lion_update")


@_update.register("Tuple", *["Tensor"] * 5)
def _update_one(options, lr, decay, param, moment, grad):
    applies, beta1, beta2 = options
    direction = ops.sign(average(moment, grad, beta1)) + param * decay
    state = write(moment, average(moment, grad, beta2), applies)
    return ops.depend(True, (write(param, param - lr * direction, applies), state))


class Lion(Optimizer):
    """Lion.

    For an update with gradient g, learning rate lr and decay factor d:

        p = p - lr (sign(beta1 m + (1 - beta1) g) + d p)
        m = beta2 m + (1 - beta2) g

    Args:
        params: parameters, or groups of them, as for every `nn.Optimizer`.
        learning_rate: one rate, or one for each update; a third to a tenth of AdamW's, with a decay as much larger.
        betas: share of m in the update, and decay rate of m, each in (0, 1).

    Inputs:
        gradients: tuple of one Tensor for each of `parameters`.

    Source: Chen et al. 2023 (Symbolic Discovery of Optimization Algorithms), program 1.
    """

    def __init__(
        self, params: list, learning_rate: float | list[float], betas: tuple[float, float] = (0.9, 0.99)
    ) -> None:
        super().__init__(params, learning_rate)
        self.beta1, self.beta2 = betas
        self.moment = self.new_state("moment")

    @ms.jit(backend="ms_backend")
    def construct(self, gradients, applies=None):
        lr, _ = self.begin_update(applies)
        options = (
            applies,
            self.beta1,
            self.beta2,
        )
        return self.update_each(_update, options, lr, self.weight_decay, self.parameters, self.moment, gradients)
