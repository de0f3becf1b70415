"""The options of the scripts: each one is declared once, here.

A section is a frozen dataclass: its docstring is its title, a field an option with its type, default, help text and
legal values. Flags, YAML keys, `--help`, the checks and docs/configuration.md follow from it; see config.py. Importing
this must not import MindSpore or NumPy, because `--help` should answer at once.
"""

import operator
from dataclasses import dataclass

from mindcv.options.option import option

SCRIPTS = ("train", "validate", "infer", "export", "convert")


@dataclass(frozen=True)
class Runtime:
    """Device and mode"""

    mode: int = option(0, "0: Graph mode (compiled), 1: Pynative mode (eager)", choices=(0, 1))
    device_target: str = option("auto", "device; auto: the best present", choices=("auto", "Ascend", "GPU", "CPU"))
    seed: int = option(42, "seed of weights, data order and augmentation", minimum=0, maximum=2**32 - 1)
    compile_cache: bool = option(
        True, "keep compiled networks for the next start", scripts=("train", "validate", "infer")
    )
    debug: bool = option(False, "show the traceback of an error, not only its message")


_STOP_SKIP = ("stop", "skip")
_VALIDATE = {"scripts": ("validate",)}


@dataclass(frozen=True)
class Data:
    """Data"""

    dataset: str = option("digits", "digits, cifar10, cifar100, mnist, imagenet, or your own: a folder per class")
    data_dir: str = option("./data", "folder that holds the data set", is_path=True)
    dataset_download: bool = option(False, "download the data set into data_dir when it is not there")
    train_split: str | None = option(None, "split to train on; none: the data set's own", scripts=("train",))
    val_split: str | None = option(None, "split to validate on; none: the data set's own")
    val_fraction: float | None = option(
        None, "share to hold out of a folder without train/ and val/; none: 0.2", above=0, maximum=1
    )
    num_samples: int | None = option(None, "use only that many examples of each split", minimum=1)
    batch_size: int = option(64, "examples per batch", minimum=1, scripts=("train", "validate", "infer"))
    shuffle: bool = option(True, "shuffle the training examples in every epoch", scripts=("train",))
    drop_remainder: bool = option(True, "drop the last, smaller training batch", scripts=("train",))
    num_parallel_workers: int | None = option(
        None, "data threads; none: the cores present, at most 8", minimum=1, scripts=("train", "validate", "infer")
    )
    on_bad_image: str = option("stop", "an image that cannot be read ends the run, or is left out", choices=_STOP_SKIP)
    bad_image_limit: int = option(100, "most images that on_bad_image=skip leaves out", minimum=1)
    check_data: bool = option(False, "read every image of the data set, list the bad ones, and end", **_VALIDATE)


_SCALE = "0..1; values above 1: 0..255"


@dataclass(frozen=True)
class Image:
    """Image"""

    image_resize: int = option(224, "height and width of the network's input, pixels", minimum=1)
    in_channels: int = option(3, "channels of the network's input: colour, or grey", choices=(3, 1))
    interpolation: str = option("bilinear", "resizing filter", choices=("bilinear", "bicubic", "nearest"))
    mean: tuple[float, ...] = option((0.485, 0.456, 0.406), f"mean per channel, {_SCALE}", minimum=0, maximum=255)
    std: tuple[float, ...] = option((0.229, 0.224, 0.225), f"deviation per channel, {_SCALE}", above=0, maximum=255)
    crop_pct: float = option(0.875, "validation: side of the centre crop / resized shorter side", above=0, maximum=1)


_SHARE = {"above": 0, "maximum": 1, "sizes": (2,), "ordered": operator.le}
_ASPECT = {"above": 0, "sizes": (2,), "ordered": operator.le}
_AUTO = "instead of color_jitter: randaug, randaug-m9-n2 (strength 0..10, operations), trivialaug, autoaug"
_JITTER = "strength, or brightness, contrast, saturation (, hue); none: off"


