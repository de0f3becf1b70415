"""Training losses."""

from mindcv.loss.factory import LOSSES, create_loss

__all__ = ["LOSSES", "create_loss"]
