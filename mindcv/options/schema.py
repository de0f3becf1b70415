"""The options of the scripts: each one is declared once, here.

A section is a frozen dataclass: its docstring is its title, a field an option with its type, default, help text and
legal values, which are those of a factory's argument where it sets one (mindcv/arguments.py). Flags, YAML keys,
`--help`, the checks and docs/configuration.md follow from it; see config.py. Importing this must not import MindSpore
or NumPy, because `--help` must answer at once.
"""

from dataclasses import dataclass
from typing import Any, Literal

from mindcv import arguments as legal
from mindcv.loss.factory import LOSSES
from mindcv.optim.factory import OPTIMIZERS
from mindcv.options.option import option, show
from mindcv.scheduler.factory import SCHEDULERS

SCRIPTS = ("train", "validate", "infer", "export", "convert")
_COMPUTING: dict[str, Any] = {"scripts": ("train", "validate", "infer")}
_TRAIN: dict[str, Any] = {"scripts": ("train",)}
# Rules of all options of a section that do not say otherwise. Graphs take images, labels and weights as inputs, and
# learning rates as a Parameter; in_graph=False says so of the options that decide about these.
SECTION_RULES: dict[str, dict[str, Any]] = {
    "runtime": {},
    "data": {"scripts": ("train", "validate"), "in_graph": False},
    "image": {"in_graph": False},
    "augment": {**_TRAIN, "in_graph": False},
    "model": {},
    "loss": _TRAIN,
    "optim": _TRAIN,
    "schedule": {**_TRAIN, "in_graph": False},
    "lr_base": {**_TRAIN, "in_graph": False},
    "step": _TRAIN,
    "train": _TRAIN,
    "files": {"inherited": False},
}
_COMMAND: dict[str, Any] = {"inherited": False}
_FREE: dict[str, Any] = {"free": True, "in_graph": False}


@dataclass(frozen=True)
class Runtime:
    """Device and mode"""

    mode: int = option(0, "0: Graph mode (compiled), 1: Pynative mode (eager)", choices=(0, 1))
    device_target: str = option("auto", "device; auto: the best available", choices=("auto", "Ascend", "GPU", "CPU"))
    seed: int = option(legal.SEED, "seed of weights, data order and augmentation")
    compile_cache: bool = option(True, "keep compiled networks for the next start", **_COMPUTING, **_COMMAND)
    debug: bool = option(False, "show the traceback of an error, not only its message", **_COMMAND)


_VALIDATE: dict[str, Any] = {"scripts": ("validate",)}
_CLASSES = "the classes are that data set's"
_DIVISION = "it would validate on images that it was trained on"


@dataclass(frozen=True)
class Data:
    """Data"""

    dataset: str = option(
        "digits", "digits, cifar10, cifar100, mnist, imagenet, or any name for your own images", fixed=_CLASSES
    )
    data_dir: str = option(
        "./data",
        "folder with the data set: class folders, train.csv, .tar, .mindrecord; or such a file",
        is_path=True,
    )
    dataset_download: bool = option(False, "download the data set into data_dir if it is missing", **_COMMAND)
    train_split: str | None = option(None, "split to train on; none: the data set's own", scripts=("train",))
    val_split: str | None = option(None, "split to validate on; none: the data set's own")
    val_fraction: float | None = option(
        legal.VAL_FRACTION, "share to hold out of data without train and val; none: 0.2", fixed=_DIVISION
    )
    folds: int | None = option(
        legal.FOLDS, "divide the training split into this many parts for cross-validation", fixed=_DIVISION
    )
    fold: int = option(legal.FOLD, "number of the part to hold out and validate on, from 0", fixed=_DIVISION)
    num_samples: int | None = option(legal.NUM_SAMPLES, "use only this many examples of each split")
    batch_size: int = option(legal.BATCH_SIZE, "examples per batch", **_COMPUTING)
    val_batch_size: int | None = option(None, "examples per batch of validation; none: batch_size", minimum=1)
    val_image_resize: int | None = option(None, "height and width to validate at; none: image_resize", minimum=1)
    shuffle: bool = option(True, "shuffle the training examples in every epoch", scripts=("train",))
    sampler: str = option(
        legal.SAMPLER, "uniform: each example once per epoch; balanced: each class equally often", scripts=("train",)
    )
    aug_repeats: int = option(
        legal.AUG_REPEATS, "times that an epoch repeats each of its examples, of which it has fewer", scripts=("train",)
    )
    drop_remainder: bool = option(True, "drop the last, smaller training batch", scripts=("train",))
    num_parallel_workers: int | None = option(
        legal.NUM_PARALLEL_WORKERS, "data threads; none: one per core, at most 8", **_COMPUTING, **_FREE
    )
    on_bad_image: str = option(legal.ON_BAD_IMAGE, "an unreadable image ends the run, or is left out", **_FREE)
    bad_image_limit: int = option(
        legal.BAD_IMAGE_LIMIT, "largest number of images that on_bad_image=skip leaves out", **_FREE
    )
    check_data: bool = option(
        False, "read every image of the data set, list the bad ones, and end", **_VALIDATE, **_COMMAND
    )


