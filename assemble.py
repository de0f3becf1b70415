"""Builds the objects of a configuration that all scripts use; see assemble_training.py and assemble_data.py.

Only these modules know both the options of config.py and the factories of mindcv.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mindspore import nn

from config import OPTIONS, Config
from mindcv.checkpoint import Checkpoint, CheckpointStore, check_fits
from mindcv.export import ExportedNetwork
from mindcv.models import build_model, prepare_for_inference, set_precision
from mindcv.runtime import on_cpu
from mindcv.weights.download import cache_folder
from mindcv.weights.load import load_weights, num_classes


def graph_folder(config: Config) -> Path | None:
    """The folder in which compiled graphs are kept between starts; None without the cache."""
    return cache_folder() / "graphs" if config.runtime.compile_cache else None


def describe_graphs(config: Config, network: nn.Cell | ExportedNetwork) -> dict[str, Any]:
    """Everything but the sources that determines a script's graphs, for `compiled_graphs_kept`."""
    options = {name: value for name, value in config.to_dict().items() if OPTIONS[name].in_graph}
    return {"options": options, "network": getattr(network, "description", None)}


def build_store(config: Config) -> CheckpointStore:
    """The checkpoint store of a run; creates nothing yet."""
    options = config.train
    return CheckpointStore(
        options.ckpt_save_dir,
        config.model.model,
        keep=options.keep_checkpoint_max,
        policy=options.ckpt_save_policy if options.val_while_train else "latest_k",
        interval=options.ckpt_save_interval,
    )


def build_to_run(
    config: Config, weights: Checkpoint, class_names: Sequence[str] | None = None, *, device_forms: bool = True
) -> nn.Cell:
    """The network with exactly these weights, or the exported network.

    Args:
        class_names: those of the data set to evaluate on; None if there is none.
        device_forms: as in `create_model`.

    Raises:
        ValueError: if the network, the data set and the weights do not belong together.
    """
    if class_names is not None:
        check_num_classes(config, class_names)
    in_channels = config.image.in_channels
    check_fits(weights, class_names, model=config.model.model, in_channels=in_channels)
    if weights.names == "exported":
        return ExportedNetwork(weights.path)
    classes = len(class_names) if class_names is not None else num_classes(weights)
    network = build_model(
        config.model.model, weights, num_classes=classes, in_channels=in_channels, device_forms=device_forms
    )
    load_weights(network, weights)
    return network


def build_to_infer(config: Config, weights: Checkpoint, class_names: Sequence[str] | None = None) -> nn.Cell:
    """`build_to_run`, made faster: must not be saved, exported or trained. An exported network is unchanged."""
    network = build_to_run(config, weights, class_names, device_forms=not is_mixed(config))
    if isinstance(network, ExportedNetwork):
        return network
    network = prepare_for_inference(network, fold_bn=config.model.fold_bn)
    apply_precision(config, network)
    return network


def is_mixed(config: Config) -> bool:
    """Whether the script computes in mixed precision, which needs the textbook layers."""
    levels = {config.step.val_amp_level} | ({config.step.amp_level} if config.prog == "train" else set())
    return levels != {"O0"}


def apply_precision(config: Config, network: nn.Cell) -> None:
    """Have the network compute in the precision of the options.

    Raises:
        ValueError: if this device cannot.
    """
    options = config.step
    if is_mixed(config) and options.amp_dtype == "bfloat16" and on_cpu():
        raise ValueError("amp_dtype=bfloat16: MindSpore has no such convolutions on a CPU. Use --amp_dtype=float16.")
    set_precision(network, options.amp_level, options.val_amp_level, options.amp_dtype)


def check_num_classes(config: Config, class_names: Sequence[str]) -> None:
    """Raise ValueError if another number of classes was asked for."""
    if config.model.num_classes not in (None, len(class_names)):
        raise ValueError(
            f"num_classes={config.model.num_classes}, but data set {config.data.dataset!r} has {len(class_names)} "
            f"classes: leave --num_classes out, or set it to {len(class_names)}."
        )
