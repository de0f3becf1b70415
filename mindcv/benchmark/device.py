"""The device that a process computes on: its name, software and memory."""

import platform

import mindspore as ms
import numpy as np

from mindcv.runtime import on_cpu
from mindcv.version import __version__


def card_name(device: str, processor: str) -> str:
    """The name of the accelerator, or on a CPU that of the processor."""
    return processor if device == "CPU" else str(ms.hal.get_device_name(0, device))


def versions() -> dict[str, str]:
    """Versions of what computes, by name."""
    return {
        "mindcv-sk": __version__,
        "mindspore": ms.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def peak_device_memory() -> float | None:
    """The most memory that this process has had in use on its accelerator, MB; None on a CPU."""
    return None if on_cpu() else ms.runtime.max_memory_allocated() / 2**20
