"""An exported file that is called like the network it came from."""

from pathlib import Path

import numpy as np
from mindspore import Tensor

from mindcv.export.metadata import read_info
from mindcv.export.mindir_file import MindIRRunner
from mindcv.export.onnx_file import OnnxRunner


class ExportedNetwork:
    """The network of an .onnx or .mindir file: (B, C, H, W) float32 -> (B, num_classes) logits.

    It replaces a Cell in evaluation (`mindcv.engine.evaluate`). A file with a fixed batch size takes any batch: larger
    ones are split, smaller ones padded, and the logits of the padding dropped.

    Args:
        path: the file. An .onnx file of another tool works if it has one input and one output.
    Attributes:
        path: the file.
        info: its description; {} if another tool wrote it.
        input_shape: (B, C, H, W), None where the size is open.
        training: always False.
    Raises:
        ValueError: if the file is missing, damaged or of another kind, or onnxruntime is not installed.
    """

    training = False

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.info = read_info(self.path)
        if self.path.suffix.lower() == ".onnx":
            self.run: OnnxRunner | MindIRRunner = OnnxRunner(self.path)
        elif self.info:
            self.run = MindIRRunner(self.path, tuple(self.info["input_shape"]))
        else:
            raise ValueError(
                f"{self.path} does not describe itself: another tool wrote it, or its end is cut off. Export it again "
                "with export.py."
            )
        self.input_shape = self.run.input_shape

    def set_train(self, mode: bool = True) -> "ExportedNetwork":
        """Raise ValueError for True: an exported network is for inference."""
        if mode:
            raise ValueError(f"{self.path} is an exported network, which cannot be trained: train its checkpoint.")
        return self

    def __call__(self, images: Tensor) -> Tensor:
        """Logits of a batch.

        Raises:
            ValueError: if the images are not of the size the file was exported for.
        """
        batch = images.asnumpy()
        if batch.ndim != 4 or any(
            want not in (None, got) for want, got in zip(self.input_shape[1:], batch.shape[1:], strict=True)
        ):
            wanted = " x ".join("any" if size is None else str(size) for size in self.input_shape[1:])
            raise ValueError(
                f"{self.path} takes images of {wanted} (channels x height x width), got a batch of shape "
                f"{list(batch.shape)}. Set --image_resize and --in_channels to what it was exported for."
            )
        fixed = self.input_shape[0]
        if fixed is None:
            return Tensor(self.run(batch))
        logits = [self.run(_padded(batch[start : start + fixed], fixed)) for start in range(0, len(batch), fixed)]
        return Tensor(np.concatenate(logits)[: len(batch)])


def _padded(batch: np.ndarray, size: int) -> np.ndarray:
    missing = size - len(batch)
    return batch if not missing else np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), batch.dtype)])
