"""Import of MindCV's weights of the residual networks: their names, and how its networks differ. Pure NumPy.

MindCV is the package of MindSpore's community (https://github.com/mindspore-lab/mindcv, version 0.3.0; these networks
are unchanged in 0.5.0). Its checkpoints are MindSpore's `.ckpt` files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mindcv.weights.renaming import Rule, rename, take

if TYPE_CHECKING:
    from mindspore import nn

# Our names -> MindCV's, applied in this order to every name.
_RULES: list[Rule] = [
    (r"^stages\.(\d+)\.", lambda m: f"layer{int(m[1]) + 1}."),
    (r"\.split\.branches\.(\d+)\.conv\.", r".paths.\1.features.0."),
    (r"\.split\.branches\.(\d+)\.bn\.", r".paths.\1.features.1."),
    (r"\.fuse\.conv\.", ".attn.fc_reduce."),
    (r"\.fuse\.bn\.", ".attn.bn."),
    (r"\.select\.conv\.", ".attn.fc_select."),
]
# Networks with selective kernels keep a convolution and its norm in one sequence.
_SK_BLOCK_RULES = [(r"\.conv(\d)\.conv\.", r".conv\1.0."), (r"\.conv(\d)\.bn\.", r".conv\1.1.")]
_PLAIN_BLOCK_RULES = [(r"\.conv(\d)\.conv\.", r".conv\1."), (r"\.conv(\d)\.bn\.", r".bn\1.")]
_RESNET_RULES = [
    (r"^stem\.conv\.", "conv1."),
    (r"^stem\.bn\.", "bn1."),
    (r"\.shortcut\.conv\.", ".down_sample.0."),
    (r"\.shortcut\.bn\.", ".down_sample.1."),
]
# The SE networks are another class, which names stem and shortcut differently.
_SENET_RULES = [
    (r"^stem\.conv\.", "layer0.0."),
    (r"^stem\.bn\.", "layer0.1."),
    (r"\.shortcut\.conv\.", ".downsample.0."),
    (r"\.shortcut\.bn\.", ".downsample.1."),
    (r"\.attention\.reduce\.", ".se_module.conv_reduce."),
    (r"\.attention\.expand\.", ".se_module.conv_expand."),
]

# Stored by MindCV's training beside the weights: arrays per weight, named by one of these and the weight's name ...
_STATE_OF_A_WEIGHT = re.compile(
    r"(moments?|moment[123]|accum|stat|vhat|mean_grad|mean_square|prev_gradient|adam_[mv]|lion_m|nadam_[mv]|lamb_[mv]|"
    r"ema|swap|grad_accumulation)\.(?P<weight>.+)"
)
# ... and values of the optimizer, the loss scale, the running average and MindSpore's ModelCheckpoint.
_STATE = re.compile(
    r"global_step|learning_rate(_group_\d+)?|momentum|beta[12]_power|mu_schedule|weight_decay|scale_sense|updates|"
    r"accumulation_step|current_iterator_step|last_overflow_iterator_step|epoch_num|step_num|lr|loss_scale"
)

_SAME_POOL = {"stem_pool": "same"}
# Keywords of create_model that build MindCV's network of that name.
_VARIANTS: dict[str, dict[str, Any]] = {
    "resnet18": _SAME_POOL,
    "resnet34": _SAME_POOL,
    "resnet50": _SAME_POOL,
    "resnet101": _SAME_POOL,
    "resnet152": _SAME_POOL,
    "resnext50_32x4d": _SAME_POOL,
    "resnext101_32x4d": _SAME_POOL,
    "resnext101_64x4d": _SAME_POOL,
    "resnext152_64x4d": _SAME_POOL,
    "seresnet18": _SAME_POOL,
    "seresnet34": _SAME_POOL,
    "seresnet50": _SAME_POOL,
    "seresnext26_32x4d": _SAME_POOL,
    "seresnext50_32x4d": _SAME_POOL,
    "seresnext101_32x4d": _SAME_POOL,
    "skresnet18": _SAME_POOL,
    "skresnet34": _SAME_POOL,
    "skresnet50": {**_SAME_POOL, "first_act": False},
    # Without groups, despite its name: the branches are dense 3x3 convolutions of 64 to 512 channels.
    "skresnext50_32x4d": {**_SAME_POOL, "first_act": False, "groups": 1, "base_width": 64},
}


def is_mindcv(names: Iterable[str]) -> bool:
    """Return whether these are names of one of MindCV's residual networks, not of timm's or this package's."""
    return any(re.fullmatch(r"layer\d+\.\d+\..+\.moving_mean", name) for name in names)


