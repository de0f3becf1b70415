"""Builds the optimizer from its name. Imports MindSpore only when it builds one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mindcv.arguments import (
    BETAS,
    EPS,
    HEAD_LR_SCALE,
    LAYER_DECAY,
    MOMENTUM,
    RMSPROP_RHO,
    TRUST_COEFF,
    WEIGHT_DECAY,
    WEIGHT_DECAY_FILTER,
)
from mindcv.keywords import also_called
from mindcv.registry import Registry, unknown

if TYPE_CHECKING:
    from mindspore import Parameter, nn

# An optimizer takes parameter groups, learning rates and, as keywords, the options that it uses with its own defaults:
# choices, help, remarks on options without effect and checks follow from this record.
OPTIMIZERS: Registry[Callable[..., Any]] = Registry("optimizer")
_Rates = float | list[float]
_Betas = tuple[float, float]


@OPTIMIZERS.register("momentum")
@OPTIMIZERS.register("sgd")
def _sgd(
    groups: list[dict], lr: _Rates, *, momentum: float = MOMENTUM.default, use_nesterov: bool = False
) -> nn.Optimizer:
    from mindspore import nn

    from mindcv.optim.momentum import Momentum

    if not use_nesterov:
        return Momentum(groups, lr, float(momentum))
    # nn.Momentum(use_nesterov=True) is ignored on CPU (MindSpore 2.10). nn.SGD is right, but keeps two states for each
    # parameter. With one state and elementary operators an update takes longer than with its fused one.
    return nn.SGD(groups, lr, float(momentum), nesterov=True)


@OPTIMIZERS.register("nesterov")
def _nesterov(groups: list[dict], lr: _Rates, *, momentum: float = MOMENTUM.default) -> nn.Optimizer:
    return _sgd(groups, lr, momentum=momentum, use_nesterov=True)


@OPTIMIZERS.register("adam")
def _adam(groups: list[dict], lr: _Rates, *, betas: _Betas = (0.9, 0.999), eps: float = 1e-8) -> nn.Optimizer:
    from mindspore import nn

    return nn.Adam(groups, lr, *betas, eps)


@OPTIMIZERS.register("adamw")
def _adamw(groups: list[dict], lr: _Rates, *, betas: _Betas = (0.9, 0.999), eps: float = 1e-8) -> nn.Optimizer:
    from mindcv.optim.adamw import AdamW

    return AdamW(groups, lr, betas, eps)


@OPTIMIZERS.register("nadam")
def _nadam(groups: list[dict], lr: _Rates, *, betas: _Betas = (0.9, 0.999), eps: float = 1e-8) -> nn.Optimizer:
    from mindcv.optim.nadam import NAdam

    return NAdam(groups, lr, betas, eps)


@OPTIMIZERS.register("rmsproptf")
@OPTIMIZERS.register("rmsprop")
def _rmsprop(
    groups: list[dict],
    lr: _Rates,
    *,
    momentum: float = MOMENTUM.default,
    rmsprop_rho: float = RMSPROP_RHO.default,
    eps: float = 1e-10,
) -> nn.Optimizer:
    from mindcv.optim.rmsprop import RMSProp

    return RMSProp(groups, lr, momentum, rmsprop_rho, eps)


@OPTIMIZERS.register("rmsprop_torch")
def _rmsprop_torch(
    groups: list[dict],
    lr: _Rates,
    *,
    momentum: float = MOMENTUM.default,
    rmsprop_rho: float = RMSPROP_RHO.default,
    eps: float = 1e-8,
) -> nn.Optimizer:
    from mindcv.optim.rmsprop import RMSProp

    return RMSProp(groups, lr, momentum, rmsprop_rho, eps, torch=True)


@OPTIMIZERS.register("adagrad")
def _adagrad(groups: list[dict], lr: _Rates) -> nn.Optimizer:
    from mindspore import nn

    return nn.Adagrad(groups, 0.1, lr)


@OPTIMIZERS.register("lamb")
def _lamb(groups: list[dict], lr: _Rates, *, betas: _Betas = (0.9, 0.999), eps: float = 1e-6) -> nn.Optimizer:
    from mindcv.optim.lamb import Lamb

    return Lamb(groups, lr, betas, eps)


@OPTIMIZERS.register("lars")
def _lars(
    groups: list[dict],
    lr: _Rates,
    *,
    momentum: float = MOMENTUM.default,
    trust_coeff: float = TRUST_COEFF.default,
    eps: float = 1e-8,
) -> nn.Optimizer:
    from mindcv.optim.lars import Lars

    return Lars(groups, lr, momentum, trust_coeff, eps)


@OPTIMIZERS.register("lion")
def _lion(groups: list[dict], lr: _Rates, *, betas: _Betas = (0.9, 0.99)) -> nn.Optimizer:
    from mindcv.optim.lion import Lion

    return Lion(groups, lr, betas)


@OPTIMIZERS.register("adan")
def _adan(
    groups: list[dict], lr: _Rates, *, betas: tuple[float, float, float] = (0.98, 0.92, 0.99), eps: float = 1e-8
) -> nn.Optimizer:
    from mindcv.optim.adan import Adan

    return Adan(groups, lr, betas, eps)


def takes_nesterov(opt: str, momentum: float) -> bool:
    """Whether this optimizer and momentum allow Nesterov's momentum."""
    return opt == "nesterov" or ("use_nesterov" in OPTIMIZERS.options(opt) and momentum > 0)


