"""AdamW with bias correction, which MindSpore's `nn.AdamWeightDecay` leaves out."""

import math

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from mindcv.arguments import BETAS, EPS

_adamw_update = ops.MultitypeFuncGraph("adamw_update")


@_adamw_update.register("Function", *["Tensor"] * 11)
def _update_one(apply_update, beta1, beta2, eps, lr_scale, decay_scale, lr, decay, param, moment1, moment2, grad):
    updated = apply_update(param, moment1, moment2, lr * lr_scale, beta1, beta2, eps, decay * decay_scale, grad)
    # A constant, as in MindSpore's own optimizers: if the updated tensors were returned, Pynative mode would report an
    # error (a schedule that is too short) only at some later operation.
    return ops.depend(True, updated)


class AdamW(nn.Optimizer):
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
        beta1: decay rate of the first moment m, in (0, 1).
        beta2: decay rate of the second moment v, in (0, 1).
        eps: added to the denominator, > 0.
        weight_decay: decay factor of ungrouped parameters and of groups without their own.

    Inputs:
        gradients: tuple of one Tensor for each of `parameters`.

    Raises:
        ValueError: if a beta or `eps` is out of range.

    Source: Loshchilov & Hutter 2019 (Decoupled Weight Decay Regularization), algorithm 2; the schedule multiplier of
        the paper is contained in lr.
    """

    def __init__(
        self,
        params: list,
        learning_rate: float | list[float] = 1e-3,
        beta1: float = BETAS.default[0],
        beta2: float = BETAS.default[1],
        eps: float = EPS.default,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(learning_rate, params, weight_decay)
        BETAS.check((beta1, beta2))
        EPS.check(eps)
        self.beta1 = Tensor(beta1, ms.float32)
        self.beta2 = Tensor(beta2, ms.float32)
        self.eps = Tensor(eps, ms.float32)
        # 1 - beta^t loses its digits in float32 while beta^t is near 1; expm1(t log beta) keeps them. The logarithm is
        # that of the float32 beta which the primitive uses, so that the first corrected moments are g and g^2.
        self.log_beta1 = math.log(np.float32(beta1))
        self.log_beta2 = math.log(np.float32(beta2))
        self.expm1 = ops.Expm1()
        self.sqrt = ops.Sqrt()
        self.moment1 = self.parameters.clone(prefix="moment1", init="zeros")
        self.moment2 = self.parameters.clone(prefix="moment2", init="zeros")
        self.apply_update = ops.AdamWeightDecay()

    @ms.jit(backend="ms_backend")
    def construct(self, gradients):
        lr = self.get_lr()
        decay = self.get_weight_decay()
        self.assignadd(self.global_step, self.global_step_increase_tensor)
        step = self.global_step.astype(ms.float32).reshape(())
        correction1 = -self.expm1(step * self.log_beta1)
        root2 = self.sqrt(-self.expm1(step * self.log_beta2))
        if not self.is_group_lr:
            lr = (lr,) * self.param_length
        if not self.is_group:
            decay = (decay,) * self.param_length
        update = ops.partial(
            _adamw_update,
            self.apply_update,
            self.beta1,
            self.beta2,
            self.eps * root2,
            root2 / correction1,
            correction1 / root2,
        )
        return self.hyper_map(update, lr, decay, self.parameters, self.moment1, self.moment2, gradients)
