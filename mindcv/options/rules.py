"""Rules that options of several sections share; see `Option` for their meaning."""

from typing import Any

SCRIPTS = ("train", "validate", "infer", "export", "convert", "benchmark")
COMPUTING: dict[str, Any] = {"scripts": ("train", "validate", "infer", "benchmark")}
TRAIN: dict[str, Any] = {"scripts": ("train", "benchmark")}  # what makes up a training step and its data
COMMAND: dict[str, Any] = {"inherited": False}
FREE: dict[str, Any] = {"free": True, "in_graph": False}
