"""Configuration of train.py and validate.py.

Each option is declared once, in a section below. Flags, YAML keys, `--help`, the checks and docs/configuration.md
(`python config.py > docs/configuration.md`) are derived from that declaration. Whatever its origin, a value is text
that `Option.parse` turns into a checked value, so a YAML file and the command line obey the same rules.
"""

import argparse
import difflib
import math
import operator
import os
import re
import reprlib
import shutil
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from types import NoneType
from typing import Any, Literal, NamedTuple, NoReturn, get_args, get_origin

import yaml

ROOT = os.path.dirname(os.path.abspath(__file__))
DIGITS_PRESET = "configs/sknet/sknet50_digits.yaml"
COMMAND_LINE = "command line"


def option(default: Any, help: str, **rules: Any) -> Any:
    """A dataclass field; `rules` are the remaining fields of `Option` (choices, minimum, maximum, ...)."""
    return field(default=default, metadata={"help": help, **rules})


@dataclass(frozen=True)
class Runtime:
    """Device and mode"""

    mode: int = option(0, "0: Graph mode (compiled), 1: Pynative mode (eager)", choices=(0, 1))
    device_target: str = option("auto", "device; auto: the best present", choices=("auto", "Ascend", "GPU", "CPU"))
    seed: int = option(42, "seed of weights, data order and augmentation", minimum=0, maximum=2**32 - 1)
    debug: bool = option(False, "show the traceback of an error, not only its message")


@dataclass(frozen=True)
class Data:
    """Data"""

    dataset: str = option("digits", "digits, cifar10, cifar100, mnist, imagenet, or your own: a folder per class")
    data_dir: str = option("./data", "folder that holds the data set")
    dataset_download: bool = option(False, "download the data set into data_dir when it is not there")
    train_split: str | None = option(None, "split to train on; none: the data set's own", train_only=True)
    val_split: str | None = option(None, "split to validate on; none: the data set's own")
    num_samples: int | None = option(None, "use only that many examples of each split", minimum=1)
    batch_size: int = option(64, "examples per batch", minimum=1)
    shuffle: bool = option(True, "shuffle the training examples in every epoch", train_only=True)
    drop_remainder: bool = option(True, "drop the last, smaller training batch", train_only=True)
    num_parallel_workers: int | None = option(None, "data threads; none: the cores present, at most 8", minimum=1)


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
_JITTER = "strength, or brightness, contrast, saturation (, hue); none: off"


@dataclass(frozen=True)
class Augment:
    """Augmentation (training)"""

    scale: tuple[float, ...] = option((0.08, 1.0), "area of the random resized crop / of the image", **_SHARE)
    ratio: tuple[float, ...] = option((0.75, 1.3333333), "width / height of the random resized crop", **_ASPECT)
    hflip: float = option(0.5, "probability of a horizontal flip", minimum=0, maximum=1)
    vflip: float = option(0.0, "probability of a vertical flip", minimum=0, maximum=1)
    color_jitter: float | tuple[float, ...] | None = option(0.4, _JITTER, minimum=0, sizes=(3, 4))
    random_crop_padding: int | None = option(None, "replaces scale and ratio: pixels to pad before the crop", minimum=0)
    re_prob: float = option(0.0, "probability of random erasing", minimum=0, maximum=1)
    re_scale: tuple[float, ...] = option((0.02, 0.33), "erased area / area of the image", **_SHARE)
    re_ratio: tuple[float, ...] = option((0.3, 3.3), "width / height of the erased area", **_ASPECT)
    re_value: int | str = option(0, "what an erased pixel becomes", choices=(0, "random"))


@dataclass(frozen=True)
class Model:
    """Model"""

    model: str = option("sknet50", "name of the network, one of mindcv.list_models()")
    num_classes: int | None = option(None, "size of the output; none: the data set's", minimum=1)
    pretrained: bool = option(False, "start from published weights")
    ckpt_path: str = option("", "start from (train.py) or measure (validate.py) this checkpoint")
    drop_rate: float = option(0.0, "dropout before the classifier", minimum=0, below=1, train_only=True)
    drop_path_rate: float = option(0.0, "probability of skipping a block", minimum=0, below=1, train_only=True)


@dataclass(frozen=True)
class Loss:
    """Loss"""

    loss: str = option("CE", "loss function; CE: cross-entropy", choices=("CE",))
    label_smoothing: float = option(0.0, "mass moved to the uniform distribution", minimum=0, below=1)


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


