"""Builds the optimizer from its name."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from mindspore import Parameter, nn

from mindcv.optim.adamw import AdamW
from mindcv.optim.momentum import momentum as plain_momentum
from mindcv.optim.param_groups import create_param_groups
from mindcv.registry import Registry

OPTIMIZERS = Registry("optimizer")


@dataclass(frozen=True)
class OptimizerSettings:
    """What a registered optimizer may use; the meaning of each field is that of `create_optimizer`."""

    lr: float | list[float]
    momentum: float
    use_nesterov: bool
    betas: tuple[float, float]
    eps: float


def create_optimizer(
    model_or_params: nn.Cell | Iterable[Parameter],
    opt: str = "momentum",
    *,
    lr: float | list[float],
    weight_decay: float = 0.0,
    momentum: float = 0.9,
    use_nesterov: bool = False,
    weight_decay_filter: str = "disable",
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    layer_decay: float | None = None,
    head_lr_scale: float = 1.0,
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
            do not promise that, so give the list the length of the run.
        weight_decay: decay factor, >= 0.
        momentum: in [0, 1), for "sgd" and "momentum"; above 0 with `use_nesterov`.
        use_nesterov: for "sgd" and "momentum" only.
        weight_decay_filter: "disable": decay all parameters. "norm_and_bias": spare those of at most one dimension.
        betas: decay rates of Adam's moments, each in (0, 1).
        eps: Adam's addition to the denominator, > 0.
        layer_decay: in (0, 1]; the learning rate of each depth group is this times that of the group after it, up to
            the classifier, whose own is `lr`. None: `lr` for all. Needs a Cell with `depth_groups()`.
        head_lr_scale: above 0; a factor for the classifier's learning rate. Needs the same unless it is 1.

    Returns:
        An `nn.Optimizer`: call it with the gradients of its `parameters`, a tuple in that order. Its state is in
        `get_parameters()`.

    Raises:
        ValueError: if a name is unknown, a number out of its range, nothing is trainable, or learning rates are to
            differ and the model does not tell its depth.
    """
    build = OPTIMIZERS.get(opt)
    rates = lr if isinstance(lr, list) else [lr]
    if not rates or not all(isinstance(rate, int | float) and math.isfinite(rate) and rate >= 0 for rate in rates):
        raise ValueError(f"lr must be a number of at least 0, or a list of one for each update; got {lr!r}.")
    if not 0 <= weight_decay < math.inf:
        raise ValueError(f"weight_decay must be at least 0; got {weight_decay}.")
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum must be at least 0 and below 1; got {momentum}.")
    if len(betas) != 2 or not all(0 < beta < 1 for beta in betas):
        raise ValueError(f"betas must be two numbers strictly between 0 and 1; got {betas}.")
    if not 0 < eps < math.inf:
        raise ValueError(f"eps must be above 0; got {eps}.")
    groups = create_param_groups(
        model_or_params,
        weight_decay,
        weight_decay_filter,
        lr=lr,
        layer_decay=layer_decay,
        head_lr_scale=head_lr_scale,
    )
    return build(groups, OptimizerSettings(lr, float(momentum), use_nesterov, tuple(betas), eps))


@OPTIMIZERS.register("sgd")
@OPTIMIZERS.register("momentum")
def _sgd(groups: list[dict], settings: OptimizerSettings) -> nn.Optimizer:
    if not settings.use_nesterov:
        return plain_momentum(groups, settings.lr, settings.momentum)
    if settings.momentum == 0:
        raise ValueError("use_nesterov needs a momentum above 0; got momentum 0.")
    # nn.Momentum(use_nesterov=True) is ignored on CPU (MindSpore 2.10). nn.SGD is right, but keeps two states for each
    # parameter, so it does not serve the plain case as well.
    return nn.SGD(groups, settings.lr, settings.momentum, nesterov=True)


@OPTIMIZERS.register("adam")
def _adam(groups: list[dict], settings: OptimizerSettings) -> nn.Optimizer:
    _refuse_nesterov("adam", settings)
    return nn.Adam(groups, settings.lr, *settings.betas, settings.eps)


@OPTIMIZERS.register("adamw")
def _adamw(groups: list[dict], settings: OptimizerSettings) -> nn.Optimizer:
    _refuse_nesterov("adamw", settings)
    return AdamW(groups, settings.lr, *settings.betas, settings.eps)


def _refuse_nesterov(name: str, settings: OptimizerSettings) -> None:
    if settings.use_nesterov:
        raise ValueError(f"use_nesterov applies to 'sgd' and 'momentum'; got it with {name!r}.")
