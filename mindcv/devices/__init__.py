"""What a device needs, and whether it computes what it should. Importing this imports neither MindSpore nor NumPy."""

from mindcv.devices.check import check_device

__all__ = ["check_device"]
