"""AdamW with bias correction, which MindSpore's `nn.AdamWeightDecay` leaves out."""

import mindspore as ms
from mindspore import Tensor, ops

from mindcv.optim.optimizer import Optimizer, log_of_float32

_adamw_update = ops.MultitypeFuncGraph("adamw_update")


@_adamw_update.register("Tuple", *["Tensor"] * 6)
def _update_one(options, lr, decay, param, moment1, moment2, grad):
    apply_update, beta1, beta2, eps, lr_scale, decay_scale = options
    updated = apply_update(param, moment1, moment2, lr * lr_scale, beta1, beta2, eps, decay * decay_scale, grad)
    # A constant, as in MindSpore's own optimizers: if the updated tensors were returned, Pynative mode would report an
    # error (a schedule that is too short) only at some later operation.
    return ops.depend(True, updated)


class AdamW(Optimizer):
    """Adam with decoupled weight decay.

    For update t = 1, 2, ... with gradient g, learning rate lr and decay factor d:

        m = beta1 m + (1 - beta1) g                         c1 = 1 - beta1^t
        v = beta2 v + (1 - beta2) g^2                       c2 = 1 - beta2^t
        p = p - lr (m / c1) / (sqrt(v / c2) + eps) - lr d p

    which is PyTorch's AdamW. One fused primitive, AdamWeightDecay, updates a parameter. It has no bias correction, but
    computes the above when given the learning rate lr sqrt(c2) / c1, the epsilon eps sqrt(c2) and the decay
    d c1 / sqrt(c2).

    Args:
        params: parameters, or groups of them, as for every `nn.Optimizer`.
        learning_rate: one rate, or one for each update.
        betas: decay rates of the moments m and v, each in (0, 1).
        eps: added to the denominator, > 0.
        weight_decay: decay factor of ungrouped parameters and of groups without their own.

    Inputs:
        gradients: tuple of one Tensor for each of `parameters`.

    Source: Loshchilov & Hutter 2019 (Decoupled Weight Decay Regularization), algorithm 2; the schedule multiplier of
        the paper is contained in lr.
    """

    def __init__(
        self,
        params: list,
        learning_rate: float | list[float] = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, learning_rate, weight_decay)
        self.beta1, self.beta2 = (Tensor(beta, ms.float32) for beta in betas)
        self.log_beta1, self.log_beta2 = map(log_of_float32, betas)
        self.eps = Tensor(eps, ms.float32)
        self.sqrt = ops.Sqrt()
        self.moment1 = self.new_state("moment1")
        self.moment2 = self.new_state("moment2")
        self.apply_update = ops.AdamWeightDecay()

    @ms.jit(backend="ms_backend")
    def construct(self, gradients, applies=None):
        lr, step = self.begin_update(applies)
        correction1 = self.correction(self.log_beta1, step)
        root2 = self.sqrt(self.correction(self.log_beta2, step))
        beta1, beta2, lr_scale = self.beta1, self.beta2, root2 / correction1
        if applies is not None:  # else the operator writes the moments and parameters that it reads
            beta1, beta2 = ops.select(applies, beta1, self.one), ops.select(applies, beta2, self.one)
            lr_scale = ops.select(applies, lr_scale, self.zero)
        options = (self.apply_update, beta1, beta2, self.eps * root2, lr_scale, correction1 / root2)
        return self.update_each(
            _adamw_update,
            options,
            lr,
            self.weight_decay,
            self.parameters,
            self.moment1,
            self.moment2,
            self.masked(gradients, applies),
        )
