"""MindSpore model zoo and training toolkit for image classification.

    import mindcv
    network = mindcv.create_model("sknet50", num_classes=10)

The public names below are imported when they are first used: MindSpore takes seconds to import, and `train.py --help`
or a mistyped flag need none of it.
"""

import os
from importlib import import_module
from typing import Any

from mindcv.version import __version__

# MindSpore's C++ side logs hundreds of warnings (level 2) and, while it looks for devices that are absent, errors (3).
# It reads this when it is imported. What users must know arrives as exceptions.
os.environ.setdefault("GLOG_v", "4")
# On a CPU with AVX-512 the oneDNN in MindSpore 2.10 falls back to reference code for convolutions larger than 1x1
# ("jit_uni_ncsp:conv+ref" under DNNL_VERBOSE=1): a skresnet18 training step at 32x32, batch 32, took 11 s instead of
# 0.2 s. Its AVX2 kernels are the right ones. oneDNN reads this at the first operator, so after `import mindspore` is
# early enough; other devices are not concerned.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
# The decoders inside MindSpore print to the terminal about damaged images, which are reported in words anyway.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")

_HOME = {
    "Loader": "mindcv.data",
    "create_batch_transforms": "mindcv.data",
    "create_dataset": "mindcv.data",
    "create_loader": "mindcv.data",
    "create_loss": "mindcv.loss",
    "create_model": "mindcv.models",
    "create_optimizer": "mindcv.optim",
    "create_scheduler": "mindcv.scheduler",
    "create_transforms": "mindcv.data",
    "evaluate": "mindcv.engine",
    "find_images": "mindcv.data",
    "freeze": "mindcv.models",
    "is_model": "mindcv.models",
    "is_model_pretrained": "mindcv.models",
    "list_datasets": "mindcv.data",
    "list_models": "mindcv.models",
    "predict": "mindcv.engine",
    "register_model": "mindcv.models",
    "setup_runtime": "mindcv.runtime",
}

_PARTS = {*(home.removeprefix("mindcv.") for home in _HOME.values()), "utils"}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name in _PARTS:
        return import_module(f"mindcv.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'mindcv' has no attribute {name!r}; public names: {', '.join(__all__)}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
