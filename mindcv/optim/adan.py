"""Adan: Nesterov's momentum from the difference of successive gradients."""

import mindspore as ms
from mindspore import ops

from mindcv.optim.optimizer import Optimizer, average, log_of_float32, write

_update = ops.MultitypeFuncGraph("adan_update")


@_update.register("Tuple", *["Tensor"] * 8)
def _update_one(options, lr, decay, param, moment, slope, square, last, grad):
    applies, beta1, beta2, beta3, eps, seen, scale1, scale2, root3 = options
    change = (grad - last) * seen
    ahead = grad + change * beta2
    first, second, third = (
        average(moment, grad, beta1),
        average(slope, change, beta2),
        average(square, ahead * ahead, beta3),
    )
    step = (first * scale1 + second * scale2) / (ops.sqrt(third) / root3 + eps)
    states = (
        write(moment, first, applies),
        write(slope, second, applies),
        write(square, third, applies),
        write(last, grad, applies),
    )
    return ops.depend(True, (write(param, (param - lr * step) / (lr * decay + 1.0), applies), states))


class Adan(Optimizer):
    """Adan, as the authors' code and timm's.

    For update t = 1, 2, ... with gradient g, learning rate lr and decay factor d:

        c = g - (gradient of update t - 1)                  0 for t = 1
        m = beta1 m + (1 - beta1) g                         v = beta2 v + (1 - beta2) c
        n = beta3 n + (1 - beta3) (g + beta2 c)^2
        u = m / (1 - beta1^t) + beta2 v / (1 - beta2^t)
        p = (p - lr u / (sqrt(n / (1 - beta3^t)) + eps)) / (1 + lr d)

    Its betas are one minus those of the paper.

    Args:
        params: parameters, or groups of them, as for every `nn.Optimizer`.
        learning_rate: one rate, or one for each update.
        betas: decay rates of m, v and n, each in (0, 1).
        eps: added to the denominator, > 0.

    Inputs:
        gradients: tuple of one Tensor for each of `parameters`.

    Source: Xie et al. 2022 (Adan: Adaptive Nesterov Momentum Algorithm), algorithm 1 without restarts; bias correction
        as in the authors' code.
    """

    def __init__(
        self,
        params: list,
        learning_rate: float | list[float],
        betas: tuple[float, float, float] = (0.98, 0.92, 0.99),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, learning_rate)
        self.beta1, self.beta2, self.beta3 = betas
        self.log_beta1, self.log_beta2, self.log_beta3 = map(log_of_float32, betas)
        self.eps = eps
        self.moment, self.slope = self.new_state("moment"), self.new_state("slope")
        self.square, self.last_gradient = self.new_state("square"), self.new_state("last_gradient")

    @ms.jit(backend="ms_backend")
    def construct(self, gradients, applies=None):
        lr, step = self.begin_update(applies)
        options = (
            applies,
            self.beta1,
            self.beta2,
            self.beta3,
            self.eps,
            (step > 1.0).astype(ms.float32),
            1.0 / self.correction(self.log_beta1, step),
            self.beta2 / self.correction(self.log_beta2, step),
            ops.sqrt(self.correction(self.log_beta3, step)),
        )
        return self.update_each(
            _update,
            options,
            lr,
            self.weight_decay,
            self.parameters,
            self.moment,
            self.slope,
            self.square,
            self.last_gradient,
            gradients,
        )
