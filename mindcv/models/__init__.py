"""Model families; importing this package fills the registry."""

from mindcv.models import resnet, sknet  # noqa: F401  (registration)
from mindcv.models.factory import MODELS, create_model, list_models

__all__ = ["MODELS", "create_model", "list_models"]