@dataclass(frozen=True)
class Augment:
    """Augmentation (training)"""

    scale: tuple[float, ...] = option((0.08, 1.0), "area of the random resized crop / of the image", **_SHARE)
    ratio: tuple[float, ...] = option((0.75, 1.3333333), "width / height of the random resized crop", **_ASPECT)
    hflip: float = option(0.5, "probability of a horizontal flip", minimum=0, maximum=1)
    vflip: float = option(0.0, "probability of a vertical flip", minimum=0, maximum=1)
    color_jitter: float | tuple[float, ...] | None = option(0.4, _JITTER, minimum=0, sizes=(3, 4))
    auto_augment: str | None = option(None, _AUTO)
    random_crop_padding: int | None = option(None, "replaces scale and ratio: pixels to pad before the crop", minimum=0)
    re_prob: float = option(0.0, "probability of random erasing", minimum=0, maximum=1)
    re_scale: tuple[float, ...] = option((0.02, 0.33), "erased area / area of the image", **_SHARE)
    re_ratio: tuple[float, ...] = option((0.3, 3.3), "width / height of the erased area", **_ASPECT)
    re_value: int | str = option(0, "what an erased pixel becomes", choices=(0, "random"))


_WEIGHTS = "use these weights: .ckpt (also MindCV's), .safetensors, .pth, .onnx, .mindir"
_FREEZE = {"words": ("backbone",), "scripts": ("train",)}
_FOLD_BN = "fold batch norms into convolutions: faster, the same results up to rounding"
_FREEZE_BN = "batch norms that keep their running statistics: those of frozen parts, all, or none"


@dataclass(frozen=True)
class Model:
    """Model"""

    model: str = option("sknet50", "name of the network, one of mindcv.list_models()")
    num_classes: int | None = option(
        None, "size of the output; none: the data set's", minimum=1, scripts=("train", "validate")
    )
    pretrained: bool | str = option(False, "use published weights: the usual ones, or those of this name")
    ckpt_path: str = option("", _WEIGHTS, is_path=True)
    drop_rate: float = option(0.0, "dropout before the classifier", minimum=0, below=1, scripts=("train",))
    drop_path_rate: float = option(0.0, "probability of skipping a block", minimum=0, below=1, scripts=("train",))
    freeze: int | str | None = option(
        None, "do not train the stem and the first N stages; backbone: all but the classifier", minimum=1, **_FREEZE
    )
    freeze_bn: str = option("frozen", _FREEZE_BN, choices=("none", "frozen", "all"), scripts=("train",))
    fold_bn: bool = option(True, _FOLD_BN, scripts=("validate", "infer", "export"))


@dataclass(frozen=True)
class Loss:
    """Loss"""

    loss: str = option("CE", "loss function; CE: cross-entropy", choices=("CE",))
    label_smoothing: float = option(0.0, "mass moved to the uniform distribution", minimum=0, below=1)


_FACTOR = {"above": 0, "maximum": 1}


@dataclass(frozen=True)
class Optim:
    """Optimizer"""

    opt: str = option("momentum", "optimizer", choices=("sgd", "momentum", "adam", "adamw"))
    momentum: float = option(0.9, "momentum of sgd and momentum", minimum=0, below=1)
    weight_decay: float = option(1e-4, "weight decay", minimum=0)
    weight_decay_filter: str = option("disable", "what does not decay", choices=("disable", "norm_and_bias"))
    use_nesterov: bool = option(False, "Nesterov's momentum (sgd, momentum)")
    betas: tuple[float, ...] = option((0.9, 0.999), "averaging rates of adam, adamw", minimum=0, below=1, sizes=(2,))
    eps: float = option(1e-8, "term in the denominator of adam, adamw", above=0)
    layer_decay: float | None = option(None, "learning rate's factor from each block to the one before", **_FACTOR)
    head_lr_scale: float = option(1.0, "factor of the classifier's learning rate", above=0)


