"""The options of the scripts: each one is declared once, here.

A section is a frozen dataclass: its docstring is its title, a field an option with its type, default, help text and
legal values, which are those of a factory's argument where it sets one (mindcv/arguments.py). Flags, YAML keys,
`--help`, the checks and docs/configuration.md follow from it; see config.py. Importing this must not import MindSpore
or NumPy, because `--help` must answer at once.
"""

from dataclasses import dataclass
from typing import Any

from mindcv import arguments as legal
from mindcv.options.option import option
from mindcv.options.rules import COMMAND, COMPUTING, FREE, TRAIN

# Rules of all options of a section that do not say otherwise. Graphs take images, labels and weights as inputs, and
# learning rates as a Parameter; in_graph=False says so of the options that decide about these.
SECTION_RULES: dict[str, dict[str, Any]] = {
    "runtime": {},
    "data": {"scripts": ("train", "validate", "benchmark"), "in_graph": False},
    "image": {"in_graph": False},
    "augment": {**TRAIN, "in_graph": False},
    "model": {},
    "loss": TRAIN,
    "optim": TRAIN,
    "schedule": {**TRAIN, "in_graph": False},
    "lr_base": {**TRAIN, "in_graph": False},
    "step": TRAIN,
    "train": {"scripts": ("train",)},
    "files": {"inherited": False},
    "benchmark": {"scripts": ("benchmark",), "inherited": False},
}


_DETERMINISTIC = "ask a GPU or Ascend for the same bits each time; a CPU gives them anyway"
_CHECK_DEVICE = "say whether the device works, what it lacks and where that comes from, and end"
_PROCESSES = "processes that train together, one per device; batch_size is that of each"
_TF32 = "let a GPU round the inputs of float32 products to TF32; none: in convolutions only, as MindSpore does"
_MODE = "0: Graph mode (compiled), 1: Pynative mode (eager); benchmark: both, unless one is on the command line"


@dataclass(frozen=True)
class Runtime:
    """Device and mode"""

    mode: int = option(0, _MODE, choices=(0, 1))
    device_target: str = option("auto", "device; auto: the best available", choices=("auto", "Ascend", "GPU", "CPU"))
    processes: int = option(1, _PROCESSES, minimum=1, in_graph=False, scripts=("train",))
    seed: int = option(legal.SEED, "seed of weights, data order and augmentation")
    deterministic: bool = option(False, _DETERMINISTIC, free=True, **COMPUTING)
    tf32: bool | None = option(None, _TF32, free=True, **COMPUTING)
    compile_cache: bool = option(True, "keep compiled networks for the next start (CPU)", **COMPUTING, **COMMAND)
    check_device: bool = option(False, _CHECK_DEVICE, scripts=("train",), **COMMAND)
    debug: bool = option(False, "show the traceback of an error, not only its message", **COMMAND)


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
    dataset_download: bool = option(False, "download the data set into data_dir if it is missing", **COMMAND)
    train_split: str | None = option(None, "split to train on; none: the data set's own", **TRAIN)
    val_split: str | None = option(None, "split to validate on; none: the data set's own")
    val_fraction: float | None = option(
        legal.VAL_FRACTION, "share to hold out of data without train and val; none: 0.2", fixed=_DIVISION
    )
    folds: int | None = option(
        legal.FOLDS, "divide the training split into this many parts for cross-validation", fixed=_DIVISION
    )
    fold: int = option(legal.FOLD, "number of the part to hold out and validate on, from 0", fixed=_DIVISION)
    num_samples: int | None = option(legal.NUM_SAMPLES, "use only this many examples of each split")
    batch_size: int = option(legal.BATCH_SIZE, "examples per batch", **COMPUTING)
    val_batch_size: int | None = option(None, "examples per batch of validation; none: batch_size", minimum=1)
    val_image_resize: int | None = option(None, "height and width to validate at; none: image_resize", minimum=1)
    shuffle: bool = option(True, "shuffle the training examples in every epoch", **TRAIN)
    sampler: str = option(
        legal.SAMPLER, "uniform: each example once per epoch; balanced: each class equally often", **TRAIN
    )
    aug_repeats: int = option(
        legal.AUG_REPEATS, "times that an epoch repeats each of its examples, of which it has fewer", **TRAIN
    )
    drop_remainder: bool = option(True, "drop the last, smaller training batch", **TRAIN)
    num_parallel_workers: int | None = option(
        legal.NUM_PARALLEL_WORKERS, "data threads; none: one per core, at most 8", **COMPUTING, **FREE
    )
    on_bad_image: str = option(legal.ON_BAD_IMAGE, "an unreadable image ends the run, or is left out", **FREE)
    bad_image_limit: int = option(
        legal.BAD_IMAGE_LIMIT, "largest number of images that on_bad_image=skip leaves out", **FREE
    )
    check_data: bool = option(
        False, "read every image of the data set, list the bad ones, and end", **_VALIDATE, **COMMAND
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
_FREEZE: dict[str, Any] = {"fixed": "the saved state covers the parameters that were trained", **TRAIN}
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
        scripts=("train", "validate", "benchmark"),
        fixed="the classifier has that size",
        in_graph=False,  # the network's description has it
    )
    pretrained: bool | str = option(False, "use published weights: the usual ones, or those of this name", **FREE)
    ckpt_path: str = option("", _WEIGHTS, is_path=True, **FREE)
    drop_rate: float = option(0.0, "dropout before the classifier", minimum=0, below=1, **TRAIN)
    drop_path_rate: float = option(0.0, "probability of skipping a block", minimum=0, below=1, **TRAIN)
    drop_block_rate: float = option(0.0, "share that DropBlock drops in the last stages", minimum=0, below=1, **TRAIN)
    freeze: int | str | None = option(
        None,
        "do not train the stem and the first N stages; backbone: all but the classifier",
        minimum=1,
        words=("backbone",),
        **_FREEZE,
    )
    freeze_bn: str = option("frozen", _FREEZE_BN, choices=("none", "frozen", "all"), **_FREEZE)
    tta: str = option("none", _TTA, choices=("none", "hflip", "five_crop", "ten_crop"), **_VIEWS, **COMMAND)
    fold_bn: bool = option(True, _FOLD_BN, scripts=("validate", "infer", "export", "benchmark"), free=True)


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


_BENCH = "what is measured: training steps, inference, or both"
_NUM_BENCH_ITER = "measurements that count: training updates, or batches of inference"
_PEER_PYTHON = "Python interpreter with PyTorch and timm: its counterpart is measured in turn, on the same device"
_UPDATE_README = "replace this device's row in the benchmark table of README.md"


@dataclass(frozen=True)
class Benchmark:
    """Benchmark (benchmark.py)"""

    bench: str = option("both", _BENCH, choices=("both", "train", "infer"))
    num_warm_iter: int = option(3, "measurements before them, which do not count", minimum=1)
    num_bench_iter: int = option(12, _NUM_BENCH_ITER, minimum=1)
    peer_python: str = option("", _PEER_PYTHON, is_path=True)
    out: str = option("", "folder for the results, as .json and .md; it is made if it is missing", is_path=True)
    update_readme: bool = option(False, _UPDATE_README)
