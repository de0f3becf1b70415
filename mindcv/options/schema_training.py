"""The options of a training: loss, optimizer, learning rate, step and run; see schema.py."""

from dataclasses import dataclass
from typing import Any, Literal

from mindcv import arguments as legal
from mindcv.loss.factory import LOSSES
from mindcv.optim.factory import OPTIMIZERS
from mindcv.options.option import option, show
from mindcv.options.rules import COMMAND, COMPUTING, FREE
from mindcv.scheduler.factory import SCHEDULERS

_LOSS = "CE: cross-entropy, BCE: binary cross-entropy, JSD: with aug_splits, asl_...: asymmetric, focal"
_WEIGHTED = ", ".join(LOSSES.users("class_weights"))
_BALANCED = ("balanced",)


@dataclass(frozen=True)
class Loss:
    """Loss"""

    loss: str = option("CE", _LOSS, choices=tuple(LOSSES))
    label_smoothing: float = option(legal.LABEL_SMOOTHING, "mass moved to the uniform distribution")
    reduction: str = option(legal.REDUCTION, "of the losses of a batch")
    aux_factor: float = option(legal.AUX_FACTOR, "share of the loss of auxiliary classifiers, if the network has any")
    class_weights: tuple[float, ...] | str | None = option(
        legal.CLASS_WEIGHTS, f"factors of the classes ({_WEIGHTED}); balanced: the same total for each", words=_BALANCED
    )
    bce_target_thresh: float | None = option(legal.BCE_TARGET_THRESH, "BCE: labels above it become 1, others 0")
    bce_sum: bool = option(False, "BCE: add the classes instead of averaging them")
    focal_gamma: float = option(legal.FOCAL_GAMMA, "focal: power of the probability of the wrong answer")
    focal_alpha: float | None = option(legal.FOCAL_ALPHA, "focal: weight of labels of 1; none: the same for all")
    asl_gamma_pos: float = option(legal.ASL_GAMMA_POS, "asl_...: power of the wrong answer's probability, labels of 1")
    asl_gamma_neg: float = option(legal.ASL_GAMMA_NEG, "asl_...: the same for labels of 0")
    asl_clip: float = option(legal.ASL_CLIP, "asl_multi_label: subtracted from the probability of labels of 0")


def _used(key: str) -> str:
    """The optimizers that use an option, with their own defaults where these differ."""
    users: dict[Any, list[str]] = {}
    for name in OPTIMIZERS.users(key):
        users.setdefault(OPTIMIZERS.default(name, key), []).append(name)
    if len(users) == 1:
        return ", ".join(*users.values())
    return "; ".join(f"{', '.join(names)}: {show(default)}" for default, names in users.items())


_FILTER = "parameters without weight decay; auto: those of norms"
_STATE = "the saved state is that optimizer's"


@dataclass(frozen=True)
class Optim:
    """Optimizer"""

    opt: str = option("momentum", "optimizer", choices=tuple(OPTIMIZERS), fixed=_STATE)
    momentum: float = option(legal.MOMENTUM, f"momentum ({_used('momentum')})")
    weight_decay: float = option(legal.WEIGHT_DECAY, "weight decay")
    weight_decay_filter: str = option(legal.WEIGHT_DECAY_FILTER, _FILTER)
    use_nesterov: bool = option(False, f"Nesterov's momentum ({_used('use_nesterov')})", fixed=_STATE)
    betas: tuple[float, ...] | None = option(legal.BETAS, f"averaging rates (none is {_used('betas')})")
    eps: float | None = option(legal.EPS, f"term in the denominator (none is {_used('eps')})")
    rmsprop_rho: float = option(legal.RMSPROP_RHO, f"averaging rate of squares ({_used('rmsprop_rho')})")
    trust_coeff: float = option(legal.TRUST_COEFF, f"a step's share of the weights' norm ({_used('trust_coeff')})")
    layer_decay: float | None = option(legal.LAYER_DECAY, "learning rate's factor from each block to the one before")
    head_lr_scale: float = option(legal.HEAD_LR_SCALE, "factor of the classifier's learning rate")


