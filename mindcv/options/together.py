"""Options that depend on one another: which gives way in a contradiction, and which has no effect.

A default, a preset, a checkpoint or a recipe must not block the user's own values: of two that contradict each
other, the one from the lower layer gives way, with a notice. Within one layer, or where no value would make
sense, the contradiction is an error.
"""

import operator
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from mindcv.arguments import keeps_color_jitter
from mindcv.folders import BUILT_IN
from mindcv.loss.factory import LOSSES
from mindcv.optim.factory import OPTIMIZERS, check_optimizer, takes_betas, takes_nesterov
from mindcv.options.command_line import COMMAND_LINE
from mindcv.options.option import Option, shorten, show
from mindcv.options.schedule_together import remarks_on_the_schedule, settle_lr, settle_schedule
from mindcv.options.schema import Augment, Data, Image, Model
from mindcv.options.schema_training import Loss, LrBase, Optim, Schedule, Step, Train
from mindcv.paths import is_exported
from mindcv.registry import Registry
from mindcv.scheduler.factory import SCHEDULERS

# Options whose values belong to one value of another option.
_OWNED = {
    "dataset": "num_classes train_split val_split data_dir class_weights",
    "scheduler": "decay_epochs decay_rate",
    "opt": "betas eps",
}


@dataclass
class Layers:
    """The value of every option, and the layer it is from.

    Attributes:
        values: key -> value.
        sources: key -> where it is from, for messages.
        ranks: key -> number of its layer; a higher one wins. 0: the default.
        earlier: key -> the values that it had in lower layers, lowest first, each with its rank.
        notices: one for each value that gave way.
    """

    values: dict[str, Any]
    sources: dict[str, str]
    ranks: dict[str, int]
    earlier: dict[str, list[tuple[int, Any]]]
    notices: list[str] = field(default_factory=list)

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def said(self, key: str) -> str:
        """`key=value (source)`."""
        return f"{key}={shorten(show(self[key]))} ({self.sources[key]})"

    def put(self, key: str, value: Any, *, source: str, rank: int) -> None:
        """Set a value that follows from another option."""
        self.values[key], self.sources[key], self.ranks[key] = value, source, rank
        self.earlier[key].append((rank, value))

    def gives_way(self, key: str, value: Any, *others: str) -> bool:
        """Replace the value of `key` if one of the others is from a higher layer; returns whether that was so."""
        winner = max(others, key=lambda other: self.ranks[other])
        if self.ranks[key] >= self.ranks[winner]:
            return False
        replaced = self.said(key)
        self.values[key] = value
        self.notices.append(f"{replaced} gives way to {self.said(winner)}: {key}={show(value)}")
        return True


def settle(layers: Layers, options: Mapping[str, Option], prog: str) -> None:
    """Let lower layers give way to higher ones, and replace MindCV's `resume_opt` by `resume`.

    Raises:
        ValueError: for values of one layer that contradict each other.
    """
    _settle_owned(layers, options)
    if prog in options["num_parallel_workers"].scripts:
        _settle_cores(layers)
    for key in ("mean", "std"):
        # The average of the three is used. Compared by value: in a file written by `save` nothing is a default.
        grey_default = layers["in_channels"] == 1 and layers[key] == options[key].default
        if len(layers[key]) == layers["in_channels"] or grey_default:
            continue
        average = (sum(layers[key]) / max(len(layers[key]), 1),)
        if layers["in_channels"] != 1 or not layers[key] or not layers.gives_way(key, average, "in_channels"):
            raise ValueError(f"{layers.said(key)} must have one value per channel, but {layers.said('in_channels')}")
    if layers["pretrained"] and layers["ckpt_path"]:
        settled = layers.gives_way("pretrained", False, "ckpt_path") or layers.gives_way("ckpt_path", "", "pretrained")
        if not settled:
            both = f"{layers.said('pretrained')} and {layers.said('ckpt_path')}"
            raise ValueError(f"{both}: weights can come from one of them only")
    if prog != "train":
        _settle_validation(layers)
    else:
        _settle_resume(layers)
        settle_lr(layers)
        settle_schedule(layers)
        _settle_optimizer(layers)


