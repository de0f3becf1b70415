"""Reading weights from any supported file, and loading them exactly into a network."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import nn

from mindcv.checkpoint import (
    Checkpoint,
    check_finite,
    load_exact,
    read_checkpoint,
    weight_parameters,
)
from mindcv.faults import named_in_errors
from mindcv.paths import check_checkpoint_path, is_exported
from mindcv.weights.catalog import WeightRecord, imagenet_classes
from mindcv.weights.download import fetch_weights
from mindcv.weights.from_mindcv import from_mindcv, is_mindcv, mindcv_names, mindcv_variant
from mindcv.weights.from_timm import from_timm, timm_names
from mindcv.weights.prefix import is_known, without_prefix
from mindcv.weights.safetensors_file import read_safetensors
from mindcv.weights.torch_file import read_torch_file

_LOG = logging.getLogger("mindcv")

# Checkpoint.names -> a function that translates our parameter names, and one that imports such weights.
_Names = Callable[[Iterable[str]], Mapping[str, str]]
_Import = Callable[[Mapping[str, np.ndarray], nn.Cell], dict[str, np.ndarray]]
_DIALECTS: dict[str, tuple[_Names, _Import]] = {
    "mindcv-sk": (lambda names: {name: name for name in names}, lambda weights, network: dict(weights)),
    "timm": (timm_names, from_timm),
    "mindcv": (mindcv_names, from_mindcv),
}
_CLASSIFIER = ("classifier.weight", "classifier.bias")


def read_weights(path: str | Path) -> Checkpoint:
    """Read a `.ckpt` of this package or of MindCV, a `.safetensors`, or a `.pth`, recognised by its content.

    Returns:
        The weights under the file's names, without a prefix that a wrapper added to all of them (which is logged);
        `Checkpoint.names` is the naming scheme.
    Raises:
        ValueError: if there is no such file (the nearest names are given), or it is damaged or of another format.
    """
    path = Path(path)
    check_checkpoint_path(path)
    if is_exported(path):
        raise ValueError(
            f"{path} is an exported network: validate.py and infer.py run it, but cannot load its weights."
        )
    with named_in_errors(path), path.open("rb") as file:
        start = file.read(9)
    if start[8:] == b"{":
        checkpoint = Checkpoint(path, read_safetensors(path), {})
    elif start.startswith((b"PK\x03\x04", b"\x80")) or path.suffix in (".pth", ".pt", ".bin"):
        checkpoint = Checkpoint(path, read_torch_file(path), {})
    else:
        checkpoint = read_checkpoint(path)
    if not checkpoint.info:
        names, prefix = without_prefix(checkpoint.weights)
        if prefix:
            _LOG.warning("weights of %s: the prefix %s is removed from their names", path, prefix)
            checkpoint = replace(checkpoint, weights=dict(zip(names, checkpoint.weights.values(), strict=True)))
    return replace(checkpoint, names=_naming_scheme(checkpoint))


def read_published(record: WeightRecord) -> Checkpoint:
    """Read published weights, downloading them if necessary.

    Returns:
        The weights, described like a checkpoint of this package: model, classes and preprocessing.
    Raises:
        ValueError: if they are not available, or their hash is not the published one.
    """
    checkpoint = read_weights(fetch_weights(record))
    preprocessing = {
        "image_resize": record.eval_size,
        "crop_pct": record.eval_crop_pct,
        "interpolation": record.interpolation,
        "mean": record.mean,
        "std": record.std,
        "in_channels": 3,
    }
    model = {"model": record.model, "num_classes": record.num_classes, "in_channels": 3}
    info = {
        "model": {**model, "arch": variant(checkpoint, record.model)},
        "config": {"model": record.model, **preprocessing},
        "class_names": [wnid for wnid, _ in imagenet_classes()],
        "weights": f"{record.source} {record.name}",
    }
    return replace(checkpoint, info=info)


def variant(checkpoint: Checkpoint, model: str) -> dict[str, Any]:
    """Return the keywords for which `create_model(model, **keywords)` builds the network of the weights.

    Raises:
        ValueError: if it cannot be built; the message says why.
    """
    if checkpoint.names == "mindcv":
        return mindcv_variant(model, checkpoint.weights)
    return dict(checkpoint.info["model"].get("arch", {})) if checkpoint.info else {}


def load_weights(
    network: nn.Cell, checkpoint: Checkpoint, *, adapt: bool = False, new_classifier: bool = False
) -> None:
    """Copy weights into a network; the exceptions that the arguments allow are logged in a line.

    Args:
        network: built with the keywords from `variant`.
        checkpoint: from `read_weights` or `read_published`.
        adapt: allow another number of classes (the network keeps its classifier) or of input channels (see
            `adapt_input_channels`).
        new_classifier: keep the network's classifier even if the checkpoint's has the same size.
    Raises:
        ValueError: for any other difference in names, shapes or dtypes, listing both sides, and for NaN or infinity;
            the network is unchanged.
    """
    own = {name: parameter.asnumpy() for name, parameter in weight_parameters(network).items()}
    read_names, import_weights = _DIALECTS[checkpoint.names]
    weights, remarks = dict(checkpoint.weights), []
    if adapt and _CLASSIFIER[0] not in own:  # a feature extractor
        dropped = read_names([*own, *_CLASSIFIER])
        for name in _CLASSIFIER:
            weights.pop(dropped[name], None)
        remarks.append("its classifier is left out")
    try:
        weights = import_weights(weights, network)
    except ValueError as error:
        raise ValueError(f"{checkpoint.path}: {error}") from None

    half = [name for name, array in weights.items() if array.dtype == np.float16]
    weights |= {name: weights[name].astype(np.float32) for name in half}  # exact
    if half:
        remarks.append(f"{len(half)} arrays in half precision are widened to float32")
    if _CLASSIFIER[0] in own and _CLASSIFIER[0] in weights:
        classes, its_classes = own[_CLASSIFIER[0]].shape[0], weights[_CLASSIFIER[0]].shape[0]
        if new_classifier or (adapt and classes != its_classes):
            weights |= {name: own[name] for name in _CLASSIFIER}
            remarks.append(f"its classifier of {its_classes} classes is replaced by a new one of {classes}")
    first = next((name for name, array in own.items() if array.ndim == 4), None)
    if adapt and first in weights and weights[first].ndim == 4:
        channels, its_channels = own[first].shape[1], weights[first].shape[1]
        if channels != its_channels:
            weights[first] = adapt_input_channels(weights[first], channels)
            remarks.append(f"its first convolution is adapted from {its_channels} input channels to {channels}")
    check_finite(weights, str(checkpoint.path))
    load_exact(network, weights, str(checkpoint.path))
    if remarks:
        _LOG.warning("weights of %s: %s", checkpoint.path, "; ".join(remarks))


def num_classes(checkpoint: Checkpoint) -> int:
    """Return the number of classes of the weights.

    Raises:
        ValueError: if they have no classifier, or are not of a network of this package.
    """
    name = _DIALECTS[checkpoint.names][0](_CLASSIFIER)["classifier.bias"]
    if name in checkpoint.weights:
        return len(checkpoint.weights[name])
    unknown = [each for each in checkpoint.weights if not is_known(each)]
    if len(unknown) == len(checkpoint.weights):
        raise ValueError(
            f"{checkpoint.path} holds no weights of a network of this package: its names look like "
            f"{', '.join(unknown[:3]) or 'nothing'}; expected names like layer1.0.conv1.weight (timm, MindCV) or "
            "stages.0.0.conv1.conv.weight (this package)."
        )
    others = f"; unknown: {', '.join(unknown[:3])}" if unknown else ""
    raise ValueError(
        f"{checkpoint.path} has no classifier ({name} is missing{others}): its weights can start a training."
    )


def adapt_input_channels(weight: np.ndarray, channels: int) -> np.ndarray:
    """Adapt a first convolution to another number of input channels: (C_out, I, k, k) -> (C_out, channels, k, k).

    As in timm: for one channel the kernels are summed over I, so that a grey image gives the same result as I copies
    of it; for more, they are repeated in turn and scaled by I / channels, which preserves the sum.
    """
    its_channels = weight.shape[1]
    if channels == 1:
        return weight.sum(axis=1, keepdims=True)
    turns = np.arange(channels) % its_channels
    return (weight[:, turns] * (its_channels / channels)).astype(weight.dtype)


def _naming_scheme(checkpoint: Checkpoint) -> str:
    """Return the naming scheme of these weights, a key of `_DIALECTS`."""
    names = checkpoint.weights.keys()
    if checkpoint.info:
        return "mindcv-sk"
    if any(name.endswith(("running_mean", "running_var")) for name in names):
        return "timm"
    return "mindcv" if is_mindcv(names) else "mindcv-sk"