# MindCV has two names for one schedule; onecycle is fastai's.
_ALIASES = {"warmup_cosine_decay": "cosine_decay", "onecycle": "one_cycle"}
_DECAY = "cosine_decay: epochs of one cycle, from lr to min_lr (none: all); step_decay: epochs between drops"
_RATE = "factor of a drop (none: 0.1); exponential_decay: factor of an epoch (0.9); polynomial_decay: power (1)"
_K_DECAY = "exponent of the position in cosine_decay and polynomial_decay (k-decay); above 1: falls later"
_COOLDOWN = "last epochs, at min_lr, in polynomial_decay and in cosine_decay without decay_epochs"


@dataclass(frozen=True)
class Schedule:
    """Learning rate"""

    scheduler: str = option("cosine_decay", "schedule", choices=tuple(SCHEDULERS), aliases=_ALIASES)
    lr: float = option(legal.LR, "learning rate at the end of warmup")
    min_lr: float = option(legal.MIN_LR, "lowest learning rate of a decay; where cyclic begins")
    warmup_epochs: int | float = option(legal.WARMUP_EPOCHS, "epochs of linear warmup")
    warmup_steps: int | None = option(legal.WARMUP_STEPS, "updates of linear warmup, instead of warmup_epochs")
    warmup_factor: float = option(legal.WARMUP_FACTOR, "warmup begins at warmup_factor * lr")
    decay_epochs: int | float | None = option(legal.DECAY_EPOCHS, _DECAY)
    decay_rate: float | None = option(legal.DECAY_RATE, _RATE)
    multi_step_decay_milestones: tuple[int, ...] = option(
        legal.MILESTONES, "epochs of the drops, counted from the start of training"
    )
    num_cycles: int = option(legal.NUM_CYCLES, "cycles of cosine_decay and cyclic")
    cycle_decay: float = option(legal.CYCLE_DECAY, "cosine_decay: highest rate of a cycle / of the one before")
    lr_k_decay: float = option(legal.LR_K_DECAY, _K_DECAY)
    cooldown_epochs: int | float = option(legal.COOLDOWN_EPOCHS, _COOLDOWN)
    pct_start: float = option(legal.PCT_START, "one_cycle: share of the rise")
    div_factor: float = option(legal.DIV_FACTOR, "one_cycle: lr / the first rate")
    patience_epochs: int = option(legal.PATIENCE_EPOCHS, "plateau: epochs without a better top-1 or mAP before a drop")
    lr_epoch_stair: bool = option(False, "the learning rate changes at every epoch, not at every update")


_SCALE_RULE = "linear or sqrt in the batch size; auto: sqrt for optimizers with ada or lamb in their name, else linear"


@dataclass(frozen=True)
class LrBase:
    """Learning rate from the batch size"""

    lr_base: float | None = option(
        legal.LR_BASE, "lr = lr_base * batch_size * gradient_accumulation_steps / lr_base_size"
    )
    lr_base_size: int = option(legal.LR_BASE_SIZE, "batch size that lr_base is meant for")
    lr_base_scale: str = option(legal.LR_BASE_SCALE, _SCALE_RULE)


_CLIP_VALUE = "norm: largest norm of all gradients; value: largest number; agc: gradient's norm / weights' norm"
_LEVEL = "O0: float32; O1 (auto): products in amp_dtype; O2: all but norms; O3: all but weights and statistics"
_SCALE_TYPE = "fixed, dynamic; auto: fixed if loss_scale is set, else dynamic for float16 and none for bfloat16"
_DROP = "with a fixed loss scale, leave out steps whose gradients overflow, instead of on_nan"
_CHANNELS_LAST = "compute on feature maps of (batch, height, width, channels); GPU only, not yet measured"
_GUARD = "what notices NaN: the host, which waits in every step, or the device; auto: the device on GPU and Ascend"
_SAVED: dict[str, Any] = {"fixed": "the saved state is that of these options"}