_SCHEDULES = ("constant", "cosine_decay", "step_decay", "multi_step_decay")
_DECAY = "cosine_decay: epochs from warmup to min_lr (none: all); step_decay: epochs between drops"


@dataclass(frozen=True)
class Schedule:
    """Learning rate"""

    scheduler: str = option("cosine_decay", "schedule", choices=_SCHEDULES)
    lr: float = option(0.01, "learning rate at the end of warmup", above=0)
    min_lr: float = option(0.0, "lowest learning rate of a decay", minimum=0)
    warmup_epochs: int | float = option(0, "epochs of linear warmup", minimum=0)
    warmup_factor: float = option(0.01, "warmup begins at warmup_factor * lr", above=0, below=1)
    decay_epochs: int | float | None = option(None, _DECAY, above=0)
    decay_rate: float = option(0.1, "factor of a drop in step_decay and multi_step_decay", above=0, maximum=1)
    multi_step_decay_milestones: tuple[int, ...] = option(
        (30, 60, 90), "epochs of the drops, counted from the start of training", minimum=1, ordered=operator.lt
    )


@dataclass(frozen=True)
class Train:
    """Training"""

    epoch_size: int = option(90, "epochs to train", minimum=1)
    val_while_train: bool = option(True, "validate while training")
    val_interval: int = option(1, "epochs between validations; the last epoch is always validated", minimum=1)
    ckpt_save_dir: str = option("./ckpt", "folder for checkpoints, metrics and the resolved configuration")
    ckpt_save_interval: int = option(1, "epochs between checkpoints", minimum=1)
    keep_checkpoint_max: int = option(0, "newest epoch checkpoints kept beside best and last", minimum=0)
    clip_grad: bool = option(False, "clip the global norm of the gradient to clip_value")
    clip_value: float = option(15.0, "largest global norm of the gradient", above=0)
    gradient_accumulation_steps: int = option(1, "batches whose gradients make one update", minimum=1)


