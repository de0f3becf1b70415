"""Training losses."""

from mindcv.loss.cross_entropy import CrossEntropy
from mindcv.loss.factory import LOSSES, create_loss

__all__ = ["LOSSES", "CrossEntropy", "create_loss"]
