"""Export of a network to a verified .onnx or .mindir file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import Tensor, nn

from mindcv.export.metadata import append_info
from mindcv.export.mindir_file import write_mindir
from mindcv.export.onnx_file import check_onnx_installed, write_onnx
from mindcv.export.runner import ExportedNetwork
from mindcv.faults import is_out_of_memory
from mindcv.files import replacing
from mindcv.models import fold_batch_norm
from mindcv.models.cpu import CPU_FORMS
from mindcv.models.inference import inference_pool
from mindcv.models.replace import replace_cells
from mindcv.paths import EXPORT_SUFFIXES, check_output_path

TOLERANCE = 1e-4


@dataclass(frozen=True)
class Export:
    """An exported file and the result of its verification.

    Attributes:
        path: the file.
        difference: largest difference between its logits and the network's, relative to the largest logit.
        tolerance: the largest difference that was allowed.
        num_folded: number of batch norms folded.
        num_parameters: numbers in the file's weights.
        num_bytes: size of the file.
    """

    path: Path
    difference: float
    tolerance: float
    num_folded: int
    num_parameters: int
    num_bytes: int


def export_network(
    build: Callable[[], nn.Cell],
    path: str | Path,
    *,
    input_size: tuple[int, int, int],
    info: Mapping[str, Any],
    dynamic_batch: bool = True,
    fold_bn: bool = False,
    tolerance: float = TOLERANCE,
) -> Export:
    """Export a network to the format given by the suffix of `path`, and compare the file with the network.

    The file is written under a temporary name in the same folder, verified, and then renamed: an existing file stays
    until a verified one replaces it.

    Args:
        build: makes a new network with its final weights and `device_forms=False` at each call: exporting needs one
            that has neither run nor been exported, verifying one that exporting has not changed.
        path: ends in .onnx or .mindir.
        input_size: (C, H, W) of the images.
        info: JSON-compatible description for `read_info`; "input_shape" is added to it.
        dynamic_batch: leave the batch size open; otherwise it is 1.
        fold_bn: fold each batch norm into the convolution before it.
        tolerance: largest relative difference of the logits that passes.
    Raises:
        ValueError: if the format is unknown, a layer cannot be exported, onnx is not installed, or the file's logits
            differ.
        OSError: if the folder cannot be written.
    """
    path = Path(path)
    check_export_path(path)
    input_shape = (None if dynamic_batch else 1, *input_size)

    network = build().set_train(False)
    num_folded = fold_batch_norm(network) if fold_bn else 0
    replace_cells(network, _exportable)
    num_parameters = sum(parameter.size for parameter in network.get_parameters())
    with replacing(path) as temporary:
        try:
            (write_onnx if path.suffix == ".onnx" else write_mindir)(network, temporary, input_shape)
        except RuntimeError as error:  # what MindSpore's exporters raise; the first line names the operator
            if is_out_of_memory(error):
                raise MemoryError(f"not enough memory to export to {path.suffix}") from error
            reason = str(error).strip().partition("\n")[0]
            raise ValueError(f"this network cannot be exported to {path.suffix}: {reason}") from error
        append_info(temporary, {**info, "input_shape": input_shape})
        difference = verify_export(build(), temporary, input_shape, tolerance=tolerance)
    return Export(path, difference, tolerance, num_folded, num_parameters, path.stat().st_size)


def _exportable(cell: nn.Cell) -> nn.Cell | None:
    """The exportable replacement of a cell; None to keep the cell."""
    if isinstance(cell, CPU_FORMS):
        raise ValueError(
            f"{type(cell).__name__} computes on a CPU only and does not export: build the network with "
            "create_model(..., device_forms=False)."
        )
    if not isinstance(cell, nn.MaxPool2d) or not cell.use_pad:
        return None
    pool = inference_pool(cell)
    if pool is None:
        raise ValueError(
            f"{cell} cannot be exported: of the padded max poolings only those with padding=1, without dilation "
            "and ceil_mode, can be."
        )
    return pool


def check_export_path(path: str | Path) -> None:
    """Raise ValueError unless `export_network` can write there; to be called before the work."""
    check_output_path(path, EXPORT_SUFFIXES)
    if Path(path).suffix not in EXPORT_SUFFIXES:  # MindSpore would add its own
        raise ValueError(f"write the suffix in lower case: {Path(path).suffix.lower()}; got {path}.")
    if Path(path).suffix == ".onnx":
        check_onnx_installed()


def verify_export(
    network: nn.Cell,
    path: str | Path,
    input_shape: tuple[int | None, int, int, int],
    tolerance: float = TOLERANCE,
) -> float:
    """Load an exported file and compare its logits with a network's on normally distributed images.

    Args:
        network: is set to evaluation mode.
        input_shape: (B, C, H, W) of the file; B None for an open batch size, which is tested with 3 and 1.
        tolerance: largest difference that passes, relative to the network's largest logit.
    Returns:
        The largest relative difference.
    Raises:
        ValueError: if it is above the tolerance, or NaN.
    """
    sizes = (3, 1) if input_shape[0] is None else (input_shape[0],)
    images = np.random.default_rng(0).standard_normal((sizes[0], *input_shape[1:])).astype(np.float32)
    expected = network.set_train(False)(Tensor(images)).asnumpy()
    exported = ExportedNetwork(path)
    scale = np.abs(expected).max() or 1.0
    difference = 0.0
    for size in sizes:
        actual = exported(Tensor(images[:size])).asnumpy()
        if actual.shape != expected[:size].shape:
            raise ValueError(f"the exported file gives {actual.shape} logits, the network {expected[:size].shape}.")
        difference = np.maximum(
            difference, np.abs(actual - expected[:size]).max() / scale
        )  # keeps a NaN; max() may not
    if not difference <= tolerance:
        raise ValueError(
            f"the logits of the exported file differ from the network's by {difference:.2e} of the largest; up to "
            f"{tolerance:.2e} would be rounding. The file is not what the network computes."
        )
    return float(difference)
