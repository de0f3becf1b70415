"""The norms of LAMB and LARS, which make a step proportional to the norm of the weights."""

from mindspore import Tensor, ops


def norm(x: Tensor) -> Tensor:
    """The Euclidean norm, () float32: first of each row, because one long sum in float32 loses digits."""
    return ops.sqrt((x * x).reshape((x.shape[0], -1)).sum(-1).sum())


def guarded(ratio: Tensor, weights: Tensor, step: Tensor) -> Tensor:
    """The ratio, or 1 where one of the two norms is zero: weights that begin at zero must be able to leave it."""
    return ops.select(ops.logical_and(weights > 0.0, step > 0.0), ratio, ops.ones_like(ratio))
