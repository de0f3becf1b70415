"""RMSProp in the forms of TensorFlow and of PyTorch. MindSpore's on a CPU (2.10) mixes the two within one array."""

import mindspore as ms
from mindspore import ops

from mindcv.optim.optimizer import Optimizer, average, write

_tensorflow_update = ops.MultitypeFuncGraph("rmsprop_tensorflow_update")
_torch_update = ops.MultitypeFuncGraph("rmsprop_torch_update")


@_tensorflow_update.register("Tuple", *["Tensor"] * 5)
def _tensorflow_one(options, lr, param, square, moment, grad):
    applies, momentum, rho, eps = options
    mean = average(square, grad * grad, rho)
    velocity = moment * momentum + lr * grad / ops.sqrt(mean + eps)
    states = write(square, mean, applies), write(moment, velocity, applies)
    return ops.depend(True, (write(param, param - velocity, applies), states))


@_torch_update.register("Tuple", *["Tensor"] * 5)
def _torch_one(options, lr, param, square, moment, grad):
    applies, momentum, rho, eps = options
    mean = average(square, grad * grad, rho)
    velocity = moment * momentum + grad / (ops.sqrt(mean) + eps)
    states = write(square, mean, applies), write(moment, velocity, applies)
    return ops.depend(True, (write(param, param - lr * velocity, applies), states))


class RMSProp(Optimizer):
    """RMSProp.

    For an update with gradient g (the decay d p is part of it) and learning rate lr, s = rho s + (1 - rho) g^2, and

        TensorFlow's form, MindCV's                        PyTorch's form
        s = 1 at first                                      s = 0 at first
        v = momentum v + lr g / sqrt(s + eps)               v = momentum v + g / (sqrt(s) + eps)
        p = p - v                                           p = p - lr v

    Args:
        params: parameters, or groups of them, as for every `nn.Optimizer`.
        learning_rate: one rate, or one for each update.
        momentum: in [0, 1).
        rho: decay rate of s, in (0, 1).
        eps: added to the denominator, > 0.
        torch: use PyTorch's form.

    Inputs:
        gradients: tuple of one Tensor for each of `parameters`.

    Source: Tieleman & Hinton 2012 (Lecture 6.5 of Neural Networks for Machine Learning), with momentum.
    """

    def __init__(
        self,
        params: list,
        learning_rate: float | list[float],
        momentum: float,
        rho: float,
        eps: float,
        *,
        torch: bool = False,
    ) -> None:
        super().__init__(params, learning_rate)
        self.momentum, self.rho, self.eps = momentum, rho, eps
        self.update_one = _torch_update if torch else _tensorflow_update
        self.mean_square = self.new_state("mean_square", "zeros" if torch else "ones")
        self.moment = self.new_state("moment")

    @ms.jit(backend="ms_backend")
    def construct(self, gradients, applies=None):
        lr, _ = self.begin_update(applies)
        options = (
            applies,
            self.momentum,
            self.rho,
            self.eps,
        )
        return self.update_each(
            self.update_one, options, lr, self.parameters, self.mean_square, self.moment, self.decay_weight(gradients)
        )