@dataclass(frozen=True)
class Config:
    """The resolved configuration: one frozen section per concern, and where each value came from."""

    runtime: Runtime
    data: Data
    image: Image
    augment: Augment
    model: Model
    loss: Loss
    optim: Optim
    schedule: Schedule
    train: Train
    sources: Mapping[str, str] = field(compare=False, repr=False)  # key -> "default", a YAML, "command line", ...
    notices: tuple[str, ...] = field(compare=False, repr=False)  # lines the script shows to the user
    given_keys: frozenset[str] = field(compare=False, repr=False)

    def given(self, key: str) -> bool:
        """Whether `key` was set in a YAML file or on the command line."""
        return key in self.given_keys

    def to_dict(self) -> dict[str, Any]:
        """All options, flat, in the order of the schema."""
        return {name: value for section in SECTIONS for name, value in asdict(getattr(self, section)).items()}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a YAML file; given to -c, it yields an equal configuration."""
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            for section, kind in SECTIONS.items():
                plain = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(getattr(self, section)).items()}
                text = yaml.safe_dump(plain, sort_keys=False)
                file.write(f"# {kind.__doc__}\n{text}\n")


SECTIONS: dict[str, type] = {f.name: f.type for f in fields(Config) if is_dataclass(f.type)}
TRAIN_ONLY_SECTIONS = {"augment", "loss", "optim", "schedule", "train"}

# Settings of MindCV that this version lacks: the values that mean "off", which are accepted, and what is lacking.
UNAVAILABLE: dict[str, tuple[tuple[Any, ...], str]] = {
    "distribute": ((False,), "training runs on one device"),
    "amp_level": (("O0",), "training runs in float32"),
    "val_amp_level": (("O0",), "validation runs in float32"),
    "amp_cast_list": ((None,), "training runs in float32"),
    "drop_overflow_update": ((False,), "training runs in float32"),
    "auto_augment": ((None,), "no automatic augmentation policy"),
    "aug_splits": ((0,), "no augmentation splits"),
    "aug_repeats": ((0, 1), "no repeated augmentation"),
    "mixup": ((0,), "no mixup"),
    "cutmix": ((0,), "no cutmix"),
    "re_max_attempts": ((10,), "random erasing always makes up to 10 attempts"),
    "ema": ((False,), "no moving average of the weights"),
    "layer_decay": ((None,), "one learning rate for all layers"),
    "resume_opt": ((False,), "training cannot be resumed"),
    "ckpt_save_policy": (("latest_k",), "the newest keep_checkpoint_max are kept, and the best one"),
    "lr_epoch_stair": ((False,), "the learning rate changes at every update"),
    "num_cycles": ((1,), "the cosine has one cycle"),
    "cycle_decay": ((1,), "the cosine has one cycle"),
    "aux_factor": ((0,), "no auxiliary loss"),
    "reduction": (("mean",), "the loss is the mean over the batch"),
    "eval_shuffle": ((False,), "validation reads in order"),
}
# Settings of MindCV that cannot change a result here: accepted with a notice.
WITHOUT_EFFECT = {
    "dataset_sink_mode": "data is always fed batch by batch",
    "log_interval": "progress is shown continuously",
    "loss_scale": "training in float32 needs no loss scale",
    "loss_scale_type": "training in float32 needs no loss scale",
    "cutmix_prob": "mixup and cutmix are not available",
    "ema_decay": "ema is not available",
}
VALUE_ALIASES = {("scheduler", "warmup_cosine_decay"): "cosine_decay"}  # two names of one schedule in MindCV

# Options that have no effect for some values of another one: using them on the command line is worth a notice.
IDLE_WHEN: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
    ("scale ratio", "random_crop_padding", lambda padding: padding is not None),
    ("re_scale re_ratio re_value", "re_prob", lambda probability: probability == 0),
    ("momentum", "opt", lambda name: name in ("adam", "adamw")),
    ("betas eps", "opt", lambda name: name in ("sgd", "momentum")),
    ("warmup_factor", "warmup_epochs", lambda epochs: epochs == 0),
    ("min_lr", "scheduler", lambda name: name == "constant"),
    ("decay_epochs", "scheduler", lambda name: name in ("constant", "multi_step_decay")),
    ("decay_rate", "scheduler", lambda name: name in ("constant", "cosine_decay")),
    ("multi_step_decay_milestones", "scheduler", lambda name: name != "multi_step_decay"),
    ("val_interval", "val_while_train", operator.not_),
    ("clip_value", "clip_grad", operator.not_),
)

_TRUE, _FALSE, _NONE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}, {"none", "null", "~", ""}
_KINDS = {bool: "true or false", int: "an integer", float: "a number", str: "a text", NoneType: "none"}
_brief = reprlib.Repr()
_brief.maxlevel, _brief.maxstring = 2, 80


@dataclass(frozen=True)
class Option:
    """One setting: what is declared in its section, and the checks that follow from it."""

    name: str
    section: str
    type: Any
    default: Any
    help: str
    choices: tuple[Any, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None
    sizes: tuple[int, ...] = ()  # legal lengths of a sequence; empty: any
    ordered: Callable[[float, float], bool] | None = None  # must hold between neighbours of a sequence
    train_only: bool = False

    @property
    def kinds(self) -> tuple[Any, ...]:
        return (self.type,) if get_origin(self.type) is tuple else get_args(self.type) or (self.type,)

    @property
    def is_sequence(self) -> bool:
        return any(get_origin(kind) is tuple for kind in self.kinds)

    @property
    def legal(self) -> str:
        """What the user may write."""
        if self.choices:
            return "one of " + ", ".join(map(str, self.choices))
        words = [self._legal_sequence(kind) if get_origin(kind) else _KINDS[kind] for kind in self.kinds]
        if int in self.kinds and float in self.kinds:
            words.remove(_KINDS[int])
        low = f"[{self.minimum}" if self.minimum is not None else f"({self.above}"
        high = f"{self.maximum}]" if self.maximum is not None else f"{self.below})"
        if "None" not in low + high:
            words[0] += f" in {low}, {high}"
        elif "None" not in low:
            words[0] += f" >= {self.minimum}" if self.minimum is not None else f" > {self.above}"
        return " or ".join(words)

    def _legal_sequence(self, kind: Any) -> str:
        count = " or ".join(map(str, self.sizes)) + " " if self.sizes else ""
        order = "increasing " if self.ordered else ""
        return f"{count}{order}{'integers' if get_args(kind)[0] is int else 'numbers'}"

    def parse(self, value: Any, where: str) -> Any:
        """The checked value of what was written at `where`.

        Raises:
            ValueError: if `value` is not legal; names the place, the key, the value and what is legal.
        """
        text = _text(value)
        if self.choices:
            words = {str(choice).lower(): choice for choice in self.choices}
            word = text.strip().lower() if isinstance(text, str) else ""
            word = VALUE_ALIASES.get((self.name, word), word)
            if word in words:
                return words[word]
            raise ValueError(f"{where}: {self.name}: {_brief.repr(value)} is not {self.legal}{_nearest(word, words)}")
        for kind in sorted(self.kinds, key=lambda kind: kind is not NoneType):  # none is not a text
            try:
                result = _convert(kind, text)
            except ValueError:
                continue
            if self._within_limits(result):
                return result
        raise ValueError(f"{where}: {self.name}: {_brief.repr(value)} is not {self.legal}")

    def _within_limits(self, value: Any) -> bool:
        if isinstance(value, tuple):
            in_order = self.ordered is None or all(map(self.ordered, value, value[1:]))
            return in_order and (not self.sizes or len(value) in self.sizes) and all(map(self._within_limits, value))
        if isinstance(value, str):
            return bool(value) or not self.default  # an empty name is a slip, unless empty is the default
        return value is None or (
            (self.minimum is None or value >= self.minimum)
            and (self.maximum is None or value <= self.maximum)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )


OPTIONS: dict[str, Option] = {
    f.name: Option(f.name, section, f.type, f.default, **{"train_only": section in TRAIN_ONLY_SECTIONS, **f.metadata})
    for section, kind in SECTIONS.items()
    for f in fields(kind)
}
ALL_NAMES = [*OPTIONS, *UNAVAILABLE, *WITHOUT_EFFECT]
_FLAGS = {*UNAVAILABLE, *WITHOUT_EFFECT, *(o.name for o in OPTIONS.values() if o.type is bool)}  # may stand alone


class Setting(NamedTuple):
    """One `key: value` as it was written."""

    key: str
    value: Any
    where: str  # for messages: "a.yaml, line 3"
    source: str  # for Config.sources: "a.yaml"


def load_config(
    argv: Sequence[str] | None = None,
    *,
    prog: Literal["train", "validate"],
    inherited: Mapping[str, Any] | None = None,
    inherited_from: str = "",
) -> Config:
    """Resolves defaults < `inherited` < base YAML < YAML < command line.

    Args:
        argv: the command line without the program's name; None: `sys.argv[1:]`.
        prog: the script. "validate" shows and accepts the flags that validation uses; from files and `inherited` it
            takes everything.
        inherited: what a checkpoint says about itself, key -> value.
        inherited_from: where it says so, for messages.

    Raises:
        ValueError: for an unknown key, an illegal value, an unreadable file, or values that contradict each other.
        SystemExit: after `--help` or `--version`.
    """
    line = _read_command_line(sys.argv[1:] if argv is None else argv, prog)
    path = next((s.value for s in line if s.key == "config"), None)
    line = [s for s in line if s.key != "config"]
    label = inherited_from or "inherited"
    settings = [Setting(key, value, label, label) for key, value in (inherited or {}).items()]
    notices = []
    dataset = next((s.value for s in line if s.key == "dataset"), None)
    if path is not None:
        settings += _read_yaml(path, path)
    elif _wants_digits(dataset, inherited or {}, prog):
        settings += _read_yaml(os.path.join(ROOT, DIGITS_PRESET), DIGITS_PRESET)
        why = "no --dataset given" if dataset is None else "--dataset=digits without -c"
        use = "training" if prog == "train" else "validating"
        notices.append(f"{why}: {use} on scikit-learn's handwritten digits, preset {DIGITS_PRESET}")

    values = {name: o.default for name, o in OPTIONS.items()}
    sources = dict.fromkeys(OPTIONS, "default")
    foreign: dict[str, Setting] = {}
    for setting in [*settings, *line]:
        key, value, where, source = setting
        if key in OPTIONS:
            value = OPTIONS[key].parse(value, where)
        elif key not in ALL_NAMES:
            raise ValueError(f"{where}: unknown key {_brief.repr(key)}{_nearest(key, ALL_NAMES)}")
        if source == sources.get(key) == COMMAND_LINE and value != values[key]:
            raise ValueError(f"{where}: {key} is given twice, as {_show(values[key])} and as {_show(value)}")
        values[key], sources[key] = value, source
        if key not in OPTIONS:
            foreign[key] = setting

    notices += _check_foreign(foreign.values(), prog)
    _check_together(values, sources, prog)
    if prog == "train":
        notices += _remarks(values, sources)
    given = frozenset(s.key for s in [*settings, *line] if s.key in OPTIONS and s.source != label)
    sections = {n: kind(**{f.name: values[f.name] for f in fields(kind)}) for n, kind in SECTIONS.items()}
    sources = {key: sources[key] for key in OPTIONS}
    return Config(**sections, sources=sources, notices=tuple(notices), given_keys=given)


def run_script(main: Callable[[Sequence[str] | None], Any], argv: Sequence[str] | None = None) -> NoReturn:
    """Runs `main(argv)` and exits: a user's mistake is a sentence and exit code 2, a traceback only with --debug."""
    line = " ".join(sys.argv[1:] if argv is None else argv).lower()
    debug = re.search(r"(?:^|\s)(?:--debug|(?:--)?debug=(?:true|1|yes|on))(?=\s|$)(?!\s+(?:false|0|no|off)\b)", line)
    try:
        main(argv)
    except (ValueError, OSError) as error:
        if debug:
            traceback.print_exc()
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)