_SCALE = "0..1; values above 1: 0..255"
_FIRST = "the first convolution has that size"


@dataclass(frozen=True)
class Image:
    """Image"""

    image_resize: int = option(legal.IMAGE_RESIZE, "height and width of the network's input, pixels")
    in_channels: int = option(
        legal.IN_CHANNELS, "channels of the network's input: colour, or grey", fixed=_FIRST, in_graph=True
    )
    interpolation: str = option(legal.INTERPOLATION, "resizing filter; of training: see train_interpolation")
    mean: tuple[float, ...] = option(legal.MEAN, f"mean per channel, {_SCALE}")
    std: tuple[float, ...] = option(legal.STD, f"standard deviation per channel, {_SCALE}")
    crop_pct: float = option(legal.CROP_PCT, "validation: side of the centre crop / resized shorter side")


_AUTO = (
    "instead of color_jitter: randaug, rand, autoaug, original, v0, trivialaug, augmix or 3a, with parts as timm's and "
    "MindCV's: randaug-m9-n2-mstd0.5-inc1 (strength 0..10, operations, deviation of the strength)"
)
_SPLITS = "views of each example in a batch, the first without auto_augment; 0 or 1: one view, with it"
_ERASED = "erased pixels: 0, random (normal, each value) or rand (normal, one per rectangle and channel)"
_JITTER = "strength, or brightness, contrast, saturation (, hue); none: off"


@dataclass(frozen=True)
class Augment:
    """Augmentation (training)"""

    scale: tuple[float, ...] = option(legal.SCALE, "area of the random resized crop / of the image")
    ratio: tuple[float, ...] = option(legal.RATIO, "width / height of the random resized crop")
    hflip: float = option(legal.HFLIP, "probability of a horizontal flip")
    vflip: float = option(legal.VFLIP, "probability of a vertical flip")
    color_jitter: float | tuple[float, ...] | None = option(legal.COLOR_JITTER, _JITTER)
    color_jitter_prob: float | None = option(legal.COLOR_JITTER_PROB, "probability of color_jitter; none: every image")
    grayscale_prob: float = option(legal.GRAYSCALE_PROB, "probability of making an image grey")
    gaussian_blur_prob: float = option(legal.GAUSSIAN_BLUR_PROB, "probability of a blur of 0.1 to 2 pixels")
    auto_augment: str | None = option(legal.AUTO_AUGMENT, _AUTO)
    random_crop_padding: int | None = option(
        legal.RANDOM_CROP_PADDING, "replaces scale and ratio: pixels to pad before the crop"
    )
    train_interpolation: str | None = option(
        legal.TRAIN_INTERPOLATION, "resizing filter; random: bilinear or bicubic for each image; none: interpolation"
    )
    no_aug: bool = option(legal.NO_AUG, "resize and crop the middle; nothing else of this section")
    re_prob: float = option(legal.RE_PROB, "probability of random erasing")
    re_scale: tuple[float, ...] = option(legal.RE_SCALE, "erased area / area of the image")
    re_ratio: tuple[float, ...] = option(legal.RE_RATIO, "height / width of the erased area")
    re_value: int | str = option(legal.RE_VALUE, _ERASED, aliases={"const": "0", "pixel": "random"})
    re_count: tuple[int, ...] = option(legal.RE_COUNT, "most erased rectangles in an image, or fewest and most")
    re_max_attempts: int = option(legal.RE_MAX_ATTEMPTS, "rectangles tried until one fits into the image")
    aug_splits: int = option(legal.AUG_SPLITS, _SPLITS, in_graph=True)
    mixup: float = option(legal.MIXUP, "mixup: alpha of the Beta distribution of the mixing weight; 0: off")
    cutmix: float = option(legal.CUTMIX, "CutMix: alpha of the Beta distribution of the mixing weight; 0: off")
    cutmix_minmax: tuple[float, ...] | None = option(
        legal.CUTMIX_MINMAX, "CutMix with boxes whose sides are these fractions of the image's, instead of cutmix"
    )
    cutmix_prob: float = option(legal.CUTMIX_PROB, "probability of mixing, by mixup or CutMix")
    mixup_switch_prob: float = option(legal.MIXUP_SWITCH_PROB, "probability of CutMix where mixup is on as well")
    mixup_mode: str = option(legal.MIXUP_MODE, "what has a mixing weight of its own: a batch, a pair or an image")
    mixup_off_epoch: int = option(legal.MIXUP_OFF_EPOCH, "the last epoch with mixing; 0: all epochs mix")


