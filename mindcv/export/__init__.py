"""Exporting networks to ONNX and MindIR: writing, verifying and running the files."""

from mindcv.export.exporter import Export, check_export_path, export_network, verify_export
from mindcv.export.metadata import read_info
from mindcv.export.runner import ExportedNetwork

__all__ = [
    "Export",
    "ExportedNetwork",
    "check_export_path",
    "export_network",
    "read_info",
    "verify_export",
]
