"""Dropout and stochastic depth with masks that repeat for a seed.

MindSpore's own Dropout is not reproducible on a CPU (its thread partition is chosen by timing), so both layers draw
their mask with `UniformReal`, which is.
"""

import mindspore as ms
from mindspore import Tensor, nn, ops


class _SeededMask(nn.Cell):
    """Zeroes what a Bernoulli mask says and scales the rest by 1 / keep_prob, in training only."""

    def __init__(self, rate: float, seed: int) -> None:
        super().__init__()
        if not 0.0 <= rate < 1.0:
            raise ValueError(f"a drop rate must be in [0, 1), got {rate}.")
        self.rate = rate
        self.keep_prob = 1.0 - rate
        self.uniform = ops.UniformReal(seed=(ms.get_seed() or 0) + 1, seed2=seed + 1)

    def apply_mask(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        mask = (self.uniform(shape) < self.keep_prob).astype(x.dtype)
        return x * (mask * (1.0 / self.keep_prob))


class Dropout(_SeededMask):
    """Drops single activations of (B, C) features with probability `rate`.

    Args:
        rate: probability of dropping, in [0, 1).
        seed: tells this layer's masks from those of the other layers of the network.
    """

    def construct(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0.0:
            return x
        return self.apply_mask(x, x.shape)


class DropPath(_SeededMask):
    """Drops the residual branch of whole examples (stochastic depth): (B, C, H, W) -> (B, C, H, W).

    Args:
        rate: probability of dropping an example's branch, in [0, 1).
        seed: tells this layer's masks from those of the other layers of the network.
    Source: Huang et al. 2016, "Deep Networks with Stochastic Depth", equation 2.
    """

    def construct(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0.0:
            return x
        return self.apply_mask(x, (x.shape[0], 1, 1, 1))
