"""Momentum with the weight decay in one operator for each parameter."""

from mindspore import Tensor, nn, ops

from mindcv.internals import add_scaled
from mindcv.runtime import on_cpu

_add_decay = ops.MultitypeFuncGraph("add_decay")


@_add_decay.register("Tensor", "Bool", "Tensor", "Tensor")
@_add_decay.register("Number", "Bool", "Tensor", "Tensor")
def _add_one(weight_decay: float, decays: bool, parameter: Tensor, gradient: Tensor) -> Tensor:
    # The same as mint.add(gradient, parameter, alpha=weight_decay), which takes longer to compile.
    return add_scaled(gradient, parameter, weight_decay) if decays else gradient


class FusedDecayMomentum(nn.Momentum):
    """`nn.Momentum` on a CPU: g' = g + d p, v = m v + g', p = p - lr v.

    For g + d p MindSpore runs two operators. On a CPU one operator does both, and an update of sknet50 takes 0.8 of
    the time (benchmarks/formulations.py). A GPU has no such operator (MindSpore 2.10).
    """

    def decay_weight(self, gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if not self.exec_weight_decay:
            return gradients
        weight_decay = self.get_weight_decay()
        if self.is_group:
            return self.map_(_add_decay, weight_decay, self.decay_flags, self._parameters, gradients)
        return self.map_(ops.partial(_add_decay, weight_decay), self.decay_flags, self._parameters, gradients)


def momentum(params: list, learning_rate: float | list[float], momentum: float) -> nn.Momentum:
    """`nn.Momentum` in the form that suits the device."""
    return (FusedDecayMomentum if on_cpu() and add_scaled else nn.Momentum)(params, learning_rate, momentum)