_WEIGHTS = "use these weights: .ckpt (also MindCV's), .safetensors, .pth, .onnx, .mindir"
_FREEZE: dict[str, Any] = {"fixed": "the saved state covers the parameters that were trained", **_TRAIN}
_TTA = "average over views: the image and its reflection, corners and centre, or these and their reflections"
_VIEWS: dict[str, Any] = {"scripts": ("validate", "infer")}
_FOLD_BN = "fold batch norms into convolutions: faster, the same results up to rounding"
_FREEZE_BN = "batch norms that keep their running statistics: those of frozen parts, all, or none"


@dataclass(frozen=True)
class Model:
    """Model"""

    model: str = option(
        "sknet50", "name of the network, one of mindcv.list_models()", fixed="the weights are that network's"
    )
    num_classes: int | None = option(
        None,
        "size of the output; none: the data set's",
        minimum=1,
        scripts=("train", "validate"),
        fixed="the classifier has that size",
        in_graph=False,  # the network's description has it
    )
    pretrained: bool | str = option(False, "use published weights: the usual ones, or those of this name", **_FREE)
    ckpt_path: str = option("", _WEIGHTS, is_path=True, **_FREE)
    drop_rate: float = option(0.0, "dropout before the classifier", minimum=0, below=1, **_TRAIN)
    drop_path_rate: float = option(0.0, "probability of skipping a block", minimum=0, below=1, **_TRAIN)
    drop_block_rate: float = option(0.0, "share that DropBlock drops in the last stages", minimum=0, below=1, **_TRAIN)
    freeze: int | str | None = option(
        None,
        "do not train the stem and the first N stages; backbone: all but the classifier",
        minimum=1,
        words=("backbone",),
        **_FREEZE,
    )
    freeze_bn: str = option("frozen", _FREEZE_BN, choices=("none", "frozen", "all"), **_FREEZE)
    tta: str = option("none", _TTA, choices=("none", "hflip", "five_crop", "ten_crop"), **_VIEWS, **_COMMAND)
    fold_bn: bool = option(True, _FOLD_BN, scripts=("validate", "infer", "export"), free=True)


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
    patience_epochs: int = option(legal.PATIENCE_EPOCHS, "plateau: epochs without a better top-1 before a drop")
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
_SAVED: dict[str, Any] = {"fixed": "the saved state is that of these options"}


@dataclass(frozen=True)
class Step:
    """Training step"""

    gradient_accumulation_steps: int = option(1, "batches whose gradients make one update", minimum=1)
    recompute: bool = option(False, "recompute activations in the backward pass: less memory, more time")
    clip_grad: bool = option(False, "clip the gradients of an update")
    clip_mode: str = option(legal.CLIP_MODE, "what is clipped: the global norm, each value, or each unit (agc)")
    clip_value: float = option(legal.CLIP_VALUE, _CLIP_VALUE)
    ema: bool = option(False, "average the weights (EMA), and validate and save the averages", **_SAVED)
    ema_decay: float = option(legal.EMA_DECAY, "decay of the average at each update")
    ema_warmup: int | float = option(legal.EMA_WARMUP, "updates in which the decay rises to 63 %; 0: constant decay")
    amp_level: str = option(legal.AMP_LEVEL, f"mixed precision. {_LEVEL}", **_SAVED)
    amp_dtype: str = option(legal.AMP_DTYPE, "dtype of mixed precision", **_COMPUTING, **_SAVED)
    val_amp_level: str = option(legal.AMP_LEVEL, "mixed precision in evaluation, as amp_level", **_COMPUTING)
    loss_scale_type: str = option(legal.LOSS_SCALE_TYPE, _SCALE_TYPE, **_SAVED)
    loss_scale: float | None = option(legal.LOSS_SCALE, "fixed, or first dynamic loss scale; none: 1, or 65536")
    drop_overflow_update: bool = option(False, _DROP)


