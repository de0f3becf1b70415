"""Options of the learning rate that depend on one another, or on the length and batch size of the training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mindcv.options.option import show
from mindcv.scheduler.factory import EPOCH_FACTOR, RISING, check_schedule, cooldown, first_drop

if TYPE_CHECKING:
    from mindcv.options.together import Layers

# A shortened warmup is one part in this many of the training.
_WARMUP_SHARE = 10
# Below this share of lr a network learns nothing more.
_NEGLIGIBLE = 1e-6


def lr_from_base(values: Mapping[str, Any]) -> float:
    """The learning rate that follows from `lr_base` and the examples of an update, those of all processes."""
    examples = values["batch_size"] * values["processes"] * values["gradient_accumulation_steps"]
    ratio = examples / values["lr_base_size"]
    scale = values["lr_base_scale"]
    if scale == "sqrt" or (scale == "auto" and any(part in values["opt"] for part in ("ada", "lamb"))):
        ratio = math.sqrt(ratio)
    return float(values["lr_base"] * ratio)


def settle_lr(layers: Layers) -> None:
    """Let the learning rate follow from `lr_base` and the batch size, unless `lr` is from a higher layer.

    Raises:
        ValueError: if one layer has both, and they disagree.
    """
    if layers["lr_base"] is None or layers.gives_way("lr_base", None, "lr"):
        return
    lr = lr_from_base(layers.values)
    if lr == 0 or not math.isfinite(lr):
        raise ValueError(f"{layers.said('lr_base')} is too {'large' if lr else 'small'}: lr would be {lr}")
    examples = ("batch_size", "processes", "gradient_accumulation_steps")
    parts = ("lr_base", "lr_base_size", "lr_base_scale", "opt", *examples)
    # A saved configuration has both, in agreement.
    if layers["lr"] != lr and not layers.gives_way("lr", lr, *parts):
        raise ValueError(f"{layers.said('lr')} is not {lr:g}, which follows from {layers.said('lr_base')}: give one")


def settle_schedule(layers: Layers) -> None:
    """Let lower layers give way in what makes a schedule impossible.

    Raises:
        ValueError: for values of one layer that contradict each other.
    """
    for key, without, other in (("warmup_epochs", 0, "warmup_steps"), ("warmup_steps", None, "warmup_epochs")):
        if layers[key] and layers["scheduler"] in RISING:
            layers.gives_way(key, without, "scheduler")
        elif layers[key] and layers[other]:
            layers.gives_way(key, without, other)
    if layers["warmup_epochs"] >= layers["epoch_size"]:
        _shorten_warmup(layers, "epoch_size")
    if layers["cooldown_epochs"] and layers["warmup_epochs"] + cooldown(layers.values) >= layers["epoch_size"]:
        layers.gives_way("cooldown_epochs", 0, "epoch_size", "warmup_epochs")
    if layers["min_lr"] > layers["lr"]:
        layers.gives_way("min_lr", 0.0, "lr")
    drops, first = first_drop(layers.values)
    if first <= layers["warmup_epochs"]:
        _shorten_warmup(layers, drops, "scheduler")
    check_schedule(layers.values, layers.said)
    follows = layers["scheduler"] == "plateau" and not layers["val_while_train"]
    if follows and not layers.gives_way("val_while_train", True, "scheduler"):
        both = f"{layers.said('scheduler')} and {layers.said('val_while_train')}"
        raise ValueError(f"{both}: the learning rate of plateau follows the validation")


def _shorten_warmup(layers: Layers, *others: str) -> None:
    epochs = min(layers["epoch_size"], first_drop(layers.values)[1]) / _WARMUP_SHARE
    layers.gives_way("warmup_epochs", int(epochs) if epochs == int(epochs) else epochs, *others)


def remarks_on_the_schedule(layers: Layers) -> list[str]:
    """Remarks on a schedule that is legal, but perhaps not intended."""
    lines = []
    epochs, decay, scheduler = layers["epoch_size"], layers["decay_epochs"], layers["scheduler"]
    said_epochs, warmup = layers.said("epoch_size"), layers["warmup_epochs"]
    if (warmup > 0 or layers["warmup_steps"]) and scheduler in ("step_decay", "multi_step_decay"):
        lines.append("drops of the learning rate count from the start of training (MindCV: from the end of warmup)")
    milestones = layers["multi_step_decay_milestones"]
    late = [epoch for epoch in milestones if epoch >= epochs]
    if layers.ranks["multi_step_decay_milestones"] == 0 and len(late) < len(milestones):
        late = []  # the default is cut to fit
    if scheduler == "multi_step_decay" and late:
        lines.append(f"no drop at {show(tuple(late))}: training ends before, {said_epochs}")
    if scheduler == "step_decay" and decay >= epochs:
        lines.append(f"the learning rate never drops: {layers.said('decay_epochs')}, {said_epochs}")
    if scheduler == "plateau" and warmup + layers["patience_epochs"] + 2 >= epochs:
        lines.append(f"the learning rate never drops: {layers.said('patience_epochs')}, {said_epochs}")
    if scheduler == "cosine_decay" and decay is not None and warmup + decay * layers["num_cycles"] > epochs:
        cycles = f", {layers.said('num_cycles')}" if layers["num_cycles"] > 1 else ""
        lines.append(f"the cosine does not reach its end: {layers.said('decay_epochs')}{cycles}, {said_epochs}")
    if scheduler == "exponential_decay":
        rate = EPOCH_FACTOR if layers["decay_rate"] is None else layers["decay_rate"]
        end = max(layers["lr"] * rate ** (epochs - warmup), layers["min_lr"])
        if end < _NEGLIGIBLE * layers["lr"]:
            lines.append(f"the learning rate falls to {end:.0e}: {layers.said('decay_rate')}, {said_epochs}")
    if cooldown(layers.values) and layers["min_lr"] == 0:
        lines.append(f"{layers.said('cooldown_epochs')} train nothing: {layers.said('min_lr')}")
    return lines
