"""Training losses."""

from mindcv.loss.factory import LOSSES, MULTI_LABEL, create_loss

__all__ = ["LOSSES", "MULTI_LABEL", "create_loss"]
