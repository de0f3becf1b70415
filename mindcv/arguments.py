"""Defaults and legal values of the factories' arguments, shared with options/schema.py.

Imports neither MindSpore nor NumPy, because `--help` and a mistyped value must be answered at once.
"""

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

from mindcv.nearest import did_you_mean


@dataclass(frozen=True)
class Argument:
    """An argument of a factory: its default and its legal values.

    Attributes:
        name: of the argument and of the option.
        default: None is legal if it is the default.
        choices: the legal values; empty: numbers in a range.
        minimum, maximum, above, below: the range of a number, or of each number of a sequence.
        sizes: legal lengths of a sequence; empty: any.
        ordered: comparison that must hold between neighbours of a sequence.
    """

    name: str
    default: Any
    choices: tuple[Any, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None
    sizes: tuple[int, ...] = ()
    ordered: Callable[[float, float], bool] | None = None

    def check(self, value: Any) -> None:
        """Raise ValueError, naming the argument, the legal values and `value`, unless `value` is legal."""
        if value is None and self.default is None:
            return
        if self.choices and value not in self.choices:
            hint = did_you_mean(str(value), list(map(str, self.choices)))
            raise ValueError(f"{self.name} must be {' or '.join(map(repr, self.choices))}; got {value!r}.{hint}")
        is_sequence = isinstance(self.default, tuple) or bool(self.sizes)
        if not self.choices and (isinstance(value, tuple | list) != is_sequence or not self.in_range(value)):
            what = self.sequence_of("numbers") if is_sequence else "a number"
            raise ValueError(f"{self.name} must be {what}{self.interval}; got {value!r}.")

    def in_range(self, value: Any) -> bool:
        """Whether a number, or a sequence of numbers, is in the range."""
        if isinstance(value, tuple | list):
            in_order = self.ordered is None or all(map(self.ordered, value, value[1:]))
            return in_order and (not self.sizes or len(value) in self.sizes) and all(map(self.in_range, value))
        if isinstance(value, bool) or not isinstance(value, Real):
            return False
        number = float(value)
        return (
            math.isfinite(number)
            and (self.minimum is None or number >= self.minimum)
            and (self.maximum is None or number <= self.maximum)
            and (self.above is None or number > self.above)
            and (self.below is None or number < self.below)
        )

    @property
    def interval(self) -> str:
        """The range as it follows a noun: " in (0, 1]", " > 0", " >= 1" or nothing."""
        low = f"[{self.minimum}" if self.minimum is not None else f"({self.above}"
        high = f"{self.maximum}]" if self.maximum is not None else f"{self.below})"
        if "None" not in low + high:
            return f" in {low}, {high}"
        if "None" in low:
            return ""
        return f" >= {self.minimum}" if self.minimum is not None else f" > {self.above}"

    def sequence_of(self, noun: str) -> str:
        """For example "2 increasing numbers"."""
        count = " or ".join(map(str, self.sizes)) + " " if self.sizes else ""
        return f"{count}{'increasing ' if self.ordered else ''}{noun}"


_PROBABILITY: dict[str, Any] = {"minimum": 0, "maximum": 1}
_SHARES: dict[str, Any] = {"above": 0, "maximum": 1, "sizes": (2,), "ordered": operator.le}
_ASPECTS: dict[str, Any] = {"above": 0, "sizes": (2,), "ordered": operator.le}

# Images; mean and std are ImageNet's.
IMAGE_RESIZE = Argument("image_resize", 224, minimum=1)
IN_CHANNELS = Argument("in_channels", 3, choices=(3, 1))
INTERPOLATION = Argument("interpolation", "bilinear", choices=("bilinear", "bicubic", "nearest"))
MEAN = Argument("mean", (0.485, 0.456, 0.406), minimum=0, maximum=255)
STD = Argument("std", (0.229, 0.224, 0.225), above=0, maximum=255)
CROP_PCT = Argument("crop_pct", 0.875, above=0, maximum=1)

# Augmentation
SCALE = Argument("scale", (0.08, 1.0), **_SHARES)
RATIO = Argument("ratio", (0.75, 1.3333333), **_ASPECTS)  # in float32 not quite 4/3: another value, other crops
HFLIP = Argument("hflip", 0.5, **_PROBABILITY)
VFLIP = Argument("vflip", 0.0, **_PROBABILITY)
COLOR_JITTER = Argument("color_jitter", 0.4, minimum=0, sizes=(3, 4))
COLOR_JITTER_PROB = Argument("color_jitter_prob", None, **_PROBABILITY)
GRAYSCALE_PROB = Argument("grayscale_prob", 0.0, **_PROBABILITY)
GAUSSIAN_BLUR_PROB = Argument("gaussian_blur_prob", 0.0, **_PROBABILITY)
AUTO_AUGMENT = Argument("auto_augment", None)
RANDOM_CROP_PADDING = Argument("random_crop_padding", None, minimum=0)
TRAIN_INTERPOLATION = Argument("train_interpolation", None, choices=(None, "bilinear", "bicubic", "nearest", "random"))
NO_AUG = Argument("no_aug", False)
RE_PROB = Argument("re_prob", 0.0, **_PROBABILITY)
RE_SCALE = Argument("re_scale", (0.02, 0.33), **_SHARES)
RE_RATIO = Argument("re_ratio", (0.3, 3.3), **_ASPECTS)
RE_VALUE = Argument("re_value", 0, choices=(0, "random", "rand"))
RE_COUNT = Argument("re_count", (1,), minimum=1, sizes=(1, 2), ordered=operator.le)
RE_MAX_ATTEMPTS = Argument("re_max_attempts", 10, minimum=1)
MIXUP = Argument("mixup", 0.0, minimum=0)
CUTMIX = Argument("cutmix", 0.0, minimum=0)
CUTMIX_MINMAX = Argument("cutmix_minmax", None, minimum=0, maximum=1, sizes=(2,), ordered=operator.le)
CUTMIX_PROB = Argument("cutmix_prob", 1.0, **_PROBABILITY)
MIXUP_SWITCH_PROB = Argument("mixup_switch_prob", 0.5, **_PROBABILITY)
MIXUP_MODE = Argument("mixup_mode", "batch", choices=("batch", "pair", "elem"))
MIXUP_OFF_EPOCH = Argument("mixup_off_epoch", 0, minimum=0)
AUG_SPLITS = Argument("aug_splits", 0, minimum=0)
AUG_REPEATS = Argument("aug_repeats", 0, minimum=0)


def keeps_color_jitter(auto_augment: str) -> bool:
    """Whether a policy of automatic augmentation leaves colour jitter on: 3-Augment, of which it is a part."""
    return "3a" in auto_augment


# Data set and loader
NUM_SAMPLES = Argument("num_samples", None, minimum=1)
VAL_FRACTION = Argument("val_fraction", None, above=0, maximum=1)
SAMPLER = Argument("sampler", "uniform", choices=("uniform", "balanced"))
FOLDS = Argument("folds", None, minimum=2)
FOLD = Argument("fold", 0, minimum=0)
NUM_PARALLEL_WORKERS = Argument("num_parallel_workers", None, minimum=1)
BATCH_SIZE = Argument("batch_size", 64, minimum=1)
SEED = Argument("seed", 42, minimum=0, maximum=2**32 - 1)
ON_BAD_IMAGE = Argument("on_bad_image", "stop", choices=("stop", "skip"))
BAD_IMAGE_LIMIT = Argument("bad_image_limit", 100, minimum=1)

# Loss
LABEL_SMOOTHING = Argument("label_smoothing", 0.0, minimum=0, below=1)
REDUCTION = Argument("reduction", "mean", choices=("mean", "sum"))
AUX_FACTOR = Argument("aux_factor", 0.0, minimum=0)
CLASS_WEIGHTS = Argument("class_weights", None, above=0)
BCE_TARGET_THRESH = Argument("bce_target_thresh", None, minimum=0, below=1)
FOCAL_GAMMA = Argument("focal_gamma", 2.0, minimum=0)
FOCAL_ALPHA = Argument("focal_alpha", 0.25, above=0, below=1)
ASL_GAMMA_POS = Argument("asl_gamma_pos", 1.0, minimum=0)
ASL_GAMMA_NEG = Argument("asl_gamma_neg", 4.0, minimum=0)
ASL_CLIP = Argument("asl_clip", 0.05, minimum=0, below=1)

# Optimizer
WEIGHT_DECAY = Argument("weight_decay", 1e-4, minimum=0)  # the scripts' default; that of `create_optimizer` is 0
MOMENTUM = Argument("momentum", 0.9, minimum=0, below=1)
WEIGHT_DECAY_FILTER = Argument("weight_decay_filter", "disable", choices=("disable", "norm_and_bias", "auto"))
BETAS = Argument("betas", None, above=0, below=1, sizes=(2, 3))  # None, here and for eps: the optimizer's own
EPS = Argument("eps", None, above=0)
RMSPROP_RHO = Argument("rmsprop_rho", 0.9, above=0, below=1)
TRUST_COEFF = Argument("trust_coeff", 0.001, above=0)
LAYER_DECAY = Argument("layer_decay", None, above=0, maximum=1)
HEAD_LR_SCALE = Argument("head_lr_scale", 1.0, above=0)

# Training step
CLIP_MODE = Argument("clip_mode", "norm", choices=("norm", "value", "agc"))
CLIP_VALUE = Argument("clip_value", 15.0, above=0)
EMA_DECAY = Argument("ema_decay", 0.9999, above=0, below=1)
EMA_WARMUP = Argument("ema_warmup", 2000, minimum=0)
AMP_LEVEL = Argument("amp_level", "O0", choices=("O0", "O1", "O2", "O3", "auto"))
AMP_DTYPE = Argument("amp_dtype", "float16", choices=("float16", "bfloat16"))
LOSS_SCALE = Argument("loss_scale", None, minimum=1, maximum=2**24)
LOSS_SCALE_TYPE = Argument("loss_scale_type", "auto", choices=("auto", "fixed", "dynamic"))

# Learning rate
LR = Argument("lr", 0.01, above=0)
LR_BASE = Argument("lr_base", None, above=0)
LR_BASE_SIZE = Argument("lr_base_size", 256, minimum=1)
LR_BASE_SCALE = Argument("lr_base_scale", "auto", choices=("auto", "linear", "sqrt"))
MIN_LR = Argument("min_lr", 0.0, minimum=0)
WARMUP_EPOCHS = Argument("warmup_epochs", 0, minimum=0)
WARMUP_STEPS = Argument("warmup_steps", None, minimum=1)
WARMUP_FACTOR = Argument("warmup_factor", 0.01, above=0, below=1)
DECAY_EPOCHS = Argument("decay_epochs", None, above=0)
DECAY_RATE = Argument("decay_rate", None, above=0)  # none: the schedule's own default
MILESTONES = Argument("multi_step_decay_milestones", (30, 60, 90), above=0, ordered=operator.lt)
NUM_CYCLES = Argument("num_cycles", 1, minimum=1)
CYCLE_DECAY = Argument("cycle_decay", 1.0, above=0, maximum=1)
LR_K_DECAY = Argument("lr_k_decay", 1.0, above=0)
COOLDOWN_EPOCHS = Argument("cooldown_epochs", 0, minimum=0)
PCT_START = Argument("pct_start", 0.3, above=0, below=1)
DIV_FACTOR = Argument("div_factor", 25.0, minimum=1)
PATIENCE_EPOCHS = Argument("patience_epochs", 10, minimum=0)


def check_all(values: Mapping[str, Any]) -> None:
    """Raise ValueError for the first of these arguments, by name, whose value is not legal."""
    for argument in globals().values():
        if isinstance(argument, Argument) and argument.name in values:
            argument.check(values[argument.name])