def _settle_owned(layers: Layers, options: Mapping[str, Option]) -> None:
    """Drop values that a lower layer gave for another data set or schedule."""
    for owner, keys in _OWNED.items():
        yielding = []
        for key in keys.split():
            before = [value for rank, value in layers.earlier[owner] if 0 < rank <= layers.ranks[key]]
            if not before or before[-1] == layers[owner] or layers[key] == options[key].default:
                continue
            if layers[key] == "balanced":  # class_weights that follow from the data set
                continue
            if key == "data_dir":  # may well hold several data sets
                layers.notices.append(f"{layers.said(key)} was given for {owner}={before[-1]}")
            elif layers.ranks[key] < layers.ranks[owner]:
                yielding.append(layers.said(key))
                layers.values[key] = options[key].default
        if yielding:
            give = "give" if len(yielding) > 1 else "gives"
            layers.notices.append(f"{', '.join(yielding)} {give} way to {layers.said(owner)}")


def _settle_cores(layers: Layers) -> None:
    """More threads than cores, which MindData refuses, are an error only if set on the command line."""
    wanted, cores = layers["num_parallel_workers"], os.cpu_count() or 1
    if not wanted or wanted <= cores:
        return
    said = layers.said("num_parallel_workers")
    if layers.sources["num_parallel_workers"] == COMMAND_LINE:
        raise ValueError(f"{said} must be from 1 to {cores}, the cores of this machine")
    layers.notices.append(f"{said} gives way to this machine: num_parallel_workers={cores}, its cores")
    layers.values["num_parallel_workers"] = cores


def _settle_validation(layers: Layers) -> None:
    """Outside training there is one size; the last layer that names one decides."""
    for key in ("batch_size", "image_resize"):
        of_validation = f"val_{key}"
        if layers[of_validation] is None or layers.gives_way(of_validation, None, key):
            continue
        if layers.sources[key] == COMMAND_LINE:
            layers.notices.append(f"{layers.said(key)} has no effect with {layers.said(of_validation)}")


def _settle_resume(layers: Layers) -> None:
    values = layers.values
    if not values["resume_opt"]:
        return
    if values["resume"] or not values["ckpt_path"]:
        said = layers.said("resume_opt")
        raise ValueError(f"{said} needs ckpt_path, the checkpoint to resume, and no resume besides")
    values["resume"], values["resume_opt"], values["ckpt_path"] = values["ckpt_path"], False, ""
    layers.sources["resume"], layers.sources["ckpt_path"] = layers.sources["ckpt_path"], "default"


def _settle_optimizer(layers: Layers) -> None:
    if layers["use_nesterov"] and not takes_nesterov(layers["opt"], layers["momentum"]):
        usable = "use_nesterov" in OPTIMIZERS.options(layers["opt"])
        layers.gives_way("use_nesterov", False, "momentum" if usable else "opt")
    if not takes_betas(layers["opt"], layers["betas"]):
        layers.gives_way("betas", None, "opt")
    check_optimizer(layers.values, layers.said)


def small_batch_notice(data: Data, source: str, num_images: int) -> str:
    """A notice if drop_remainder gives way because it would leave no batch; else an empty text.

    Args:
        data: the options of the data.
        source: where drop_remainder is from. Only if it was asked for on the command line is that an error, which
            `Loader` raises: recipes set it for data sets that are large, and a saved configuration holds everything.
        num_images: size of the training split, or of a process's part.
    """
    if not data.drop_remainder or num_images >= data.batch_size or source == COMMAND_LINE:
        return ""
    return (
        f"batch_size={data.batch_size} is more than the {num_images} training images: an epoch is one batch of "
        f"{num_images}, drop_remainder=true ({source}) gives way"
    )