@dataclass(frozen=True)
class Step:
    """Training step"""

    gradient_accumulation_steps: int = option(1, "batches whose gradients make one update", minimum=1)
    recompute: bool = option(False, "recompute activations in the backward pass: less memory, more time")
    channels_last: bool = option(False, _CHANNELS_LAST, **COMPUTING)
    guard: Literal["auto", "host", "device"] = option("auto", _GUARD, free=True)
    clip_grad: bool = option(False, "clip the gradients of an update")
    clip_mode: str = option(legal.CLIP_MODE, "what is clipped: the global norm, each value, or each unit (agc)")
    clip_value: float = option(legal.CLIP_VALUE, _CLIP_VALUE)
    ema: bool = option(False, "average the weights (EMA), and validate and save the averages", **_SAVED)
    ema_decay: float = option(legal.EMA_DECAY, "decay of the average at each update")
    ema_warmup: int | float = option(legal.EMA_WARMUP, "updates in which the decay rises to 63 %; 0: constant decay")
    amp_level: str = option(legal.AMP_LEVEL, f"mixed precision. {_LEVEL}", **_SAVED)
    amp_dtype: str = option(legal.AMP_DTYPE, "dtype of mixed precision", **COMPUTING, **_SAVED)
    val_amp_level: str = option(legal.AMP_LEVEL, "mixed precision in evaluation, as amp_level", **COMPUTING)
    loss_scale_type: str = option(legal.LOSS_SCALE_TYPE, _SCALE_TYPE, **_SAVED)
    loss_scale: float | None = option(legal.LOSS_SCALE, "fixed, or first dynamic loss scale; none: 1, or 65536")
    drop_overflow_update: bool = option(False, _DROP)


_RESUME = "continue the run in ckpt_save_dir; auto: if there is one; or continue from this file or folder"
_SHOW_AUGMENT = "draw the first training batches as the network sees them into this PNG, and end"
_PATIENCE = "end after this many validations in a row that did not raise the best top-1 or mAP; none: train all epochs"
_LOG_INTERVAL = "steps between progress lines; none: about one a minute, if no bar is shown"


@dataclass(frozen=True)
class Train:
    """Training"""

    epoch_size: int = option(90, "epochs to train", minimum=1, in_graph=False)
    plot_schedule: str = option("", "draw the learning rate of the run as this .png, and end", is_path=True, **COMMAND)
    val_while_train: bool = option(True, "validate while training", **FREE)
    val_interval: int = option(1, "epochs between validations; the last epoch is always validated", minimum=1, **FREE)
    ckpt_save_dir: str = option(
        "./ckpt", "folder for checkpoints, metrics and the resolved configuration", is_path=True, **COMMAND
    )
    ckpt_save_interval: int = option(1, "epochs between checkpoints", minimum=1, **FREE)
    ckpt_save_steps: int | None = option(
        None, "batches between additional checkpoints inside epochs", minimum=1, **FREE
    )
    keep_checkpoint_max: int = option(0, "epoch checkpoints kept in addition to best and last", minimum=0, **FREE)
    ckpt_save_policy: Literal["latest_k", "top_k"] = option(
        "latest_k", "which keep_checkpoint_max keeps: the newest, or those with the highest top-1 or mAP", **FREE
    )
    early_stop_patience: int | None = option(None, _PATIENCE, minimum=1, **FREE)
    early_stop_delta: float = option(
        0.0, "smallest rise of the best top-1 or mAP that counts, percentage points", minimum=0, **FREE
    )
    log_interval: int | None = option(None, _LOG_INTERVAL, minimum=1, **FREE)
    show_augment: str = option("", _SHOW_AUGMENT, is_path=True, **COMMAND)
    resume: bool | str = option(False, _RESUME, is_path=True, **COMMAND)
    resume_opt: bool = option(False, "MindCV's spelling: with ckpt_path, what resume does with that file", **COMMAND)
    on_nan: Literal["stop", "skip", "rollback"] = option(
        "stop", "reaction to a NaN or infinite loss or gradient", **FREE
    )
    nan_limit: int = option(20, "largest number of steps lost to on_nan=skip or rollback", minimum=1, **FREE)
    on_save_error: Literal["stop", "continue"] = option(
        "stop", "reaction to a checkpoint that cannot be written", **FREE
    )
