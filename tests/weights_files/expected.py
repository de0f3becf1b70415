"""What make_torch_files.py saved, by the same formulas in NumPy."""

import numpy as np


def ramp(count, dtype=np.float32):
    return (np.arange(count) / 8).astype(dtype)


def simple_tensors():
    return {
        "contiguous": ramp(24).reshape(2, 3, 4),
        "scalar": np.array(2.5, np.float32),
        "empty": np.zeros((0, 3), np.float32),
        "float64": ramp(6, np.float64),
        "float16": ramp(6, np.float16),
        "bfloat16": ramp(6) - np.float32(0.25),
        "int64": np.array(2**40 + 7),
        "int32": np.arange(-3, 3, dtype=np.int32),
        "int16": np.arange(-3, 3, dtype=np.int16),
        "int8": np.arange(-3, 3, dtype=np.int8),
        "uint8": np.arange(250, 256, dtype=np.uint8),
        "bool": np.array([True, False, False, True, False, False]),
    }


def expected_tensors():
    return {
        **simple_tensors(),
        "transposed": np.array([[i / 8, (i + 4) / 8, (i + 8) / 8] for i in range(4)], np.float32),
        "column": np.array([1 / 8, 5 / 8, 9 / 8], np.float32),
        "one_row": np.array([[4 / 8, 5 / 8, 6 / 8, 7 / 8]], np.float32),
        "expanded": np.array([[0.5] * 3, [-1.0] * 3], np.float32),
        "channels_last": ramp(24).reshape(1, 2, 3, 4),
        "shared_a": np.array([2 / 8, 3 / 8, 4 / 8, 5 / 8], np.float32),
        "shared_b": np.array([4 / 8, 5 / 8, 6 / 8, 7 / 8, 8 / 8, 9 / 8], np.float32),
        "parameter": ramp(4),
        "parameter_again": ramp(4),
    }


def expected_network():
    return {
        "fc.weight": ramp(6).reshape(2, 3) + 3,
        "fc.bias": ramp(2) + 3,
        "bn.weight": ramp(2) + 3,
        "bn.bias": ramp(2) + 3,
        "bn.running_mean": ramp(2) + 3,
        "bn.running_var": ramp(2) + 3,
        "bn.num_batches_tracked": np.array(3),
    }


def expected_training():
    return {"module.fc.weight": ramp(6).reshape(2, 3), "module.fc.bias": ramp(2)}


EXPECTED = {
    "tensors": expected_tensors(),
    "network": expected_network(),
    "training": expected_training(),
    "training_ema": {name: -array for name, array in expected_training().items()},
    "compiled": {f"_orig_mod.{name}": array for name, array in expected_training().items()},
}
