"""The old place of `mindcv.models.fold`."""

from mindcv.models.fold import FoldedNorm, fold_batch_norm

__all__ = ["FoldedNorm", "fold_batch_norm"]