def _wants_digits(dataset: str | None, inherited: Mapping[str, Any], prog: str) -> bool:
    if prog == "validate" and inherited:
        return False  # the checkpoint says how its images were prepared
    return dataset == "digits" or (dataset is None and "dataset" not in inherited)


def _text(value: Any) -> Any:
    """Text, or a list of texts: what a YAML file would hold for a Python value of a checkpoint."""
    if isinstance(value, (list, tuple)):
        return [v if isinstance(v, str) else str(v) for v in value]
    return value if isinstance(value, str) else str(value)


def _convert(kind: Any, text: str | list[str]) -> Any:
    """`text` as a `kind`; raises ValueError."""
    if get_origin(kind) is tuple:
        if isinstance(text, str):
            inner = text.strip()
            inner = inner[1:-1].strip() if inner[:1] + inner[-1:] in ("[]", "()") else inner
            text = re.split(r"\s*,\s*|\s+", inner.removesuffix(",").strip())
        return tuple(_convert(get_args(kind)[0], part) for part in text)
    if isinstance(text, list):
        raise ValueError
    word = text.strip().lower()
    if kind is str:
        return text
    if kind is NoneType and word in _NONE:
        return None
    if kind is bool and word in _TRUE | _FALSE:
        return word in _TRUE
    if kind is int and re.fullmatch(r"[+-]?[0-9]+", word):
        return int(word)
    if kind is float and "_" not in word and math.isfinite(number := float(word)):
        return number
    raise ValueError


