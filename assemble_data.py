"""Data sets and loaders from a configuration, with the classes and the division of a run or its weights."""

import inspect
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from config import COMMAND_LINE, Config
from mindcv.checkpoint import Checkpoint, check_fits
from mindcv.console import say
from mindcv.data import Dataset, Loader, UnknownClassError, create_dataset, default_splits
from mindcv.data.transforms import create_batch_transforms, create_transforms
from mindcv.distributed import ALONE, World
from mindcv.engine import size_to_load
from mindcv.folders import BUILT_IN, find_undivided
from mindcv.options.together import small_batch_notice


def build_dataset(config: Config, *, is_training: bool, **known: Any) -> Dataset:
    """The training or the validation split.

    Args:
        known: from an earlier split or a checkpoint: class_names, owner, is_multi_label, held_out, val_fraction.
    """
    data = config.data
    in_folds = data.folds is not None or "folds" in (known.get("held_out") or {})
    asked = None if in_folds else data.train_split if is_training else data.val_split
    places = ("train", "val") if in_folds else default_splits(data.dataset, data.data_dir)
    usual = places[not is_training]
    dataset = create_dataset(
        data.dataset,
        data.data_dir,
        asked or usual,
        data.dataset_download,
        data.num_samples,
        config.runtime.seed,
        image_size=config.image.image_resize,
        num_classes=config.model.num_classes,
        folds=data.folds,
        fold=data.fold,
        **{"val_fraction": data.val_fraction, **known},
    )
    if not asked and not in_folds and usual != default_splits(data.dataset)[not is_training]:
        dataset.remarks.append(f"{data.data_dir} has no split 'val': validating on {usual!r}")
    return dataset


