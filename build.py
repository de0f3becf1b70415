"""Objects from a configuration: what train.py and validate.py have in common.

The only module that knows both the options of config.py and the factories of mindcv.
"""

from collections.abc import Sequence

from mindspore import nn

from config import Config
from mindcv.checkpoint import Checkpoint, check_fits, load_exact
from mindcv.data import Loader, create_dataset, create_loader, default_splits
from mindcv.models import create_model


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


def build_network(config: Config, class_names: Sequence[str], checkpoint: Checkpoint | None) -> nn.Cell:
    """The network for these classes, with the checkpoint's weights if there is one.

    Raises:
        ValueError: if the network, the data set and the checkpoint do not belong together.
    """
    model = config.model
    if model.num_classes not in (None, len(class_names)):
        raise ValueError(
            f"num_classes={model.num_classes}, but data set {config.data.dataset!r} has {len(class_names)} classes: "
            f"leave --num_classes out, or set it to {len(class_names)}."
        )
    arguments = {"num_classes": len(class_names), "in_channels": config.image.in_channels}
    if checkpoint:
        check_fits(checkpoint, class_names, model=model.model, **arguments)
    network = create_model(
        model.model,
        **arguments,
        pretrained=model.pretrained,
        drop_rate=model.drop_rate,
        drop_path_rate=model.drop_path_rate,
    )
    if checkpoint:
        load_exact(network, checkpoint.weights, str(checkpoint.path))
    return network