def _show(value: Any) -> str:
    """The spelling of a value on the command line."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if value is None or isinstance(value, bool) else str(value) or "''"


def _nearest(word: str, names: Sequence[str] | Mapping[str, Any]) -> str:
    word = word.lower()
    close = difflib.get_close_matches(word, names, n=3) or [n for n in names if len(word) > 3 and word in n]
    return f"; did you mean {' or '.join(close)}?" if close else ""


def _check_foreign(settings: Iterable[Setting], prog: str) -> list[str]:
    """Refuses what MindCV has and this version has not, unless it is off; returns notices."""
    notices, refusals = [], []
    for key, value, where, source in settings:
        if prog == "validate" and source != COMMAND_LINE and not key.startswith(("val_", "eval_")):
            continue  # it concerns training
        if key in WITHOUT_EFFECT:
            notices.append(f"{where}: {key} has no effect here: {WITHOUT_EFFECT[key]}")
            continue
        off_values, reason = UNAVAILABLE[key]
        if not any(_means(value, off) for off in off_values):
            refusals.append(
                f"{where}: {key}: {_brief.repr(value)} is not available in this version ({reason}); "
                f"remove the key or set it to {_show(off_values[0])}"
            )
    if refusals:
        raise ValueError("\n".join(refusals))
    return notices


def _means(value: Any, off: Any) -> bool:
    try:
        meant = _convert(float if type(off) is int else type(off), _text(value))
    except ValueError:
        return False
    return meant == off or (isinstance(off, str) and meant.strip().lower() == off.lower())


def _check_together(values: Mapping[str, Any], sources: Mapping[str, str], prog: str) -> None:
    """Checks that need more than one option."""

    def said(key: str) -> str:
        return f"{key}={_show(values[key])} ({sources[key]})"

    for key in ("mean", "std"):
        grey_default = values["in_channels"] == 1 and sources[key] == "default"  # the average of the three is used
        if len(values[key]) != values["in_channels"] and not grey_default:
            raise ValueError(f"{said(key)} must have one value per channel, but {said('in_channels')}")
    if prog == "validate":
        return
    if values["warmup_epochs"] >= values["epoch_size"]:
        raise ValueError(f"{said('warmup_epochs')} leaves nothing of {said('epoch_size')}: it must be smaller")
    if values["min_lr"] > values["lr"]:
        raise ValueError(f"{said('min_lr')} is above {said('lr')}: it must not be")
    if values["scheduler"] == "step_decay" and values["decay_epochs"] is None:
        raise ValueError(f"{said('scheduler')} needs decay_epochs, the number of epochs between two drops")
    if values["use_nesterov"] and (values["opt"] not in ("sgd", "momentum") or values["momentum"] == 0):
        raise ValueError(f"{said('use_nesterov')} needs opt=sgd or momentum, and momentum above 0; got {said('opt')}")


def _remarks(values: Mapping[str, Any], sources: Mapping[str, str]) -> list[str]:
    """What is legal, but perhaps not what was meant."""
    remarks = [
        f"{key} has no effect with {governor}={_show(values[governor])}"
        for keys, governor, is_idle in IDLE_WHEN
        for key in keys.split()
        if sources[key] == COMMAND_LINE and is_idle(values[governor])
    ]
    if values["warmup_epochs"] > 0 and values["scheduler"] in ("step_decay", "multi_step_decay"):
        remarks.append("drops of the learning rate count from the start of training (MindCV: from the end of warmup)")
    return remarks


_TOKEN = re.compile(r"(?P<dashes>-{0,2})(?P<key>[A-Za-z][\w-]*)(?:=(?P<value>.*))?", re.DOTALL)


def _read_command_line(argv: Sequence[str], prog: str) -> list[Setting]:
    """`--key value`, `--key=value`, `key=value`, bare booleans and space-separated sequences, in order.

    argparse is not used to read the line: after `--pretrained` or `--scale` it would swallow `dataset=cifar10`.
    """
    tokens, settings = list(argv), []
    while tokens:
        key, value = _split_token(tokens.pop(0), prog)
        if value is None and key in _FLAGS:
            value = tokens.pop(0) if tokens and not _begins_setting(tokens[0]) else "true"
        elif value is None:
            # A path may hold "=", so only `known_key=...` is taken for the next setting.
            if not tokens or re.match(r"--|-[A-Za-z]", tokens[0]) or tokens[0].partition("=")[0] in OPTIONS:
                raise ValueError(f"{COMMAND_LINE}: --{key} needs a value")
            value = tokens.pop(0)
            while key in OPTIONS and OPTIONS[key].is_sequence and tokens and not _begins_setting(tokens[0]):
                value += " " + tokens.pop(0)
        settings.append(Setting(key, value, COMMAND_LINE, COMMAND_LINE))
    configs = sorted({s.value for s in settings if s.key == "config"})
    if len(configs) > 1:
        raise ValueError(f"{COMMAND_LINE}: config is given twice, as {' and as '.join(configs)}")
    return settings


def _split_token(token: str, prog: str) -> tuple[str, str | None]:
    """The key of a flag or of `key=value`, and the value if the token has one."""
    if token in ("-h", "--help"):
        print(help_text(prog), end="")
        sys.exit(0)
    if token == "--version":
        print(_version())
        sys.exit(0)
    if not _begins_setting(token) or not (match := _TOKEN.fullmatch(token)):
        raise ValueError(f"{COMMAND_LINE}: unexpected {_brief.repr(token)}; write --key=value or key=value")
    key, value = match["key"].replace("-", "_"), match["value"]
    if match["dashes"] == "-" and key != "c":
        raise ValueError(f"{COMMAND_LINE}: unknown flag {_brief.repr(token)}; write --{key}, with two dashes")
    if key == "config" or match["dashes"] == "-":
        return "config", value
    if value is None and key.startswith("no_") and key[3:] in _FLAGS:
        key, value = key[3:], "false"
    if key not in ALL_NAMES:
        raise ValueError(f"{COMMAND_LINE}: unknown option {key!r}{_nearest(key, ['config', *ALL_NAMES])}")
    if prog == "validate" and key in OPTIONS and OPTIONS[key].train_only:
        raise ValueError(f"{COMMAND_LINE}: {key} belongs to train.py; validation does not use it")
    return key, value


def _begins_setting(token: str) -> bool:
    match = _TOKEN.fullmatch(token)
    return token.startswith("--") or bool(match and (match["dashes"] or match["value"] is not None))


def _read_yaml(path: str, shown: str, chain: tuple[str, ...] = ()) -> list[Setting]:
    """The settings of a file, after those of its `base:` files. `shown` is the path for messages."""
    try:
        pairs = _read_pairs(path)
    except ValueError as error:
        raise ValueError(f"{chain[-1] + ': base: ' if chain else ''}{shown or repr(shown)}: {error}") from None
    chain = (*chain, shown)
    settings, bases, lines = [], [], {}
    for key, value, line in pairs:
        where = f"{shown}, line {line}"
        if key in lines:
            raise ValueError(f"{where}: {_brief.repr(key)} is given twice, first in line {lines[key]}")
        lines[key] = line
        if key == "base":
            bases = [value] if isinstance(value, str) else value
            if not bases or not all(bases):
                raise ValueError(f"{where}: base: {_brief.repr(value)} is not a path or a list of paths")
        else:
            settings.append(Setting(key, value, where, shown))
    below = []
    for base in bases:
        base_shown = os.path.normpath(os.path.join(os.path.dirname(shown), base))
        if base_shown in chain:
            circle = " -> ".join((*chain, base_shown))
            raise ValueError(f"{shown}, line {lines['base']}: base: goes in a circle: {circle}")
        below += _read_yaml(os.path.normpath(os.path.join(os.path.dirname(path), base)), base_shown, chain)
    return [*below, *settings]


def _read_pairs(path: str) -> list[tuple[str, Any, int]]:
    """(key, text or list of texts, line number) of each entry of a YAML mapping."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            # The texts as they are written: loading would make 010 an 8, 1:30 a 90 and 1e-4 a string.
            root = yaml.compose(file.read(), Loader=yaml.SafeLoader)
    except FileNotFoundError:
        folder, name = os.path.split(path)
        present = os.listdir(folder or ".") if os.path.isdir(folder or ".") else []
        raise ValueError(f"no such file{_nearest(name, sorted(p for p in present if not p.startswith('.')))}") from None
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError("is not a text file") from None
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        problem = ", ".join(filter(None, (error.context, error.problem)))
        raise ValueError(f"{line}is not valid YAML: {problem}") from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError):  # the last three: escapes, nesting
        raise ValueError("is not valid YAML") from None
    if root is None:
        return []
    if not isinstance(root, yaml.MappingNode):
        raise ValueError("must hold lines of the form key: value")
    return [(_scalar(k).replace("-", "_"), _plain(v), k.start_mark.line + 1) for k, v in root.value]