def number_of_betas(opt: str) -> int:
    """How many betas an optimizer takes."""
    return len(OPTIMIZERS.default(opt, "betas")) if "betas" in OPTIMIZERS.options(opt) else 0


def takes_betas(opt: str, betas: tuple[float, ...] | None) -> bool:
    """Whether betas have the optimizer's number; those of an optimizer without any have no effect."""
    return betas is None or number_of_betas(opt) in (0, len(betas))


def check_optimizer(values: Mapping[str, Any], said: Callable[[str], str]) -> None:
    """Raise ValueError if options do not fit the optimizer; `said` formats a value for the message."""
    opt = values["opt"]
    if values.get("use_nesterov") and not takes_nesterov(opt, values.get("momentum", 0)):
        names = " or ".join(OPTIMIZERS.users("use_nesterov"))
        raise ValueError(f"{said('use_nesterov')} needs opt={names}, and momentum above 0; got {said('opt')}")
    if not takes_betas(opt, values.get("betas")):
        raise ValueError(f"{said('betas')} must be {number_of_betas(opt)} numbers for {said('opt')}")


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
    weight_decay_filter: str = WEIGHT_DECAY_FILTER.default,
    layer_decay: float | None = LAYER_DECAY.default,
    head_lr_scale: float = HEAD_LR_SCALE.default,
    **options: Any,
) -> nn.Optimizer:
    """Create an optimizer over the trainable parameters.

    With p the parameter, g its gradient, d the weight decay and m the momentum, g' = g + d p is the gradient with
    decay, and:

    - "sgd" and "momentum" are the same: v = m v + g', p = p - lr v; with `use_nesterov`, and as "nesterov",
      p = p - lr (g' + m v). Both use `momentum`; for plain gradient descent set it to 0.
    - "adam": Adam on g', as `nn.Adam`: `eps` is added to the root of the second moment before that is corrected for
      its bias, where PyTorch adds it after.
    - "nadam": on g', PyTorch's; see `NAdam`.
    - "adagrad": on g', s = s + g'^2 from s = 0.1, p = p - lr g' / sqrt(s), as `nn.Adagrad`.
    - "rmsprop", "rmsproptf": on g', TensorFlow's and MindCV's form, which timm calls rmsproptf; "rmsprop_torch":
      PyTorch's, which timm calls rmsprop; see `RMSProp`.
    - "adamw", "lion", "adan": decoupled decay; see `AdamW`, `Lion`, `Adan`.
    - "lars", "lamb": steps in proportion to the parameter's norm if it decays; see `Lars`, `Lamb`.

    Args:
        model_or_params: a Cell or parameters; those with `requires_grad` False are left out.
        opt: the name of the optimizer.
        lr: one learning rate, or a list with one for each update. An update beyond the end of the list raises
            RuntimeError on CPU, in both modes and before a parameter changes (Gather checks its index); Ascend and GPU
            do not guarantee that, so give the list the length of the run.
        weight_decay: decay factor, >= 0.
        weight_decay_filter: "disable": decay all parameters. "norm_and_bias": exempt those of at most one dimension.
            "auto": exempt the scales and shifts of norms, but not biases; MindSpore's own rule.
        layer_decay: in (0, 1]; the learning rate of each depth group is this times that of the group after it, up to
            the classifier, whose own is `lr`. None: `lr` for all. Needs a Cell with `depth_groups()`.
        head_lr_scale: above 0; a factor for the classifier's learning rate. Needs the same unless it is 1.
        options: of any optimizer; those that `opt` does not use have no effect.
            momentum: in [0, 1).
            use_nesterov: for "sgd" and "momentum" only, with a momentum above 0.
            betas: decay rates of the moments, each in (0, 1): three for "adan", else two. None: the optimizer's own.
            eps: added to the denominator, > 0. None: the optimizer's own.
            rmsprop_rho: decay rate of the mean of squares, in (0, 1).
            trust_coeff: of "lars", > 0.

    Returns:
        An `nn.Optimizer`: call it with the gradients of its `parameters`, a tuple in that order. Its state is in
        `get_parameters()`.

    Raises:
        ValueError: if a name is unknown, a number out of its range, nothing is trainable, or learning rates are to
            differ and the model has no `depth_groups()`.
    """
    from mindcv.optim.param_groups import create_param_groups

    own = {key: OPTIMIZERS.default(opt, key) for key in OPTIMIZERS.options(opt)}
    rates = lr if isinstance(lr, list) else [lr]
    if not rates or not all(isinstance(rate, int | float) and math.isfinite(rate) and rate >= 0 for rate in rates):
        raise ValueError(f"lr must be a number of at least 0, or a list of one for each update; got {lr!r}.")
    WEIGHT_DECAY.check(weight_decay)
    known = {key for name in OPTIMIZERS for key in OPTIMIZERS.options(name)}
    for key in options:
        if key not in known:
            raise unknown("option of an optimizer", key, sorted(known))
    for argument in (MOMENTUM, BETAS, EPS, RMSPROP_RHO, TRUST_COEFF):
        argument.check(options.get(argument.name, argument.default))
    values = {"opt": opt, **own, **{key: value for key, value in options.items() if value is not None}}
    check_optimizer(values, lambda key: f"{key}={values[key]}")
    groups = create_param_groups(
        model_or_params,
        weight_decay,
        weight_decay_filter,
        lr=lr,
        layer_decay=layer_decay,
        head_lr_scale=head_lr_scale,
    )
    return OPTIMIZERS.get(opt)(groups, lr, **{key: values[key] for key in own})
