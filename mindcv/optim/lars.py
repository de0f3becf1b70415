"""LARS: momentum whose gradient of each parameter is scaled to the parameter's norm."""

import mindspore as ms
from mindspore import ops

from mindcv.optim.optimizer import Optimizer, write
from mindcv.optim.trust_ratio import guarded, norm

_update = ops.MultitypeFuncGraph("lars_update")


@_update.register("Tuple", *["Tensor"] * 2, "Bool", *["Tensor"] * 3)
def _update_one(options, lr, decay, decays, param, moment, grad):
    applies, momentum, trust_coeff, eps = options
    step = grad
    if decays:
        weights, gradient = norm(param), norm(grad)
        ratio = weights * trust_coeff / (gradient + weights * decay + eps)
        step = (grad + param * decay) * guarded(ratio, weights, gradient)
    velocity = moment * momentum + step
    return ops.depend(True, (write(param, param - lr * velocity, applies), write(moment, velocity, applies)))


class Lars(Optimizer):
    """LARS, as timm's.

    For an update with gradient g, learning rate lr and decay factor d:

        r = trust_coeff |p| / (|g| + d |p| + eps)
        v = momentum v + r (g + d p)
        p = p - lr v

    r is 1 where a norm is zero, and for parameters without decay, which norms and biases should be
    (weight_decay_filter=norm_and_bias).

    Args:
        params: parameters, or groups of them, as for every `nn.Optimizer`.
        learning_rate: one rate, or one for each update.
        momentum: in [0, 1).
        trust_coeff: the length of a step at lr = 1, as a share of the parameter's; > 0.
        eps: added to the denominator, > 0.

    Inputs:
        gradients: tuple of one Tensor for each of `parameters`.

    Source: You et al. 2017 (Large Batch Training of Convolutional Networks), algorithm 1, with lr outside v.
    """

    def __init__(
        self,
        params: list,
        learning_rate: float | list[float],
        momentum: float = 0.9,
        trust_coeff: float = 0.001,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, learning_rate)
        self.momentum, self.trust_coeff, self.eps = momentum, trust_coeff, eps
        self.moments = self.new_state("moments")

    @ms.jit(backend="ms_backend")
    def construct(self, gradients, applies=None):
        lr, _ = self.begin_update(applies)
        options = (
            applies,
            self.momentum,
            self.trust_coeff,
            self.eps,
        )
        return self.update_each(
            _update, options, lr, self.weight_decay, self.decay_flags, self.parameters, self.moments, gradients
        )