def _plain(node: yaml.Node) -> str | list[str]:
    return [_scalar(item) for item in node.value] if isinstance(node, yaml.SequenceNode) else _scalar(node)


def _scalar(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode) or not re.fullmatch(r"tag:yaml\.org,2002:\w+", node.tag):
        raise ValueError(f"line {node.start_mark.line + 1}: expected a plain value or a list of plain values")
    return node.value


def _version() -> str:
    with open(os.path.join(ROOT, "mindcv", "version.py"), encoding="utf-8") as file:  # importing mindcv is slow
        return re.search(r'__version__ = "(.+)"', file.read())[1]


EXAMPLES = {
    "train": (
        "Trains an image classifier.",
        "python train.py --model=sknet50",
        "python train.py --model=sknet50 --pretrained --lr=0.001 dataset=cifar10",
        "python train.py -c configs/sknet/sknet50_imagenet.yaml --data_dir=/imagenet",
    ),
    "validate": (
        "Measures an image classifier.",
        "python validate.py --ckpt_path=./ckpt/sknet50-best.ckpt",
        "python validate.py --model=sknet50 --dataset=imagenet --pretrained",
    ),
}


def help_text(prog: str) -> str:
    """What `--help` prints."""
    width = max(min(shutil.get_terminal_size().columns, 100), 60)
    purpose, *examples = EXAMPLES[prog]
    parser = argparse.ArgumentParser(
        prog=f"{prog}.py",
        usage=f"{prog}.py [-c FILE] [--key value | --key=value | key=value ...]",
        description="\n".join([purpose, "", "examples:", *(f"  {e}" for e in examples)]),
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=32, width=width),
        epilog="A YAML file may hold the same options; the command line wins.\nSee docs/configuration.md.",
        add_help=False,
    )
    parser.add_argument("-c", "--config", metavar="FILE", help="YAML file with options; may build on others (base:)")
    parser.add_argument("-h", "--help", action="store_true", help="show this text")
    parser.add_argument("--version", action="store_true", help="show the version")
    for section, kind in SECTIONS.items():
        shown = [o for o in OPTIONS.values() if o.section == section and not (prog == "validate" and o.train_only)]
        group = parser.add_argument_group(kind.__doc__) if shown else None
        for o in shown:
            legal = f"; {', '.join(map(str, o.choices))}" if o.choices and o.type is str else ""
            text = f"{o.help}{legal} [{_show(o.default)}]".replace("%", "%%")
            group.add_argument(f"--{o.name}", metavar=_metavar(o), help=text)
    return parser.format_help()