def build_training_loader(config: Config, weights: Checkpoint | None, *, resumes: bool, world: World = ALONE) -> Loader:
    """The loader of the training split: shuffled, augmented.

    Classes keep the numbers that they have in the weights, so that the classifier fits; images that the weights were
    not trained on are held out again.

    Args:
        weights: those to start from, or the run to resume; None if there are none.
        resumes: whether it is a run, whose classes must be those of the data set.
        world: the processes, of which each reads a part.
    Raises:
        ValueError: if the data set cannot be opened, or a run's classes are not those of the data set.
    """
    # The division of weights to start from applies only to the data set that they were trained on.
    same_data = resumes or (weights and weights.info.get("config", {}).get("dataset") == config.data.dataset)
    known = _division(config, weights) if same_data else {}
    if weights and resumes:
        known |= {"is_multi_label": weights.info.get("is_multi_label", False), "owner": str(weights.path)}
    dataset = build_dataset(config, is_training=True, **known)
    if weights and same_data:
        _compare_division(dataset, weights)
    if weights and (names := weights.info.get("class_names")):
        if dataset.has_exactly(names):
            dataset.label_by(names, str(weights.path))
        elif resumes:
            check_fits(weights, dataset.class_names)
    data = config.data
    notice = small_batch_notice(data, config.sources["drop_remainder"], len(dataset) // world.size)
    if notice:
        say(notice)
    drop = data.drop_remainder and not notice
    order = {"shuffle": data.shuffle, "sampler": data.sampler, "aug_repeats": data.aug_repeats, "drop_remainder": drop}
    return _build_loader(config, dataset, world, is_training=True, **order)


def build_validation_loader(config: Config, training: Dataset, world: World = ALONE) -> Loader:
    """The loader of the validation split during training: in order, every example, with the training's classes."""
    known = {
        "class_names": training.class_names,
        "is_multi_label": training.is_multi_label,
        "held_out": training.held_out,
    }
    if training.is_multi_label:  # average precision needs all examples together: each process reads them all
        world = ALONE
    return _build_loader(config, build_dataset(config, is_training=False, **known), world, is_training=False)


def build_measuring_loader(config: Config, weights: Checkpoint) -> Loader:
    """The loader of the validation split for finished weights: the images that their run held out, with its classes."""
    known = _division(config, weights)
    data = config.data
    root = Path(data.data_dir).expanduser()
    is_undivided = data.dataset not in BUILT_IN and find_undivided(root, data.dataset, only_train=False)
    shares = (data.val_fraction, data.folds)
    if is_undivided and not known and shares == (None, None) and data.val_split in (None, "val"):
        known = {"val_fraction": 1.0}  # as far as is known, none of these images was trained on
    dataset = build_dataset(config, is_training=False, **_classes(weights), **known)
    _compare_division(dataset, weights)
    image = config.eval_image
    size = size_to_load(config.model.tta, image.image_resize, image.crop_pct)
    config = replace(config, image=replace(image, **size), data=replace(data, val_image_resize=None))
    return _build_loader(config, dataset, ALONE, is_training=False)


def open_to_check(config: Config, weights: Checkpoint | None) -> tuple[list[Dataset], list[str]]:
    """Both splits, and the problems with their classes, compared with the weights', else with those of training."""
    classes, problems, datasets = _classes(weights), [], []
    division = _division(config, weights)
    for is_training in (True, False):
        try:
            dataset = build_dataset(config, is_training=is_training, **classes, **division)
        except UnknownClassError as error:
            problems.append(str(error))
            dataset = build_dataset(config, is_training=is_training, **division)
        classes = classes or {"class_names": dataset.class_names, "is_multi_label": dataset.is_multi_label}
        division = {"held_out": dataset.held_out}
        datasets.append(dataset)
    return datasets, problems


def say_remarks(*datasets: Dataset) -> None:
    """Print each remark on the data sets once."""
    for remark in dict.fromkeys(remark for dataset in datasets for remark in dataset.remarks):
        say(remark)


def _classes(weights: Checkpoint | None) -> dict[str, Any]:
    """The classes of weights, for `build_dataset`; {} if the weights do not name them."""
    if weights is None or not weights.info.get("class_names"):
        return {}
    return {
        "class_names": weights.info["class_names"],
        "is_multi_label": weights.info.get("is_multi_label", False),
        "owner": weights.info.get("weights", str(weights.path)),
    }


def _division(config: Config, weights: Checkpoint | None) -> dict[str, Any]:
    """How the weights' run divided its images, for `build_dataset`; {} if it did not, or another part is wanted now."""
    held_out = weights.info.get("held_out") if weights else None
    if not held_out:
        return {}
    options = {"val_fraction": "fraction", "folds": "folds", "fold": "fold"}
    asked = {key: getattr(config.data, name) for name, key in options.items() if config.sources[name] == COMMAND_LINE}
    if asked.get("fraction", 0) is None:  # none is no share that differs
        del asked["fraction"]
    return {"held_out": held_out} if all(held_out.get(key) == value for key, value in asked.items()) else {}


def _compare_division(dataset: Dataset, weights: Checkpoint) -> None:
    """Add a remark if the images are divided differently from the weights' run."""
    ours, theirs = (
        {key: value for key, value in (held_out or {}).items() if key != "limits"}
        for held_out in (dataset.held_out, weights.info.get("held_out"))
    )
    if ours and theirs and ours != theirs:
        said = ", ".join(f"{'val_' * (key == 'fraction')}{key}={value:g}" for key, value in theirs.items())
        dataset.remarks.append(
            f"these weights may have been trained on some of the images to validate: their run held out others ({said})"
        )


def _build_loader(config: Config, dataset: Dataset, world: World, *, is_training: bool, **options: Any) -> Loader:
    data, augment = config.data, asdict(config.augment)
    known = inspect.signature(create_batch_transforms).parameters
    of_batches = {key: augment.pop(key) for key in known if key in augment}
    transforms = create_transforms(
        is_training=is_training,
        encoded=dataset.encoded,
        channels=dataset.channels,
        **vars(config.image if is_training else config.eval_image),
        **augment,
    )
    if is_training:
        options["aug_splits"] = config.aug_splits
    if is_training and not config.augment.no_aug:
        options["batch_transforms"] = create_batch_transforms(**of_batches, num_classes=len(dataset.class_names))
    return Loader(
        dataset,
        transforms,
        is_training=is_training,
        batch_size=data.batch_size if is_training else config.eval_batch_size,
        num_parallel_workers=data.num_parallel_workers,
        seed=config.runtime.seed,
        world=world,
        on_bad_image=data.on_bad_image,
        bad_image_limit=data.bad_image_limit,
        **options,
    )
