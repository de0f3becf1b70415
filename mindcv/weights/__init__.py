"""Weights that other tools published, under this package's names."""

from mindcv.weights.from_timm import from_timm, timm_names

__all__ = ["from_timm", "timm_names"]
