"""Data sets, image transforms and the loader that feeds batches to the engine."""

from mindcv.data.check import check_dataset
from mindcv.data.dataset import Dataset, UnknownClassError
from mindcv.data.factory import DATASETS, create_dataset, default_splits, list_datasets
from mindcv.data.image_list import ImageFiles, find_images
from mindcv.data.loader import Loader
from mindcv.data.mindcv_loader import create_loader
from mindcv.data.transforms import create_batch_transforms, create_transforms

__all__ = [
    "DATASETS",
    "Dataset",
    "ImageFiles",
    "Loader",
    "UnknownClassError",
    "check_dataset",
    "create_batch_transforms",
    "create_dataset",
    "create_loader",
    "create_transforms",
    "default_splits",
    "find_images",
    "list_datasets",
]
