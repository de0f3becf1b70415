"""Import of timm's weights of the residual networks: their names and shapes. Pure NumPy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from mindcv.weights.renaming import Rule, rename, take

if TYPE_CHECKING:
    from mindspore import nn

# Our names -> timm's, applied in this order to every name.
_RULES: list[Rule] = [
    (r"\.gamma$", ".weight"),
    (r"\.beta$", ".bias"),
    (r"\.moving_mean$", ".running_mean"),
    (r"\.moving_variance$", ".running_var"),
    (r"^classifier\.", "fc."),
    # timm's deep stem numbers convolution, norm and ReLU in one sequence; the last norm is outside it.
    (r"^stem\.2\.bn\.", "bn1."),
    (r"^stem\.([012])\.(conv|bn)\.", lambda m: f"conv1.{3 * int(m[1]) + (m[2] == 'bn')}."),
    (r"^stem\.conv\.", "conv1."),
    (r"^stem\.bn\.", "bn1."),
    (r"^stages\.(\d+)\.", lambda m: f"layer{int(m[1]) + 1}."),
    (r"\.split\.branches\.", ".paths."),
    (r"\.fuse\.conv\.", ".attn.fc_reduce."),
    (r"\.fuse\.bn\.", ".attn.bn."),
    (r"\.select\.conv\.", ".attn.fc_select."),
    (r"\.attention\.reduce\.", ".se.fc1."),
    (r"\.attention\.expand\.", ".se.fc2."),
]
# Blocks without selective kernels have no common layer for a convolution and its norm.
_PLAIN_BLOCK_RULES = [
    (r"^(layer\d+\.\d+)\.conv(\d)\.conv\.", r"\1.conv\2."),
    (r"^(layer\d+\.\d+)\.conv(\d)\.bn\.", r"\1.bn\2."),
]
_SHORTCUT_RULES = [(r"\.shortcut\.conv\.", ".downsample.0."), (r"\.shortcut\.bn\.", ".downsample.1.")]
# In networks with averaging shortcuts, all shortcuts have a pooling (or identity) before the convolution.
_AVERAGED_SHORTCUT_RULES = [
    (r"\.shortcut\.(1\.)?conv\.", ".downsample.1."),
    (r"\.shortcut\.(1\.)?bn\.", ".downsample.2."),
]


def timm_names(names: Iterable[str]) -> dict[str, str]:
    """Map the parameter names of one network to those of the same network in timm.

    Args:
        names: all names of a network, since the rules depend on the kind of network.
    Returns:
        Our name -> timm's, in the given order.
    """
    names = list(names)
    rules = list(_RULES)
    if not any(".select." in name for name in names):
        rules += _PLAIN_BLOCK_RULES
    rules += _AVERAGED_SHORTCUT_RULES if any(".shortcut.1." in name for name in names) else _SHORTCUT_RULES
    return rename(names, rules)


def from_timm(timm_weights: Mapping[str, np.ndarray], network: nn.Cell) -> dict[str, np.ndarray]:
    """Rename timm's weights for a network of this package.

    Args:
        timm_weights: a model's state dict as arrays. `num_batches_tracked` is ignored.
        network: the same architecture here; only its names and shapes are read.
    Returns:
        Every parameter and running statistic of `network` by name. timm's 1x1 convolutions that are dense layers here,
        (h, C, 1, 1), become (h, C); other shapes are unchanged, and `checkpoint.load_exact` compares them.
    Raises:
        ValueError: if a name on either side has no counterpart; the message lists both.
    """
    from mindcv.checkpoint import weight_parameters  # here: imports MindSpore

    shapes = {name: parameter.shape for name, parameter in weight_parameters(network).items()}
    given = {name: array for name, array in timm_weights.items() if not name.endswith("num_batches_tracked")}
    converted = take(given, timm_names(shapes), "timm")
    for name, array in converted.items():
        if len(shapes[name]) == 2 and array.ndim == 4 and array.shape[2:] == (1, 1):
            converted[name] = array[:, :, 0, 0]
    return converted
