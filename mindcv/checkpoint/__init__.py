"""Checkpoints: the file format, exact loading into a network, and the folder of a run."""

from mindcv.checkpoint.exact import (
    COUNTER_SUFFIX,
    check_finite,
    check_fits,
    check_same_arrays,
    load_exact,
    network_weights,
    set_arrays,
    weight_parameters,
)
from mindcv.checkpoint.file import (
    Checkpoint,
    read_checkpoint,
    save_checkpoint,
)
from mindcv.checkpoint.store import CheckpointStore
from mindcv.faults import DamagedError

__all__ = [
    "COUNTER_SUFFIX",
    "Checkpoint",
    "CheckpointStore",
    "DamagedError",
    "check_finite",
    "check_fits",
    "check_same_arrays",
    "load_exact",
    "network_weights",
    "read_checkpoint",
    "save_checkpoint",
    "set_arrays",
    "weight_parameters",
]