def _metavar(o: Option) -> str:
    if o.choices:
        return "NAME" if o.type is str else "|".join(map(str, o.choices))
    if o.is_sequence:
        return "X,X,..." if float not in o.kinds else "X"
    return "BOOL" if o.type is bool else "X" if float in o.kinds else "N" if int in o.kinds else "TEXT"


def reference_page() -> str:
    """docs/configuration.md."""
    lines = [PAGE_HEAD.rstrip()]
    for section, kind in SECTIONS.items():
        lines += [f"\n## {kind.__doc__}\n", "| Option | Default | Legal values | Meaning |", "|---|---|---|---|"]
        for o in (o for o in OPTIONS.values() if o.section == section):
            mark = " (t)" if o.train_only else ""
            lines.append(f"| `{o.name}`{mark} | `{_show(o.default)}` | {o.legal} | {o.help} |")
    lines += ["\n## MindCV's settings that are not available\n", "| Key | Accepted | Because |", "|---|---|---|"]
    lines += [f"| `{key}` | `{'`, `'.join(map(_show, off))}` | {why} |" for key, (off, why) in UNAVAILABLE.items()]
    lines += [f"| `{key}` | anything, with a notice | {why} |" for key, why in WITHOUT_EFFECT.items()]
    return "\n".join(lines) + "\n"


