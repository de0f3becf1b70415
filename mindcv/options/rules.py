"""Rules that options of several sections share; see `Option` for their meaning."""

from typing import Any

SCRIPTS = ("train", "validate", "infer", "export", "convert")
COMPUTING: dict[str, Any] = {"scripts": ("train", "validate", "infer")}
TRAIN: dict[str, Any] = {"scripts": ("train",)}
COMMAND: dict[str, Any] = {"inherited": False}
FREE: dict[str, Any] = {"free": True, "in_graph": False}
