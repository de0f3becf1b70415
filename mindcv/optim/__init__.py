"""Optimizers and weight decay groups."""

from mindcv.optim.factory import OPTIMIZERS, create_optimizer

__all__ = ["OPTIMIZERS", "create_optimizer"]
