"""Model families; importing this package fills the registry."""

from mindcv.models import resnet, sknet  # noqa: F401  (registration)
from mindcv.models.factory import MODELS, build_model, create_model, list_models
from mindcv.models.freeze import freeze

__all__ = ["MODELS", "build_model", "create_model", "freeze", "list_models"]
