"""Objects from a configuration: what the scripts have in common.

The only module that knows both the options of config.py and the factories of mindcv.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mindspore import nn

from config import COMMAND_LINE, Config, load_config
from mindcv.checkpoint import EXPORT_SUFFIXES, Checkpoint, check_fits, network_weights
from mindcv.data import Loader, create_dataset, create_loader, default_splits
from mindcv.export import ExportedNetwork, read_info
from mindcv.models import MODELS, build_model
from mindcv.weights import find_weights, imagenet_classes
from mindcv.weights.load import load_weights, num_classes, read_published, read_weights

# What a checkpoint's own configuration says, but is a matter of this run: where and from what to start.
_NOT_INHERITED = {"device_target", "debug", "ckpt_path", "pretrained", "dataset_download", "num_parallel_workers"}
# What a training takes over from published weights; from a checkpoint of its own kind it takes the weights only.
_PREPROCESSING = {"mean", "std", "interpolation", "crop_pct"}


def read_start(config: Config, argv: Sequence[str] | None, prog: str) -> tuple[Config, Checkpoint | None]:
    """The weights that a configuration names, and the configuration completed by what they say about themselves.

    Args:
        config: of `load_config(argv, prog=prog)`, which is read once more where the weights say something.

    Raises:
        ValueError: if the weights cannot be had, are damaged, or are not those of the model asked for.
    """
    MODELS.get(config.model.model)
    weights = _read_weights(config, may_be_exported=prog in ("validate", "infer"))
    if weights and weights.info:
        if prog != "train":
            asked = {key: value for key, value in config.to_dict().items() if config.sources[key] == COMMAND_LINE}
            check_fits(weights, **{key: asked[key] for key in asked.keys() & weights.info["model"].keys()})
        origin = weights.info.get("weights", str(weights.path))
        config = load_config(argv, prog=prog, inherited=_inherited(config, weights, prog), inherited_from=origin)
    print(*config.notices, sep="\n", end="\n" if config.notices else "")
    return config, weights


def _inherited(config: Config, weights: Checkpoint, prog: str) -> dict[str, Any]:
    """What of the weights' own configuration the run takes over."""
    own = weights.info["config"]
    if prog != "train":
        return {key: value for key, value in own.items() if key not in _NOT_INHERITED}
    if not config.model.pretrained:
        return {}
    own = {key: own[key] for key in _PREPROCESSING}
    if config.image.in_channels == 1:  # their average, as for the defaults
        own |= {key: (sum(own[key]) / len(own[key]),) for key in ("mean", "std")}
    return own


def _read_weights(config: Config, *, may_be_exported: bool) -> Checkpoint | None:
    model = config.model
    if model.pretrained:
        record = find_weights(model.model, None if model.pretrained is True else model.pretrained)
        print(
            f"weights: {record.name} of {record.source} for {record.model}, licence {record.licence}, published top-1 "
            f"{record.top1:.2f} % at {record.eval_size}x{record.eval_size}"
        )
        return read_published(record)
    if may_be_exported and Path(model.ckpt_path).suffix in EXPORT_SUFFIXES:
        return Checkpoint(Path(model.ckpt_path), {}, read_info(model.ckpt_path), names="exported")
    return read_weights(model.ckpt_path) if model.ckpt_path else None


def build_loader(config: Config, *, is_training: bool) -> Loader:
    """The loader of the training split (shuffled, augmented) or of the validation split (in order, every example)."""
    data = config.data
    train_split, eval_split = default_splits(data.dataset)
    split = (data.train_split or train_split) if is_training else (data.val_split or eval_split)
    dataset = create_dataset(
        data.dataset,
        data.data_dir,
        split,
        data.dataset_download,
        data.num_samples,
        config.runtime.seed,
        image_size=config.image.image_resize,
        num_classes=config.model.num_classes,
    )
    training_options = (
        {"shuffle": data.shuffle, "drop_remainder": data.drop_remainder, **vars(config.augment)} if is_training else {}
    )
    return create_loader(
        dataset,
        is_training=is_training,
        batch_size=data.batch_size,
        num_parallel_workers=data.num_parallel_workers,
        seed=config.runtime.seed,
        **vars(config.image),
        **training_options,
    )


def build_to_train(config: Config, class_names: Sequence[str], weights: Checkpoint | None) -> nn.Cell:
    """The network for these classes, starting from the weights if there are any.

    A classifier of other classes is replaced by a new one, and a first convolution for other input channels adapted.

    Raises:
        ValueError: if the network, the data set and the weights do not belong together.
    """
    _check_num_classes(config, class_names)
    model = config.model
    if weights:
        check_fits(weights, model=model.model)
    network = build_model(
        model.model,
        weights,
        num_classes=len(class_names),
        in_channels=config.image.in_channels,
        drop_rate=model.drop_rate,
        drop_path_rate=model.drop_path_rate,
    )
    if weights:
        its_classes = weights.info.get("class_names")
        load_weights(
            network, weights, adapt=True, new_classifier=bool(its_classes) and its_classes != list(class_names)
        )
    return network


def build_to_run(config: Config, weights: Checkpoint, class_names: Sequence[str] | None = None) -> nn.Cell:
    """The network with exactly these weights, or the exported network.

    Args:
        class_names: those of the data set it will be measured on; None if there is none.

    Raises:
        ValueError: if the network, the data set and the weights do not belong together.
    """
    if class_names is not None:
        _check_num_classes(config, class_names)
    in_channels = config.image.in_channels
    check_fits(weights, class_names, model=config.model.model, in_channels=in_channels)
    if weights.names == "exported":
        return ExportedNetwork(weights.path)
    classes = len(class_names) if class_names is not None else num_classes(weights)
    network = build_model(config.model.model, weights, num_classes=classes, in_channels=in_channels)
    load_weights(network, weights)
    return network


def class_names_of(weights: Checkpoint) -> list[str]:
    """A name for each class: ImageNet's in words, the numbers of the classes if the weights came without names."""
    in_words = dict(imagenet_classes())
    names = weights.info.get("class_names")
    if not names and weights.names == "exported":
        raise ValueError(f"{weights.path} does not name its classes: another tool wrote it. Export it with export.py.")
    return [in_words.get(name, name) for name in names or map(str, range(num_classes(weights)))]


def as_own_checkpoint(config: Config, weights: Checkpoint) -> Checkpoint:
    """The same weights under this package's names, with a description.

    Raises:
        ValueError: if they are not exactly those of the network that the configuration names.
    """
    if weights.names == "mindcv-sk" and weights.info:
        return weights
    network = build_to_run(config, weights)
    info = {
        "class_names": [],
        **weights.info,
        "model": network.description,
        "config": {"model": config.model.model, **vars(config.image)},
    }
    return replace(weights, weights=network_weights(network), info=info, names="mindcv-sk")


def _check_num_classes(config: Config, class_names: Sequence[str]) -> None:
    if config.model.num_classes not in (None, len(class_names)):
        raise ValueError(
            f"num_classes={config.model.num_classes}, but data set {config.data.dataset!r} has {len(class_names)} "
            f"classes: leave --num_classes out, or set it to {len(class_names)}."
        )