def mindcv_variant(model: str, weights: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return the keywords for which `create_model(model, **keywords)` is MindCV's network of that name.

    MindCV's networks differ from this package's in three points: max pooling is padded "same", bottlenecks with
    selective kernels have no ReLU after their first convolution, and skresnext50_32x4d has no groups.

    Args:
        model: a name of `list_models()`.
        weights: MindCV's, by its names; only names and shapes are read.
    Returns:
        JSON-compatible values.
    Raises:
        ValueError: if MindCV has no network of that name, if these are not MindCV's names, or if the shapes are not
            those of MindCV 0.3.0 to 0.5.0.
    """
    if not is_mindcv(weights):
        raise ValueError(
            "these are not weights of MindCV's residual networks: expected names like "
            f"'layer1.0.bn1.moving_mean', got {', '.join(sorted(weights)[:3]) or 'none'}."
        )
    if model not in _VARIANTS:
        raise ValueError(f"MindCV has no network {model!r}: its weights fit {', '.join(_VARIANTS)}.")
    branch = weights.get("layer1.0.conv2.paths.0.features.0.weight")
    if model == "skresnext50_32x4d" and branch is not None and branch.shape != (64, 64, 3, 3):
        raise ValueError(
            "MindCV's skresnext50_32x4d has branches without groups, whose first weight is (64, 64, 3, 3); in these "
            f"weights it is {branch.shape}: their network is unknown."
        )
    return dict(_VARIANTS[model])


def mindcv_names(names: Iterable[str]) -> dict[str, str]:
    """Map the parameter names of one network to those of the same network in MindCV.

    Args:
        names: all names of a network, since the rules depend on the kind of network.
    Returns:
        Our name -> MindCV's, in the given order.
    """
    names = list(names)
    rules = list(_RULES)
    rules += _SK_BLOCK_RULES if any(".select." in name for name in names) else _PLAIN_BLOCK_RULES
    rules += _SENET_RULES if any(".attention." in name for name in names) else _RESNET_RULES
    return rename(names, rules)


def from_mindcv(weights: Mapping[str, np.ndarray], network: nn.Cell) -> dict[str, np.ndarray]:
    """Rename MindCV's weights for a network of this package.

    Args:
        weights: the entries of a MindCV checkpoint as arrays. Training state (of the optimizer, counters, the running
            average `ema.*`) is ignored.
        network: the same architecture here, built with the keywords of `mindcv_variant`; only its names are read.
    Returns:
        Every parameter and running statistic of `network` by name. Shapes are unchanged; `checkpoint.load_exact`
        compares them.
    Raises:
        ValueError: if a name on either side has no counterpart; the message lists both.
    """
    from mindcv.checkpoint import weight_parameters  # here: imports MindSpore

    names = mindcv_names(weight_parameters(network))
    given = {name: array for name, array in weights.items() if not _is_training_state(name, weights)}
    return take(given, names, "MindCV")


def _is_training_state(name: str, weights: Mapping[str, np.ndarray]) -> bool:
    of_a_weight = _STATE_OF_A_WEIGHT.fullmatch(name)
    return bool(_STATE.fullmatch(name)) or (of_a_weight is not None and of_a_weight["weight"] in weights)