_RESUME = "continue the run in ckpt_save_dir; auto: if there is one; or continue from this file or folder"
_SHOW_AUGMENT = "draw the first training batches as the network sees them into this PNG, and end"
_PATIENCE = "end after this many validations in a row that did not raise the best top-1; none: train all epochs"
_LOG_INTERVAL = "steps between progress lines; none: about one a minute, if no bar is shown"


@dataclass(frozen=True)
class Train:
    """Training"""

    epoch_size: int = option(90, "epochs to train", minimum=1, in_graph=False)
    plot_schedule: str = option("", "draw the learning rate of the run as this .png, and end", is_path=True, **_COMMAND)
    val_while_train: bool = option(True, "validate while training", **_FREE)
    val_interval: int = option(1, "epochs between validations; the last epoch is always validated", minimum=1, **_FREE)
    ckpt_save_dir: str = option(
        "./ckpt", "folder for checkpoints, metrics and the resolved configuration", is_path=True, **_COMMAND
    )
    ckpt_save_interval: int = option(1, "epochs between checkpoints", minimum=1, **_FREE)
    ckpt_save_steps: int | None = option(
        None, "batches between additional checkpoints inside epochs", minimum=1, **_FREE
    )
    keep_checkpoint_max: int = option(0, "epoch checkpoints kept in addition to best and last", minimum=0, **_FREE)
    ckpt_save_policy: Literal["latest_k", "top_k"] = option(
        "latest_k", "which keep_checkpoint_max keeps: the newest, or those with the highest top-1", **_FREE
    )
    early_stop_patience: int | None = option(None, _PATIENCE, minimum=1, **_FREE)
    early_stop_delta: float = option(
        0.0, "smallest rise of the best top-1 that counts, percentage points", minimum=0, **_FREE
    )
    log_interval: int | None = option(None, _LOG_INTERVAL, minimum=1, **_FREE)
    show_augment: str = option("", _SHOW_AUGMENT, is_path=True, **_COMMAND)
    resume: bool | str = option(False, _RESUME, is_path=True, **_COMMAND)
    resume_opt: bool = option(False, "MindCV's spelling: with ckpt_path, what resume does with that file", **_COMMAND)
    on_nan: Literal["stop", "skip", "rollback"] = option(
        "stop", "reaction to a NaN or infinite loss or gradient", **_FREE
    )
    nan_limit: int = option(20, "largest number of steps lost to on_nan=skip or rollback", minimum=1, **_FREE)
    on_save_error: Literal["stop", "continue"] = option(
        "stop", "reaction to a checkpoint that cannot be written", **_FREE
    )


_REPORT = "metrics of each class: .csv; with averages, calibration and confusions: .json"


@dataclass(frozen=True)
class Files:
    """Files in and out (validate.py, infer.py, export.py, convert.py)"""

    images: tuple[str, ...] = option(
        (), "images, folders, and patterns such as 'photos/**/*.jpg'", scripts=("infer",), is_path=True
    )
    topk: int = option(5, "classes listed for each image", minimum=1, scripts=("infer",))
    output: str = option(
        "",
        "infer: .csv or .json; export: .onnx or .mindir; convert: .ckpt",
        scripts=("infer", "export", "convert"),
        is_path=True,
    )
    report: str = option("", _REPORT, is_path=True, **_VALIDATE)
    confusion_matrix: str = option("", "draw how often each class is taken for which: .png", is_path=True, **_VALIDATE)
    overwrite: bool = option(
        False, "replace the output if it exists", scripts=("validate", "infer", "export", "convert")
    )
    dynamic_batch: bool = option(True, "the exported network takes batches of any size", scripts=("export",))
    average: tuple[str, ...] | None = option(
        None, "checkpoints to average into one", scripts=("convert",), is_path=True
    )
