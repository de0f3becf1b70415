"""Weight initialisation by layer type."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

_DRAWS = ContextVar("draws initial weights", default=True)


@contextmanager
def without_initial_weights() -> Iterator[None]:
    """Networks built inside are to get every weight from a file: none is drawn, which takes as long as the rest."""
    token = _DRAWS.set(False)
    try:
        yield
    finally:
        _DRAWS.reset(token)


def are_weights_drawn() -> bool:
    """Whether this is outside `without_initial_weights`."""
    return _DRAWS.get()


def init_weights(network: nn.Cell) -> None:
    """Fill every weight in place, repeatably for the seed of `mindspore.set_seed`.

    Convolutions: normal with the standard deviation in their attribute `initial_deviation`, else He normal over the fan
    out, per group (He et al. 2015, equation 14). Dense layers: uniform in +-1 / sqrt(fan in), bias likewise (PyTorch's
    default). Norm layers: scale 1, shift 0. Nothing inside `without_initial_weights`.
    """
    if not are_weights_drawn():
        return
    rng = np.random.default_rng(ms.get_seed())
    for _, cell in network.cells_and_names():
        if isinstance(cell, nn.Conv2d):
            out_channels, _, height, width = cell.weight.shape
            fan_out = out_channels * height * width / cell.group
            deviation = getattr(cell, "initial_deviation", math.sqrt(2.0 / fan_out))
            _fill(cell.weight, rng.standard_normal(cell.weight.shape) * deviation)
        elif isinstance(cell, nn.Dense):
            bound = 1.0 / math.sqrt(cell.weight.shape[1])
            _fill(cell.weight, rng.uniform(-bound, bound, cell.weight.shape))
            _fill(cell.bias, rng.uniform(-bound, bound, cell.bias.shape))


def _fill(parameter: ms.Parameter, values: np.ndarray) -> None:
    parameter.set_data(Tensor(values.astype(np.float32)))