_SCHEDULES = ("constant", "cosine_decay", "step_decay", "multi_step_decay")
_ALIASES = {"warmup_cosine_decay": "cosine_decay"}  # MindCV has two names for this schedule
_DECAY = "cosine_decay: epochs from warmup to min_lr (none: all); step_decay: epochs between drops"


@dataclass(frozen=True)
class Schedule:
    """Learning rate"""

    scheduler: str = option("cosine_decay", "schedule", choices=_SCHEDULES, aliases=_ALIASES)
    lr: float = option(0.01, "learning rate at the end of warmup", above=0)
    min_lr: float = option(0.0, "lowest learning rate of a decay", minimum=0)
    warmup_epochs: int | float = option(0, "epochs of linear warmup", minimum=0)
    warmup_factor: float = option(0.01, "warmup begins at warmup_factor * lr", above=0, below=1)
    decay_epochs: int | float | None = option(None, _DECAY, above=0)
    decay_rate: float = option(0.1, "factor of a drop in step_decay and multi_step_decay", above=0, maximum=1)
    multi_step_decay_milestones: tuple[int, ...] = option(
        (30, 60, 90), "epochs of the drops, counted from the start of training", minimum=1, ordered=operator.lt
    )


_RESUME = "continue the run in ckpt_save_dir; auto: or start it; or continue from this file or folder"
_ON_NAN = (*_STOP_SKIP, "rollback")
_ON_SAVE_ERROR = ("stop", "continue")
_LOG_INTERVAL = "steps between progress lines; none: about one a minute, where no bar can be seen"


@dataclass(frozen=True)
class Train:
    """Training"""

    epoch_size: int = option(90, "epochs to train", minimum=1)
    val_while_train: bool = option(True, "validate while training")
    val_interval: int = option(1, "epochs between validations; the last epoch is always validated", minimum=1)
    ckpt_save_dir: str = option(
        "./ckpt", "folder for checkpoints, metrics and the resolved configuration", is_path=True
    )
    ckpt_save_interval: int = option(1, "epochs between checkpoints", minimum=1)
    ckpt_save_steps: int | None = option(None, "batches between further checkpoints inside the epochs", minimum=1)
    keep_checkpoint_max: int = option(0, "newest epoch checkpoints kept beside best and last", minimum=0)
    log_interval: int | None = option(None, _LOG_INTERVAL, minimum=1)
    clip_grad: bool = option(False, "clip the global norm of the gradient to clip_value")
    clip_value: float = option(15.0, "largest global norm of the gradient", above=0)
    gradient_accumulation_steps: int = option(1, "batches whose gradients make one update", minimum=1)
    recompute: bool = option(False, "compute activations again for the gradient: less memory, more time")
    resume: bool | str = option(False, _RESUME, is_path=True)
    resume_opt: bool = option(False, "MindCV's spelling: with ckpt_path, what resume does with that file")
    on_nan: str = option("stop", "what follows a loss or gradient that is no finite number", choices=_ON_NAN)
    nan_limit: int = option(20, "most steps that on_nan=skip or rollback may cost", minimum=1)
    on_save_error: str = option("stop", "what follows when a checkpoint cannot be written", choices=_ON_SAVE_ERROR)


@dataclass(frozen=True)
class Files:
    """Files in and out (infer.py, export.py, convert.py)"""

    images: tuple[str, ...] = option(
        (), "images, folders, and patterns such as 'photos/**/*.jpg'", scripts=("infer",), is_path=True
    )
    topk: int = option(5, "classes named for each image", minimum=1, scripts=("infer",))
    output: str = option(
        "",
        "infer: .csv or .json; export: .onnx or .mindir; convert: .ckpt",
        scripts=("infer", "export", "convert"),
        is_path=True,
    )
    overwrite: bool = option(False, "replace the output if it exists", scripts=("infer", "export", "convert"))
    dynamic_batch: bool = option(True, "the exported network takes batches of any size", scripts=("export",))
    average: tuple[str, ...] | None = option(
        None, "checkpoints to average into one", scripts=("convert",), is_path=True
    )
