"""Optimizers and weight decay groups."""

from mindcv.optim.adamw import AdamW
from mindcv.optim.factory import OPTIMIZERS, create_optimizer
from mindcv.optim.param_groups import WEIGHT_DECAY_FILTERS, create_param_groups

__all__ = ["OPTIMIZERS", "WEIGHT_DECAY_FILTERS", "AdamW", "create_optimizer", "create_param_groups"]
