"""MindCV's `create_loader`."""

from collections.abc import Sequence
from typing import Any

from mindcv.data.dataset import Dataset
from mindcv.data.loader import Loader
from mindcv.data.transforms import create_batch_transforms, create_transforms
from mindcv.keywords import refuse_unless


def create_loader(
    dataset: Dataset,
    batch_size: int,
    drop_remainder: bool = False,
    is_training: bool = False,
    mixup: float = 0.0,
    cutmix: float = 0.0,
    cutmix_prob: float = 0.0,
    num_classes: int = 1000,
    transform: Sequence[Any] | None = None,
    target_transform: Any = None,
    num_parallel_workers: int | None = None,
    python_multiprocessing: bool = False,
    separate: bool = False,
) -> Loader:
    """The `Loader` of a data set, by MindCV's arguments and with its defaults.

    Args:
        dataset: from `create_dataset`; its `shuffle` and `num_parallel_workers` apply unless given here. Without
            `shuffle`, training shuffles and evaluation does not.
        batch_size: examples per batch.
        drop_remainder: leave out the last examples that do not fill a batch.
        is_training: see `Loader`; mixing is for training only.
        mixup, cutmix, cutmix_prob: see `create_batch_transforms`.
        num_classes: of the network; fewer than the data set has is an error.
        transform: from `create_transforms`; None: its evaluation for ImageNet.
        target_transform, python_multiprocessing, separate: only as they are by default.
        num_parallel_workers: threads; None: as the data set was told, else one per core, at most 8.

    Raises:
        ValueError: for an argument that this package does not have, and as `Loader` does.
    """
    if not isinstance(dataset, Dataset):
        raise ValueError(
            f"create_loader: dataset must come from mindcv.create_dataset; got {type(dataset).__name__}. A data set "
            "of MindSpore has its own map() and batch(), and mindspore.Model takes it as it is."
        )
    for name, value, accepted, sentence in (
        ("target_transform", target_transform, None, "every loss of this package takes class numbers"),
        ("python_multiprocessing", python_multiprocessing, False, "images are read and augmented by threads"),
        ("separate", separate, False, "the option aug_splits of train.py makes augmentation splits"),
    ):
        refuse_unless(accepted, value, f"create_loader: {name}", sentence)
    if num_classes < len(dataset.class_names):
        raise ValueError(
            f"create_loader: num_classes={num_classes} is too few: data set {dataset.name!r} has "
            f"{len(dataset.class_names)} classes."
        )
    options: dict[str, Any] = {}
    if is_training and mixup + cutmix > 0:
        mixing: dict[str, Any] = {"mixup": mixup, "cutmix": cutmix, "cutmix_prob": cutmix_prob}
        mixing["num_classes"] = num_classes
        options["batch_transforms"] = create_batch_transforms(**mixing)
    if transform is None:
        transform = create_transforms(is_training=False, encoded=dataset.encoded, channels=dataset.channels)
    return Loader(
        dataset,
        transform,
        is_training=is_training,
        batch_size=batch_size,
        shuffle=dataset.shuffle,
        drop_remainder=drop_remainder,
        num_parallel_workers=num_parallel_workers or dataset.num_parallel_workers,
        **options,
    )
