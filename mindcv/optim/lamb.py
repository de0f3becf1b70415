"""LAMB: Adam whose step in each parameter is in proportion to the parameter's norm."""

import mindspore as ms
from mindspore import ops

from mindcv.optim.optimizer import Optimizer, average, log_of_float32, write
from mindcv.optim.trust_ratio import guarded, norm

_update = ops.MultitypeFuncGraph("lamb_update")


@_update.register("Tuple", *["Tensor"] * 2, "Bool", *["Tensor"] * 4)
def _update_one(options, lr, decay, decays, param, moment1, moment2, grad):
    applies, beta1, beta2, eps, correction1, root2 = options
    first, second = average(moment1, grad, beta1), average(moment2, grad * grad, beta2)
    step = first / correction1 / (ops.sqrt(second) / root2 + eps)
    if decays:
        step = step + param * decay
        weights, length = norm(param), norm(step)
        step = step * guarded(weights / length, weights, length)
    states = write(moment1, first, applies), write(moment2, second, applies)
    return ops.depend(True, (write(param, param - lr * step, applies), states))


class Lamb(Optimizer):
    """LAMB, as timm's and NVIDIA's, without their clipping of the gradient.

    For update t = 1, 2, ... with gradient g, learning rate lr and decay factor d:

        m = beta1 m + (1 - beta1) g                         v = beta2 v + (1 - beta2) g^2
        s = m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps) + d p
        p = p - lr |p| / |s| s

    |p| / |s| is 1 where a norm is zero, and for parameters without decay, which norms and biases should be
    (weight_decay_filter=norm_and_bias).

    Args:
        params: parameters, or groups of them, as for every `nn.Optimizer`.
        learning_rate: one rate, or one for each update.
        betas: decay rates of the moments m and v, each in (0, 1).
        eps: added to the denominator, > 0.

    Inputs:
        gradients: tuple of one Tensor for each of `parameters`.

    Source: You et al. 2020 (Large Batch Optimization for Deep Learning), algorithm 2.
    """

    def __init__(
        self,
        params: list,
        learning_rate: float | list[float],
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
    ) -> None:
        super().__init__(params, learning_rate)
        self.beta1, self.beta2 = betas
        self.log_beta1, self.log_beta2 = map(log_of_float32, betas)
        self.eps = eps
        self.moment1, self.moment2 = self.new_state("moment1"), self.new_state("moment2")

    @ms.jit(backend="ms_backend")
    def construct(self, gradients, applies=None):
        lr, step = self.begin_update(applies)
        options = (
            applies,
            self.beta1,
            self.beta2,
            self.eps,
            self.correction(self.log_beta1, step),
            ops.sqrt(self.correction(self.log_beta2, step)),
        )
        return self.update_each(
            _update,
            options,
            lr,
            self.weight_decay,
            self.decay_flags,
            self.parameters,
            self.moment1,
            self.moment2,
            gradients,
        )
