"""Writing and running ONNX files. The optional packages onnx and onnxruntime are imported when needed."""

import importlib
from pathlib import Path
from types import ModuleType

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from mindcv.faults import is_out_of_memory

INPUT, OUTPUT, BATCH = "images", "logits", "batch"


def write_onnx(network: nn.Cell, path: Path, input_shape: tuple[int | None, int, int, int]) -> None:
    """Write a network to `path` as an ONNX file (opset 11) that `onnx.checker` accepts.

    Args:
        network: made of layers that export, in evaluation mode, and not exported before: MindSpore fails to export a
            network twice.
        input_shape: (B, C, H, W); B None leaves the batch size open.
    """
    onnx = _import("onnx")
    example = Tensor(np.zeros((input_shape[0] or 1, *input_shape[1:]), np.float32))
    ms.onnx.export(
        network,
        example,
        file_name=str(path),
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_axes={INPUT: {0: BATCH}} if input_shape[0] is None else None,
    )
    model = onnx.load(path)
    if input_shape[0] is None:
        # The exporter gives the output the example's batch size; onnxruntime warns at every other one.
        model.graph.output[0].type.tensor_type.shape.dim[0].dim_param = BATCH
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


class OnnxRunner:
    """An ONNX network on the CPU by onnxruntime: (B, C, H, W) float32 array -> array.

    Attributes:
        input_shape: (B, C, H, W), None where the size is open.
    Raises:
        ValueError: if the file is damaged, or is not a network of one image input.
    """

    def __init__(self, path: Path) -> None:
        runtime = _import("onnxruntime")
        self.path = path
        self.errors = _errors(runtime)
        try:
            self.session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
            inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
            described = [(i.name, i.type, i.shape) for i in inputs], [o.name for o in outputs]  # names may be invalid
        except self.errors as error:
            if is_out_of_memory(error):
                raise MemoryError(f"not enough memory to load {path}") from error
            raise ValueError(f"{path} is damaged, or is no ONNX network that onnxruntime can run: {error}") from error
        if len(inputs) != 1 or len(outputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type != "tensor(float)":
            raise ValueError(
                f"{path} must have one input of float32 (B, C, H, W) images and one output, it has inputs "
                f"{described[0]} and outputs {described[1]}."
            )
        self.name = inputs[0].name
        self.input_shape = tuple(size if isinstance(size, int) else None for size in inputs[0].shape)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        try:
            return self.session.run(None, {self.name: images})[0]
        except self.errors as error:
            if is_out_of_memory(error):
                raise MemoryError(f"not enough memory to run {self.path}") from error
            raise ValueError(f"{self.path} is damaged, or does not take such images: {error}") from error


def _errors(runtime: ModuleType) -> tuple[type[Exception], ...]:
    """The exceptions of onnxruntime for a file that it cannot read or run; they have no common base class."""
    names = ("Fail", "InvalidProtobuf", "InvalidGraph", "InvalidArgument", "NotImplemented", "RuntimeException")
    return (UnicodeDecodeError, *(getattr(runtime.capi.onnxruntime_pybind11_state, name) for name in names))


def check_onnx_installed() -> None:
    """Raise ValueError, saying what to install, unless onnx and onnxruntime are there."""
    _import("onnx")
    _import("onnxruntime")


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        # Without the bound on NumPy pip brings version 2, which breaks MindSpore 2.10.
        raise ValueError(
            f'.onnx files need the package {name}, which is not installed: pip install onnx onnxruntime "numpy<2"'
        ) from error
