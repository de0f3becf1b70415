"""Builds the objects of a configuration that all scripts use; see assemble_training.py and assemble_data.py.

Only these modules know both the options of config.py and the factories of mindcv.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from mindspore import nn

from config import COMMAND_LINE, OPTIONS, Config
from mindcv.checkpoint import Checkpoint, CheckpointStore, check_fits
from mindcv.console import say, speak_for
from mindcv.distributed import ALONE, World, is_launched, joined_size
from mindcv.export import ExportedNetwork
from mindcv.models import build_model, prepare_for_inference, set_precision, use_channels_last, without_initial_weights
from mindcv.runtime import join, on_cpu, setup_runtime
from mindcv.weights.download import cache_folder
from mindcv.weights.load import load_weights, num_classes


class Arithmetic(NamedTuple):
    """What the last bits of a run's results depend on, besides MindSpore's version.

    Attributes:
        device: one of `mindcv.runtime.DEVICES`.
        mode: 0: Graph, 1: Pynative.
        deterministic: whether the same bits are asked of the device; a CPU gives them anyway.
        tf32: the operators that round float32 inputs to TF32.
    """

    device: str
    mode: int
    deterministic: bool
    tf32: str

    def in_words(self) -> str:
        tf32 = f", TF32 in {self.tf32}" if self.tf32 != "none" else ""
        return f"{self.device}, {('Graph', 'Pynative')[self.mode]} mode{tf32}"


# Options that cannot be had on some devices, and why.
_NOT_ON = {
    "tf32": (("CPU", "Ascend"), "which has no TF32"),
    "compile_cache": (("GPU", "Ascend"), "where MindSpore's compile cache was never tried: every start compiles"),
}
OF_RUNTIME = ("mode", "device_target", "seed", "deterministic", "tf32")  # what `setup_runtime` takes
_TF32 = {None: "convolutions", True: "convolutions and matrix products", False: "none"}


def start_runtime(config: Config) -> tuple[Arithmetic, World]:
    """Set device, mode and seed, join the other processes of a training, and say what the device does not promise.

    Raises:
        ValueError: if the device is not available.
    """
    asked = config.runtime
    device = setup_runtime(**{key: getattr(asked, key) for key in OF_RUNTIME})
    world = join() if config.prog == "train" else ALONE
    speak_for(world)
    for remark in without_effect_on(device, config):
        say(remark)
    if config.prog == "train" and device != "CPU":
        say(
            f"on {device} MindSpore is asked for the same bits each time; that it gives them was never measured"
            if asked.deterministic
            else f"on {device} the same seed need not give the same bits: a run that is repeated or resumed agrees up "
            "to rounding. --deterministic asks for the same bits (docs/reliability.md)"
        )
    tf32 = _TF32[asked.tf32] if device == "GPU" else "none"
    return Arithmetic(device, asked.mode, asked.deterministic or device == "CPU", tf32), world


def leave(config: Config) -> int:
    """Return the exit code of a training that ends before its processes have joined; the others wait until all have."""
    if joined_size() is not None:
        start_runtime(config)
    return 0


def without_effect_on(device: str, config: Config) -> list[str]:
    """Remarks on options that were set, but have no effect on this device."""
    remarks = []
    for key, (devices, why) in _NOT_ON.items():
        is_default = config.sources[key] != COMMAND_LINE and OPTIONS[key].default is True
        if device in devices and getattr(config.runtime, key) and config.given(key) and not is_default:
            remarks.append(f"{key} has no effect on {device}, {why}")
    return remarks


def graph_folder(config: Config) -> Path | None:
    """The folder in which compiled graphs are kept between starts; None without the cache, or with other processes."""
    return cache_folder() / "graphs" if config.runtime.compile_cache and config.runtime.processes == 1 else None


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


@contextmanager
def locked(store: CheckpointStore, world: World = ALONE) -> Iterator[None]:
    """Keep the run's folder to this run: in the process that has launched the others, else in the main one.

    Raises:
        ValueError: if another run has the folder.
    """
    if is_launched() or not world.is_main:
        yield
        return
    with store.lock() as lock:
        if lock.took_over:
            say(lock.took_over)
        yield


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
    with without_initial_weights():
        network = build_model(
            config.model.model, weights, num_classes=classes, in_channels=in_channels, device_forms=device_forms
        )
    load_weights(network, weights)
    return network


def build_to_infer(config: Config, weights: Checkpoint, class_names: Sequence[str] | None = None) -> nn.Cell:
    """`build_to_run`, made faster: must not be saved, exported or trained. An exported network is unchanged."""
    network = build_to_run(config, weights, class_names, device_forms=not is_mixed(config))
    return network if isinstance(network, ExportedNetwork) else made_faster(config, network)


def made_faster(config: Config, network: nn.Cell) -> nn.Cell:
    """A network with its final weights, made faster for inference in the precision of the options; in place."""
    network = prepare_for_inference(network, fold_bn=config.model.fold_bn)
    apply_layout(config, network, keep_weights=False)
    apply_precision(config, network)
    return network


def is_mixed(config: Config) -> bool:
    """Whether the script computes in mixed precision, which needs the textbook layers."""
    levels = {config.step.val_amp_level} | ({config.step.amp_level} if config.prog == "train" else set())
    return levels != {"O0"}


def apply_layout(config: Config, network: nn.Cell, *, keep_weights: bool = True) -> None:
    """Have the network compute in the layout of the options.

    Args:
        keep_weights: as in `use_channels_last`.

    Raises:
        ValueError: if this device or the network cannot.
    """
    if config.step.channels_last:
        use_channels_last(network, keep_weights=keep_weights)


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
