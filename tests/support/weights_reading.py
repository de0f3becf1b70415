"""Comparisons for the tests of the weight readers."""

import numpy as np

from mindcv.weights.torch_file import read_torch_file


def assert_same(read, expected):
    assert list(read) == list(expected)
    for name, array in expected.items():
        assert (read[name].dtype, read[name].shape) == (array.dtype, array.shape), name
        assert read[name].tobytes() == array.tobytes(), name


def read_or_refuse(path):
    """The arrays, or None if the file is rejected with a ValueError that begins with its path, as it must be."""
    try:
        weights = read_torch_file(path)
    except ValueError as error:
        assert str(error).startswith(f"{path} is refused: ")
        return None
    assert all(isinstance(key, str) and isinstance(array, np.ndarray) for key, array in weights.items())
    return weights
