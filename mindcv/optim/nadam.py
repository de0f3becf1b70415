"""NAdam: Adam with Nesterov's momentum."""

import math

import mindspore as ms
from mindspore import Parameter, Tensor, ops

from mindcv.optim.optimizer import Optimizer, average, log_of_float32, write

_LOG_DECAY = 0.004 * math.log(0.96)  # of the momentum's schedule, 0.96^(0.004 t)
_update = ops.MultitypeFuncGraph("nadam_update")


@_update.register("Tuple", *["Tensor"] * 5)
def _update_one(options, lr, param, moment1, moment2, grad):
    applies, beta1, beta2, eps, root2, gradient_share, moment_share = options
    first, second = average(moment1, grad, beta1), average(moment2, grad * grad, beta2)
    direction = (grad * gradient_share + first * moment_share) / (ops.sqrt(second) / root2 + eps)
    states = write(moment1, first, applies), write(moment2, second, applies)
    return ops.depend(True, (write(param, param - lr * direction, applies), states))


class NAdam(Optimizer):
    """NAdam, as PyTorch's.

    For update t = 1, 2, ... with gradient g (the decay d p is part of it) and learning rate lr:

        mu_t = beta1 (1 - 0.96^(0.004 t) / 2)               M_t = mu_1 mu_2 ... mu_t
        m = beta1 m + (1 - beta1) g                         v = beta2 v + (1 - beta2) g^2
        n = (1 - mu_t) g / (1 - M_t) + mu_{t+1} m / (1 - M_{t+1})
        p = p - lr n / (sqrt(v / (1 - beta2^t)) + eps)

    Args:
        params: parameters, or groups of them, as for every `nn.Optimizer`.
        learning_rate: one rate, or one for each update.
        betas: decay rates of the moments m and v, each in (0, 1).
        eps: added to the denominator, > 0.

    Inputs:
        gradients: tuple of one Tensor for each of `parameters`.

    Source: Dozat 2016 (Incorporating Nesterov Momentum into Adam), algorithm 2.
    """

    def __init__(
        self,
        params: list,
        learning_rate: float | list[float],
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, learning_rate)
        self.beta1, self.beta2 = betas
        self.log_beta2, self.eps = log_of_float32(self.beta2), eps
        self.moment1, self.moment2 = self.new_state("moment1"), self.new_state("moment2")
        self.mu_product = Parameter(Tensor(1.0, ms.float32), "mu_product")

    def _mu(self, step: Tensor) -> Tensor:
        return self.beta1 * (1.0 - 0.5 * ops.exp(step * _LOG_DECAY))

    @ms.jit(backend="ms_backend")
    def construct(self, gradients, applies=None):
        lr, step = self.begin_update(applies)
        mu, next_mu = self._mu(step), self._mu(step + 1.0)
        product = self.mu_product * mu
        write(self.mu_product, product, applies)
        options = (
            applies,
            self.beta1,
            self.beta2,
            self.eps,
            ops.sqrt(self.correction(self.log_beta2, step)),
            (1.0 - mu) / (1.0 - product),
            next_mu / (1.0 - product * next_mu),
        )
        return self.update_each(
            _update, options, lr, self.parameters, self.moment1, self.moment2, self.decay_weight(gradients)
        )
