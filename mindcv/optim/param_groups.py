"""Parameter groups: weight decay and learning rate of every parameter."""

from collections.abc import Callable, Iterable
from typing import Protocol, runtime_checkable

from mindspore import Parameter, nn

from mindcv.arguments import HEAD_LR_SCALE, LAYER_DECAY, WEIGHT_DECAY_FILTER
from mindcv.files import listed


@runtime_checkable
class HasDepth(Protocol):
    """A network that groups its parameters by depth; see `mindcv.models.classifier.Classifier`."""

    def depth_groups(self) -> list[list[str]]: ...

    def trainable_params(self) -> list[Parameter]: ...


_is_spared: dict[str, Callable[[Parameter], bool]] = {
    "disable": lambda param: False,
    "norm_and_bias": lambda param: param.ndim <= 1,
    "auto": lambda param: param.name.split(".")[-1] in ("gamma", "beta"),
}


def create_param_groups(
    model_or_params: nn.Cell | Iterable[Parameter],
    weight_decay: float,
    weight_decay_filter: str = WEIGHT_DECAY_FILTER.default,
    *,
    lr: float | list[float],
    layer_decay: float | None = LAYER_DECAY.default,
    head_lr_scale: float = HEAD_LR_SCALE.default,
) -> list[dict]:
    """Split the trainable parameters into MindSpore optimizer groups by weight decay and learning rate.

    Groups even if nothing is filtered: in an ungrouped list MindSpore itself exempts every parameter with "beta" or
    "gamma" anywhere in its name from decay.

    Args:
        model_or_params: a Cell, or parameters; those with `requires_grad` False are left out.
        weight_decay: factor for the decayed parameters; 0 for the others.
        weight_decay_filter: "disable": decay everything. "norm_and_bias": exempt parameters of at most one dimension,
            which are the biases and the scales and shifts of normalisation layers. "auto": exempt the latter only,
            by their names; that is MindSpore's rule for ungrouped parameters, which MindCV's recipes mean.
        lr: the learning rate, or a list with one for each update, of parameters whose scale is 1.
        layer_decay: in (0, 1]; the learning rate of each depth group is this times that of the group after it. The
            scale is 1 in the classifier, which is the last group. None: the same for all.
        head_lr_scale: above 0; a factor for the classifier's learning rate.

    Returns:
        Groups for `nn.Optimizer`, one for each pair of scale and decay, the largest first; where the scale is not 1,
        with their own "lr". The last, "order_params", keeps the parameters in the given order.

    Raises:
        ValueError: if the filter is unknown, a number out of its range, no parameter is trainable, or learning rates
            are to differ and the model has no `depth_groups()`.
    """
    WEIGHT_DECAY_FILTER.check(weight_decay_filter)
    given = model_or_params if isinstance(model_or_params, nn.Cell) else list(model_or_params)
    if not isinstance(given, nn.Cell) and any(isinstance(entry, dict) for entry in given):
        raise ValueError(
            "the groups of parameters are made here: give the network, and head_lr_scale, layer_decay or "
            "weight_decay_filter. An optimizer of mindspore.nn takes groups of your own."
        )
    params = [p for p in (given.get_parameters() if isinstance(given, nn.Cell) else given) if p.requires_grad]
    if not params:
        raise ValueError("no parameter to optimize: all are frozen (requires_grad is False), or there are none.")
    scales = learning_rate_scales(model_or_params, layer_decay, head_lr_scale)

    members: dict[tuple[float, float], list[Parameter]] = {}
    for param in params:
        decay = 0.0 if _is_spared[weight_decay_filter](param) else float(weight_decay)
        members.setdefault((scales.get(param.name, 1.0), decay), []).append(param)
    groups: list[dict] = []
    for scale, decay in sorted(members, reverse=True):
        groups.append({"params": members[scale, decay], "weight_decay": decay})
        if scale != 1.0:
            groups[-1]["lr"] = [rate * scale for rate in lr] if isinstance(lr, list) else lr * scale
    return [*groups, {"order_params": params}]


def learning_rate_scales(
    model: nn.Cell | Iterable[Parameter], layer_decay: float | None, head_lr_scale: float
) -> dict[str, float]:
    """Factor of the learning rate for each trainable parameter's name; empty if all are 1.

    With n depth groups, the last of them the classifier, group i = 1, ..., n has layer_decay^(n - i), and the
    classifier head_lr_scale on top. Frozen groups count, so that freezing does not change the other factors.

    Args:
        model: has `depth_groups()`, lists of parameter names from input to output, if the factors are to differ.
        layer_decay: in (0, 1]; None is 1.
        head_lr_scale: above 0.

    Raises:
        ValueError: if a number is out of its range, or `depth_groups` is needed and missing or incomplete.

    Source: Clark et al. 2020 (ELECTRA), section 3.1; exponents as in timm.
    """
    LAYER_DECAY.check(layer_decay)
    HEAD_LR_SCALE.check(head_lr_scale)
    if layer_decay in (None, 1.0) and head_lr_scale == 1.0:
        return {}
    if not isinstance(model, HasDepth):
        kind = type(model).__name__ if isinstance(model, nn.Cell) else "a bare collection of parameters"
        raise ValueError(f"layer_decay and head_lr_scale need a network with a method depth_groups(); got {kind}.")
    groups = model.depth_groups()
    scales: dict[str, float] = {}
    for after, names in enumerate(reversed(groups)):
        scale = (1.0 if layer_decay is None else layer_decay**after) * (head_lr_scale if after == 0 else 1.0)
        scales |= dict.fromkeys(names, scale)
    missing = [param.name for param in model.trainable_params() if param.name not in scales]
    if missing:
        raise ValueError(f"depth_groups() of {type(model).__name__} leaves out {listed(missing, 5)}.")
    return scales
