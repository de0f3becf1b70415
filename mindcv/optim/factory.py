"""Builds the optimizer from its name. Imports MindSpore only when it builds one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mindcv.arguments import BETAS, EPS, HEAD_LR_SCALE, LAYER_DECAY, MOMENTUM, WEIGHT_DECAY, WEIGHT_DECAY_FILTER
from mindcv.keywords import also_called
from mindcv.registry import Registry

if TYPE_CHECKING:
    from mindspore import Parameter, nn

# An optimizer takes parameter groups, learning rates and, as keywords, the options that it uses: choices, help, remarks
# on options without effect and checks follow from this record.
OPTIMIZERS: Registry[Callable[..., Any]] = Registry("optimizer")


@OPTIMIZERS.register("momentum")
@OPTIMIZERS.register("sgd")
def _sgd(groups: list[dict], lr: float | list[float], *, momentum: float, use_nesterov: bool) -> nn.Optimizer:
    from mindspore import nn

    from mindcv.optim.momentum import momentum as plain_momentum

    if not use_nesterov:
        return plain_momentum(groups, lr, momentum)
    # nn.Momentum(use_nesterov=True) is ignored on CPU (MindSpore 2.10). nn.SGD is right, but keeps two states for each
    # parameter, so it does not serve the plain case as well.
    return nn.SGD(groups, lr, momentum, nesterov=True)


@OPTIMIZERS.register("adam")
def _adam(groups: list[dict], lr: float | list[float], *, betas: tuple[float, float], eps: float) -> nn.Optimizer:
    from mindspore import nn

    return nn.Adam(groups, lr, *betas, eps)


@OPTIMIZERS.register("adamw")
def _adamw(groups: list[dict], lr: float | list[float], *, betas: tuple[float, float], eps: float) -> nn.Optimizer:
    from mindcv.optim.adamw import AdamW

    return AdamW(groups, lr, *betas, eps)


def check_nesterov(values: Mapping[str, Any], said: Callable[[str], str]) -> None:
    """Raise ValueError if `use_nesterov` does not fit opt and momentum; `said` formats a value for the message."""
    if values["use_nesterov"] and not takes_nesterov(values["opt"], values["momentum"]):
        names = " or ".join(OPTIMIZERS.users("use_nesterov"))
        raise ValueError(f"{said('use_nesterov')} needs opt={names}, and momentum above 0; got {said('opt')}")


def takes_nesterov(opt: str, momentum: float) -> bool:
    """Whether this optimizer and momentum allow Nesterov's momentum."""
    return "use_nesterov" in OPTIMIZERS.options(opt) and momentum > 0


@also_called(
    {"nesterov": "use_nesterov"},
    {
        "loss_scale": (1.0, "the option loss_scale of train.py scales the loss and the gradients"),
        "schedule_decay": (4e-3, "no optimizer of this package takes it"),
        "checkpoint_path": ("", "train.py --resume restores the optimizer's state"),
    },
)
def create_optimizer(
    model_or_params: nn.Cell | Iterable[Parameter],
    opt: str = "momentum",
    *,
    lr: float | list[float],
    weight_decay: float = 0.0,
    momentum: float = MOMENTUM.default,
    use_nesterov: bool = False,
    weight_decay_filter: str = WEIGHT_DECAY_FILTER.default,
    betas: tuple[float, float] = BETAS.default,
    eps: float = EPS.default,
    layer_decay: float | None = LAYER_DECAY.default,
    head_lr_scale: float = HEAD_LR_SCALE.default,
) -> nn.Optimizer:
    """Create an optimizer over the trainable parameters.

    With p the parameter, g its gradient, d the weight decay and m the momentum:

    - "sgd" and "momentum" are the same: g' = g + d p, v = m v + g', p = p - lr v; with `use_nesterov`,
      p = p - lr (g' + m v). Both use `momentum`; for plain gradient descent set it to 0.
    - "adam": Adam on g' (the decay is part of the gradient), as `nn.Adam`: `eps` is added to the root of the second
      moment before that is corrected for its bias, where PyTorch adds it after.
    - "adamw": decoupled decay, PyTorch's rule; see `AdamW`.

    Args:
        model_or_params: a Cell or parameters; those with `requires_grad` False are left out.
        opt: "sgd", "momentum", "adam" or "adamw".
        lr: one learning rate, or a list with one for each update. An update beyond the end of the list raises
            RuntimeError on CPU, in both modes and before a parameter changes (Gather checks its index); Ascend and GPU
            do not guarantee that, so give the list the length of the run.
        weight_decay: decay factor, >= 0.
        momentum: in [0, 1), for "sgd" and "momentum"; above 0 with `use_nesterov`.
        use_nesterov: for "sgd" and "momentum" only.
        weight_decay_filter: "disable": decay all parameters. "norm_and_bias": exempt those of at most one dimension.
        betas: decay rates of Adam's moments, each in (0, 1).
        eps: added to Adam's denominator, > 0.
        layer_decay: in (0, 1]; the learning rate of each depth group is this times that of the group after it, up to
            the classifier, whose own is `lr`. None: `lr` for all. Needs a Cell with `depth_groups()`.
        head_lr_scale: above 0; a factor for the classifier's learning rate. Needs the same unless it is 1.

    Returns:
        An `nn.Optimizer`: call it with the gradients of its `parameters`, a tuple in that order. Its state is in
        `get_parameters()`.

    Raises:
        ValueError: if a name is unknown, a number out of its range, nothing is trainable, or learning rates are to
            differ and the model has no `depth_groups()`.
    """
    from mindcv.optim.param_groups import create_param_groups

    build = OPTIMIZERS.get(opt)
    rates = lr if isinstance(lr, list) else [lr]
    if not rates or not all(isinstance(rate, int | float) and math.isfinite(rate) and rate >= 0 for rate in rates):
        raise ValueError(f"lr must be a number of at least 0, or a list of one for each update; got {lr!r}.")
    WEIGHT_DECAY.check(weight_decay)
    MOMENTUM.check(momentum)
    BETAS.check(betas)
    EPS.check(eps)
    values = {"opt": opt, "momentum": float(momentum), "use_nesterov": use_nesterov, "betas": betas, "eps": eps}
    check_nesterov(values, lambda key: f"{key}={values[key]}")
    groups = create_param_groups(
        model_or_params,
        weight_decay,
        weight_decay_filter,
        lr=lr,
        layer_decay=layer_decay,
        head_lr_scale=head_lr_scale,
    )
    return build(groups, lr, **{key: values[key] for key in OPTIMIZERS.options(opt)})
