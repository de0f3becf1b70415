"""Compiled graphs kept from one start of a program to the next."""

from mindcv.compile_cache.cache import compiled_graphs_kept

__all__ = ["compiled_graphs_kept"]