PAGE_HEAD = """\
# Configuration

<!-- Generated by: python config.py > docs/configuration.md -->

An option may be set in a YAML file (`-c recipe.yaml`) or on the command line; `train.py` and `validate.py` read both
alike. What comes later in this list wins: the defaults below, what a checkpoint says about itself, the files a recipe
names under `base:`, the recipe, the command line.

| | Spellings |
|---|---|
| Flag | `--epoch_size 5`, `--epoch_size=5`, `--epoch-size=5`, `epoch_size=5` (anywhere on the line); no abbreviations |
| True, false | `--pretrained`, `--no-pretrained`, `--pretrained=false`; true, 1, yes, on, false, 0, no, off |
| Sequence | `--scale 0.08,1.0`, `--scale 0.08 1.0`, `--scale "[0.08, 1.0]"`, `--scale "(0.08, 1.0)"` |
| No value | `none` or `null` where the table allows it |
| Recipe | `-c recipe.yaml`; in it, `base: other.yaml` (or a list, the last wins), relative to the recipe |

Unknown names, illegal values, a key given twice and values that contradict each other are errors. Intervals are
written as in mathematics: (0, 1] is above 0, up to and including 1. With neither `--dataset` nor `-c`, the preset
`configs/sknet/sknet50_digits.yaml` is used. Options marked (t) concern training: `validate.py` refuses them as flags
and accepts them from files.

MindCV's recipes are read as they are, as far as this version can do what they ask; the last table lists what it
cannot. Three differences: a recipe that leaves an option out gets the default of this page, not MindCV's; drops of
`step_decay` and `multi_step_decay` count from the start of training, not from the end of warmup; `mean` and `std` may
be on either scale.
"""

if __name__ == "__main__":
    print(reference_page(), end="")