def _unused(governor: str, entries: Registry) -> list[tuple[str, str, Callable[[Any], bool]]]:
    """For each option that some of the entries use, whether the chosen one does not."""
    keys = dict.fromkeys(key for name in entries for key in entries.options(name))

    def is_idle(key: str) -> Callable[[Any], bool]:
        return lambda name: key not in entries.options(name)

    return [(key, governor, is_idle(key)) for key in keys]


# Everything in the section Augment is random.
_OF_AUGMENT = " ".join(option.name for option in fields(Augment) if option.name != "no_aug")

_OF_VALIDATION = (
    "val_interval val_split val_batch_size val_image_resize ckpt_save_policy early_stop_patience early_stop_delta"
)
_NOT_CHECKING = (
    "mode device_target batch_size val_batch_size image_resize val_image_resize interpolation mean std crop_pct "
    "val_amp_level amp_dtype on_bad_image bad_image_limit fold_bn tta compile_cache report confusion_matrix overwrite "
    "channels_last"
)
_OF_A_RUN = " ".join(
    option.name
    for section in (Data, Image, Augment, Model, Loss, Optim, Schedule, LrBase, Step, Train)
    for option in fields(section)
)
# Options that have no effect for some values of others: keys, the others, whether their values are such.
IDLE_WHEN: tuple[tuple[str, str, Callable[..., bool]], ...] = (
    (f"seed compile_cache {_OF_A_RUN}", "check_device", bool),
    ("compile_cache", "mode", lambda mode: mode == 1),
    ("compile_cache", "processes", lambda number: number > 1),
    ("dataset_download", "dataset", lambda name: name == "digits"),  # for synthetic it is an error
    ("data_dir", "dataset", lambda name: name in ("digits", "synthetic")),
    ("val_fraction", "dataset", lambda name: name in BUILT_IN),
    ("sampler", "shuffle", operator.not_),
    ("fold", "folds", lambda folds: folds is None),
    ("val_fraction train_split val_split", "folds", lambda folds: folds is not None),
    ("on_bad_image bad_image_limit", "dataset", lambda name: name in BUILT_IN),
    ("bad_image_limit", "on_bad_image", lambda policy: policy == "stop"),
    (_NOT_CHECKING, "check_data", bool),
    ("fold_bn val_amp_level amp_dtype channels_last", "ckpt_path", is_exported),
    ("scale ratio", "random_crop_padding", lambda padding: padding is not None),
    (
        "color_jitter color_jitter_prob",
        "auto_augment",
        lambda policy: policy is not None and not keeps_color_jitter(policy),
    ),
    ("color_jitter_prob", "color_jitter", lambda strength: strength in (None, 0.0)),
    ("color_jitter", "color_jitter_prob", lambda probability: probability == 0),
    ("grayscale_prob", "in_channels", lambda channels: channels == 1),
    (_OF_AUGMENT, "no_aug", bool),
    ("re_scale re_ratio re_value re_count re_max_attempts", "re_prob", lambda probability: probability == 0),
    ("cutmix_prob mixup_mode mixup_off_epoch", "mixup cutmix cutmix_minmax", lambda *amounts: not any(amounts)),
    ("mixup_switch_prob", "cutmix cutmix_minmax", lambda *amounts: not any(amounts)),
    ("mixup_switch_prob", "mixup", operator.not_),
    ("cutmix", "cutmix_minmax", lambda sides: sides is not None),
    ("mixup cutmix cutmix_minmax", "cutmix_prob", lambda probability: probability == 0),
    ("layer_decay", "freeze", lambda depth: depth == "backbone"),
    *_unused("loss", LOSSES),
    ("bce_sum", "reduction", lambda reduction: reduction == "sum"),
    *_unused("opt", OPTIMIZERS),
    ("weight_decay_filter trust_coeff", "weight_decay", lambda decay: decay == 0),
    ("eps", "opt weight_decay", lambda name, decay: name == "lars" and decay == 0),
    ("lr_base_size lr_base_scale", "lr_base", lambda lr: lr is None),
    ("warmup_factor", "warmup_epochs warmup_steps", lambda epochs, steps: not epochs and not steps),
    ("cycle_decay", "num_cycles", lambda cycles: cycles == 1),
    ("cooldown_epochs", "scheduler decay_epochs", lambda name, epochs: name == "cosine_decay" and epochs is not None),
    *_unused("scheduler", SCHEDULERS),
    ("clip_value clip_mode", "clip_grad", operator.not_),
    ("ema_decay ema_warmup", "ema", operator.not_),
    ("loss_scale_type loss_scale drop_overflow_update", "amp_level", lambda level: level == "O0"),
    ("drop_overflow_update", "loss_scale_type", lambda kind: kind == "dynamic"),
    (
        "drop_overflow_update",  # nothing is scaled, or dynamically
        "loss_scale_type loss_scale",
        lambda kind, scale: kind == "auto" and scale is None,
    ),
    ("freeze_bn", "freeze freeze_bn", lambda depth, rule: depth is None and rule != "all"),
    ("overwrite", "report confusion_matrix", lambda *paths: not any(paths)),
    ("overwrite", "output", operator.not_),
    ("early_stop_delta", "early_stop_patience", lambda patience: patience is None),
    (_OF_VALIDATION, "val_while_train", operator.not_),
    ("ckpt_save_policy", "keep_checkpoint_max", operator.not_),
    ("ckpt_path pretrained", "resume", lambda resume: resume not in (False, "auto")),
    ("nan_limit", "on_nan", lambda policy: policy == "stop"),
)


