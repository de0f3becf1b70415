"""Writing and running MindIR files, MindSpore's own format for a network with its weights."""

from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from mindcv.faults import is_out_of_memory


def write_mindir(network: nn.Cell, path: Path, input_shape: tuple[int | None, int, int, int]) -> None:
    """Write a network to `path` as a MindIR file.

    Args:
        network: made of layers that export, in evaluation mode: the file keeps the mode.
        input_shape: (B, C, H, W); B None leaves the batch size open.
    """
    batch, *image = input_shape
    if batch is None:
        example = Tensor(shape=[None, *image], dtype=ms.float32)
    else:
        example = Tensor(np.zeros((batch, *image), np.float32))
    ms.export(network, example, file_name=str(path), file_format="MINDIR")
    path.chmod(0o644)  # MindSpore makes it readable by its owner only


class MindIRRunner:
    """A MindIR network in MindSpore: (B, C, H, W) float32 array -> array.

    Attributes:
        input_shape: (B, C, H, W), None where the size is open.
    Raises:
        ValueError: if MindSpore cannot read the file.
    """

    def __init__(self, path: Path, input_shape: tuple[int | None, ...]) -> None:
        try:
            self.cell = nn.GraphCell(ms.load(str(path)))
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise MemoryError(f"not enough memory to load {path}") from error
            raise ValueError(f"{path} is damaged, or is no MindIR file that this MindSpore can read.") from error
        self.input_shape = input_shape

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return self.cell(Tensor(images)).asnumpy()
