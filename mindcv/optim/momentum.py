"""Momentum with the weight decay in one operator for each parameter."""

from typing import Any

import mindspore as ms
from mindspore import Parameter, Tensor, ops

from mindcv.internals import add_scaled
from mindcv.optim.optimizer import Optimizer
from mindcv.runtime import on_gpu

_adds_scaled = add_scaled is not None
_update = ops.MultitypeFuncGraph("momentum_update")
_fused_update = ops.MultitypeFuncGraph("fused_momentum_update")


@_update.register("Tuple", *["Tensor"] * 2, "Bool", *["Tensor"] * 3)
def _update_one(options, lr, decay, decays, param, moment, grad):
    apply_update, momentum = options
    if decays:
        # The same as mint.add(grad, param, alpha=decay), which takes longer to compile.
        grad = add_scaled(grad, param, decay) if _adds_scaled else grad + param * decay
    return ops.depend(True, apply_update(param, moment, lr, grad, momentum))


@_fused_update.register("Tuple", *["Tensor"] * 2, "Bool", *["Tensor"] * 3)
def _fused_one(options, lr, decay, decays, param, moment, grad):
    apply_update, momentum, apply_decaying, scale = options
    if decays:
        return ops.depend(True, apply_decaying(decay, scale, param, moment, lr, grad, momentum))
    return ops.depend(True, apply_update(param, moment, lr, grad, momentum))


class Momentum(Optimizer):
    """`nn.Momentum`: g' = g + d p, v = m v + g', p = p - lr v, with learning rate lr, decay d and momentum m.

    For g + d p MindSpore runs two operators. Here a GPU does the whole update in one, which has no kernel elsewhere;
    other devices take one operator for g + d p, which has no kernel on a GPU (MindSpore 2.10). On a CPU an update of
    sknet50 takes 0.8 of the time by that (benchmarks/formulations.py).

    An update that does not apply has lr = d = 0, m = 1 and gradients of 0, which keeps every number; a negative zero
    may become a positive one.

    Args:
        params: parameters, or groups of them, as for every `nn.Optimizer`.
        learning_rate: one rate, or one for each update.
        momentum: in [0, 1).
        weight_decay: decay factor of ungrouped parameters and of groups without their own.
    """

    def __init__(
        self, params: list, learning_rate: float | list[float], momentum: float, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, learning_rate, weight_decay)
        self.momentum = Parameter(Tensor(momentum, ms.float32), name="momentum")
        self.moments = self.new_state("moments")
        self.apply_update = ops.ApplyMomentum()
        self.fused = on_gpu()
        decays = [decay.asnumpy().item() for decay in self.weight_decay]
        self.different = tuple(sorted(set(decays)))
        self.which = tuple(self.different.index(decay) for decay in decays)
        if self.fused:
            self.apply_decaying = ops.operations.FusedWeightScaleApplyMomentum()
            # MindSpore leaves this out, and its compiler then leaves out the update.
            self.apply_decaying.add_prim_attr("side_effect_mem", True)

    @ms.jit(backend="ms_backend")
    def construct(self, gradients, applies=None):
        lr, _ = self.begin_update(applies)
        momentum, decay = self.momentum, self.weight_decay
        if applies is not None:
            momentum = ops.select(applies, momentum, self.one)
            kept = [ops.select(applies, Tensor(value, ms.float32), self.zero) for value in self.different]
            decay = tuple([kept[index] for index in self.which])
        options: Any = (self.apply_update, momentum)
        if self.fused:
            options = (self.apply_update, momentum, self.apply_decaying, self.one)
        return self.update_each(
            _fused_update if self.fused else _update,
            options,
            self.rates(lr, applies),
            decay,
            self.decay_flags,
            self.parameters,
            self.moments,
            self.masked(gradients, applies),
        )
