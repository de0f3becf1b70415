"""Model families; importing this package fills the registry.

Each registered network is also a function here, as in MindCV: `mindcv.models.resnet50(num_classes=10)`.
"""

from typing import Any

from mindcv.models import resnet, shufflenet, sknet  # noqa: F401  (registration)
from mindcv.models.channels_last import use_channels_last
from mindcv.models.cpu import optimize_for_cpu
from mindcv.models.factory import MODELS, build_model, create_model, default_cfg, list_models
from mindcv.models.fold import fold_batch_norm
from mindcv.models.freeze import freeze
from mindcv.models.inference import prepare_for_inference
from mindcv.models.layers.init import without_initial_weights
from mindcv.models.norms import check_batch_norms
from mindcv.models.precision import set_precision
from mindcv.models.recompute import recompute_blocks
from mindcv.models.registry import is_model, is_model_pretrained, model_entrypoint, register_model
from mindcv.registry import unknown

__all__ = [
    "MODELS",
    "build_model",
    "check_batch_norms",
    "create_model",
    "default_cfg",
    "fold_batch_norm",
    "freeze",
    "is_model",
    "is_model_pretrained",
    "list_models",
    "model_entrypoint",
    "optimize_for_cpu",
    "prepare_for_inference",
    "recompute_blocks",
    "register_model",
    "set_precision",
    "use_channels_last",
    "without_initial_weights",
]


def __getattr__(name: str) -> Any:
    if not is_model(name):
        raise AttributeError(f"module 'mindcv.models': {unknown('name', name, [*__all__, *MODELS.names()])}")
    return model_entrypoint(name)
