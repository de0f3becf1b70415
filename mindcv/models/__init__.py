"""Model families; importing this package fills the registry."""

from mindcv.models import resnet, shufflenet, sknet  # noqa: F401  (registration)
from mindcv.models.cpu import optimize_for_cpu
from mindcv.models.factory import MODELS, build_model, create_model, default_cfg, list_models
from mindcv.models.fold import fold_batch_norm
from mindcv.models.freeze import freeze
from mindcv.models.inference import prepare_for_inference
from mindcv.models.norms import check_batch_norms
from mindcv.models.precision import set_precision
from mindcv.models.recompute import recompute_blocks

__all__ = [
    "MODELS",
    "build_model",
    "check_batch_norms",
    "create_model",
    "default_cfg",
    "fold_batch_norm",
    "freeze",
    "list_models",
    "optimize_for_cpu",
    "prepare_for_inference",
    "recompute_blocks",
    "set_precision",
]
