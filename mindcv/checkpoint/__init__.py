"""Checkpoints: the file, how it fits a network, and the folder of a run."""

from mindcv.checkpoint.file import (
    EXPORT_SUFFIXES,
    WEIGHT_SUFFIXES,
    Checkpoint,
    check_checkpoint_path,
    publish,
    read_checkpoint,
    save_checkpoint,
)
from mindcv.checkpoint.fit import (
    COUNTER_SUFFIX,
    check_finite,
    check_fits,
    check_same_arrays,
    load_exact,
    network_weights,
    set_arrays,
    weight_parameters,
)
from mindcv.checkpoint.format import DamagedError
from mindcv.checkpoint.store import CheckpointStore

__all__ = [
    "COUNTER_SUFFIX",
    "EXPORT_SUFFIXES",
    "WEIGHT_SUFFIXES",
    "Checkpoint",
    "CheckpointStore",
    "DamagedError",
    "check_checkpoint_path",
    "check_finite",
    "check_fits",
    "check_same_arrays",
    "load_exact",
    "network_weights",
    "publish",
    "read_checkpoint",
    "save_checkpoint",
    "set_arrays",
    "weight_parameters",
]