# Options that every script takes, and a script that they cannot change.
IDLE_IN = {"infer": ("seed",), "export": ("seed",), "convert": ("seed", "mode", "device_target")}


def without_effect(values: Mapping[str, Any], options: Mapping[str, Option], prog: str) -> dict[str, str]:
    """The options that have no effect in a script for these values of all options -> the values that make it so."""
    idle = {
        key: ", ".join(f"{governor}={shorten(show(values[governor]))}" for governor in governors.split())
        for keys, governors, is_idle in reversed(IDLE_WHEN)
        for key in keys.split()
        if all(prog in options[name].scripts for name in (key, *governors.split()))
        and is_idle(*(values[governor] for governor in governors.split()))
    }
    if values["val_amp_level"] == "O0" and (prog != "train" or values["amp_level"] == "O0"):
        idle["amp_dtype"] = "val_amp_level=O0" if prog != "train" else "amp_level=O0"
    return idle


def remarks(layers: Layers, options: Mapping[str, Option], prog: str, recipes: Collection[str]) -> list[str]:
    """Remarks on values that are legal, but perhaps not intended.

    An option without effect has a line of its own if it is on the command line; those of a recipe have one together,
    and only if they are not defaults.

    Args:
        recipes: the sources that are recipes.
    """
    idle = without_effect(layers.values, options, prog)
    lines = [f"{key} has no effect with {why}" for key, why in idle.items() if layers.sources[key] == COMMAND_LINE]
    lines += [
        f"{key} has no effect in {prog}.py" for key in IDLE_IN.get(prog, ()) if layers.sources[key] == COMMAND_LINE
    ]
    by_recipe: dict[str, list[str]] = {}
    for key, why in idle.items():
        if layers.sources[key] in recipes and layers[key] != options[key].default:
            by_recipe.setdefault(layers.sources[key], []).append(f"{key} ({why})")
    lines += [f"{source}: no effect of {', '.join(keys)}" for source, keys in by_recipe.items()]
    if prog == "train":
        lines += remarks_on_the_schedule(layers)
        rarely = layers["val_while_train"] and layers["val_interval"] > layers["epoch_size"]
        if rarely and layers.sources["val_interval"] == COMMAND_LINE:
            both = f"{layers.said('val_interval')}, {layers.said('epoch_size')}"
            lines.append(f"{both}: validated after the last epoch only")
    return lines
