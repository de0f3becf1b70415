"""Decides which parameters are decayed."""

from collections.abc import Iterable

from mindspore import Parameter, nn

from mindcv.registry import nearest_name_hint

WEIGHT_DECAY_FILTERS = ("disable", "norm_and_bias")


def create_param_groups(
    model_or_params: nn.Cell | Iterable[Parameter], weight_decay: float, weight_decay_filter: str = "disable"
) -> list[dict]:
    """Split the trainable parameters into MindSpore optimizer groups by whether weight decay applies.

    Always groups, even if nothing is filtered: for an ungrouped list MindSpore itself skips every parameter that has
    "beta" or "gamma" anywhere in its name.

    Args:
        model_or_params: a Cell, or parameters; those with `requires_grad` False are left out.
        weight_decay: factor for the decayed group; 0 for the other.
        weight_decay_filter: "disable": decay everything. "norm_and_bias": spare parameters of at most one dimension,
            which are the biases and the scales and shifts of normalisation layers.

    Returns:
        Groups for `nn.Optimizer`; the last, "order_params", keeps the parameters in the given order.

    Raises:
        ValueError: if the filter is unknown or no parameter is trainable.
    """
    if weight_decay_filter not in WEIGHT_DECAY_FILTERS:
        hint = nearest_name_hint(str(weight_decay_filter), list(WEIGHT_DECAY_FILTERS))
        raise ValueError(
            f"unknown weight_decay_filter {weight_decay_filter!r}.{hint} Known: {', '.join(WEIGHT_DECAY_FILTERS)}."
        )
    given = model_or_params.get_parameters() if isinstance(model_or_params, nn.Cell) else model_or_params
    params = [param for param in given if param.requires_grad]
    if not params:
        raise ValueError("no parameter to optimize: all are frozen (requires_grad is False), or there are none.")

    spare_small = weight_decay_filter == "norm_and_bias"
    decayed = [param for param in params if not (spare_small and param.ndim <= 1)]
    spared = [param for param in params if spare_small and param.ndim <= 1]
    groups = [
        {"params": members, "weight_decay": decay}
        for members, decay in ((decayed, float(weight_decay)), (spared, 0.0))
        if members
    ]
    return [*groups, {"order_params": params}]
