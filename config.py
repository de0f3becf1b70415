"""Configuration of the scripts: train.py, validate.py, infer.py, export.py, convert.py and benchmark.py.

Each option is declared once, in mindcv/options/schema.py. Flags, YAML keys, `--help`, the checks and
docs/configuration.md (`python config.py > docs/configuration.md`) are derived from that declaration. Whatever its
origin, a value is text that `Option.parse` turns into a checked value, so a YAML file and the command line obey the
same rules.
"""

import fnmatch
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal, NamedTuple

from mindcv.distributed import joined_size
from mindcv.folders import data_set_in
from mindcv.model_names import model_names
from mindcv.nearest import did_you_mean
from mindcv.options import help
from mindcv.options.command_line import COMMAND_LINE, read_command_line
from mindcv.options.mindcv_keys import UNAVAILABLE, WITHOUT_EFFECT, check_foreign
from mindcv.options.option import Option, brief, expand_home, shorten, show
from mindcv.options.rules import SCRIPTS
from mindcv.options.schema import SECTION_RULES, Augment, Benchmark, Data, Files, Image, Model, Runtime
from mindcv.options.schema_training import Loss, LrBase, Optim, Schedule, Step, Train
from mindcv.options.together import Layers, remarks, settle
from mindcv.options.yaml_file import Setting, read_yaml, write_yaml
from mindcv.version import __version__

ROOT = os.path.dirname(os.path.abspath(__file__))
DIGITS_PRESET = "configs/sknet/sknet50_digits.yaml"

Script = Literal["train", "validate", "infer", "export", "convert", "benchmark"]


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
    lr_base: LrBase
    step: Step
    train: Train
    files: Files
    benchmark: Benchmark
    sources: Mapping[str, str] = field(compare=False, repr=False)  # key -> "default", a YAML, "command line", ...
    notices: tuple[str, ...] = field(compare=False, repr=False)  # lines the script shows to the user
    request: "Request" = field(compare=False, repr=False)  # what it was resolved from

    def inherit(self, values: Mapping[str, Any], origin: str = "inherited") -> "Config":
        """The configuration with a checkpoint's own values as one more layer, between the defaults and the recipe.

        Raises ValueError as `load_config` does, with `origin` as the place.
        """
        settings = tuple(Setting(key, values[key], origin, origin) for key in values)
        return _resolve(self.request._replace(inherited=settings, origin=origin))

    def for_script(self, prog: Script) -> "Config":
        """The configuration of another script from the same settings; what it does not use is left out."""
        return _resolve(self.request._replace(prog=prog))

    def insist(self, values: Mapping[str, Any], origin: str) -> "Config":
        """The configuration with values that replace all others, with `origin` as the place."""
        settings = (Setting(key, values[key], origin, origin) for key in values)
        return _resolve(self.request._replace(line=(*self.request.line, *settings)))

    @property
    def prog(self) -> Script:
        """The script that it configures."""
        return self.request.prog

    @property
    def eval_image(self) -> Image:
        """The images outside training."""
        return replace(self.image, image_resize=self.data.val_image_resize or self.image.image_resize)

    @property
    def eval_batch_size(self) -> int:
        """The batch size outside training."""
        return self.data.val_batch_size or self.data.batch_size

    @property
    def aug_splits(self) -> int:
        """The views of each training image in a batch; 0 without augmentation."""
        return 0 if self.augment.no_aug else self.augment.aug_splits

    def given(self, key: str) -> bool:
        """Whether `key` was set in a YAML file or on the command line."""
        return any(setting.key == key for setting in (*(self.request.recipe or ()), *self.request.line))

    def to_dict(self) -> dict[str, Any]:
        """All options, flat, in the order of the schema."""
        return {name: value for section in SECTIONS for name, value in asdict(getattr(self, section)).items()}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a YAML file for train.py; given to -c, it yields an equal configuration."""
        kinds = {section: kind for section, kind in SECTIONS.items() if section not in ("files", "benchmark")}
        write_yaml(path, {_title(kind): asdict(getattr(self, section)) for section, kind in kinds.items()})


SECTIONS: dict[str, type] = {
    f.name: f.type for f in fields(Config) if isinstance(f.type, type) and is_dataclass(f.type)
}
OPTIONS: dict[str, Option] = {
    f.name: Option(
        name=f.name,
        section=section,
        type=f.type,
        default=f.default,
        **{"scripts": SCRIPTS, **SECTION_RULES[section], **f.metadata},
    )
    for section, kind in SECTIONS.items()
    for f in fields(kind)
}
ALL_NAMES = [*OPTIONS, *UNAVAILABLE, *WITHOUT_EFFECT]
_FLAGS = {*UNAVAILABLE, *WITHOUT_EFFECT, *(o.name for o in OPTIONS.values() if bool in o.kinds)}  # may stand alone


def load_config(argv: Sequence[str] | None = None, *, prog: Script) -> Config:
    """Resolves defaults < base YAML < YAML < command line; see `Config.inherit` for the values of a checkpoint.

    Args:
        argv: the command line without the program's name; None: `sys.argv[1:]`.
        prog: the script. It accepts only the flags that it uses, but every key from files and checkpoints.

    Raises:
        ValueError: for an unknown key, an illegal value, an unreadable file, or values that contradict each other.
        SystemExit: after `--help`, `--version` or `--list_models`.
    """
    line = _read_line(sys.argv[1:] if argv is None else argv, prog)
    if prog == "train":
        line += _started_processes(line)
    path = next((expand_home(s.value, f"{s.where}: config") for s in line if s.key == "config"), None)
    recipe = None if path is None else tuple(read_yaml(path, path))
    return _resolve(Request(prog, recipe, tuple(s for s in line if s.key != "config")))


class Request(NamedTuple):
    """The user's input: the settings of the recipe and its bases (None without one) and of the command line.

    `inherited` are a checkpoint's own settings, from `origin`.
    """

    prog: Script
    recipe: tuple[Setting, ...] | None
    line: tuple[Setting, ...]
    inherited: tuple[Setting, ...] = ()
    origin: str = ""


def _resolve(request: Request) -> Config:
    prog, inherited, origin, notices = request.prog, request.inherited, request.origin, []
    settings = [*inherited, *(request.recipe or ())]
    # A flag that this script does not use is another script's; see `for_script`.
    flags = {s.key for s in request.line if s.source == COMMAND_LINE} & OPTIONS.keys()
    line = [s for s in request.line if s.key not in flags or prog in OPTIONS[s.key].scripts]
    dataset = next((s.value for s in line if s.key == "dataset"), None)
    has_folder = any(s.key == "data_dir" for s in line)
    if request.recipe is None and _wants_digits(dataset, inherited, prog) and (dataset or not has_folder):
        settings += read_yaml(os.path.join(ROOT, DIGITS_PRESET), DIGITS_PRESET)
        why = "no --dataset given" if dataset is None else "--dataset=digits without -c"
        use = "training" if prog == "train" else "validating"
        notices.append(f"{why}: {use} on scikit-learn's digits, preset {DIGITS_PRESET}")

    values = {name: o.default for name, o in OPTIONS.items()}
    sources = dict.fromkeys(OPTIONS, "default")
    layers = Layers(values, sources, dict.fromkeys(OPTIONS, 0), {name: [] for name in OPTIONS})
    order = list(reversed(dict.fromkeys(s.source for s in reversed([*settings, *line]))))
    foreign: dict[str, Setting] = {}
    for setting in [*settings, *line]:
        key, value, where, source = setting
        if key in OPTIONS:
            value = OPTIONS[key].parse(value, where)
        elif key not in ALL_NAMES:
            raise ValueError(f"{where}: unknown key {brief(key)}.{did_you_mean(key, ALL_NAMES)}")
        if source == sources.get(key) == COMMAND_LINE and value != values[key]:
            hint = f"; several follow one flag: --{key} A B" if key in OPTIONS and OPTIONS[key].takes_words else ""
            raise ValueError(f"{where}: {key} is given twice, as {_shown(values[key])} and as {_shown(value)}{hint}")
        values[key], sources[key] = value, source
        if key in OPTIONS:
            layers.ranks[key] = 1 + order.index(source)
            layers.earlier[key].append((layers.ranks[key], value))
        else:
            foreign[key] = setting

    if prog != "train":  # what files say about training does not concern the others
        foreign = {k: s for k, s in foreign.items() if s.source == COMMAND_LINE or k.startswith(("val_", "eval_"))}
    notices += check_foreign(foreign.values())
    if prog in OPTIONS["dataset"].scripts and _data_dir_decides(values, sources, origin):
        name, what = data_set_in(values["data_dir"])
        layers.put("dataset", name, source="data_dir", rank=layers.ranks["data_dir"])
        notices.append(f"no --dataset given: {what}" + f" (dataset {name!r})" * (name != what))
    if prog != "benchmark":  # which measures what train.py and validate.py make of it
        settle(layers, OPTIONS, prog)
        notices += layers.notices
        notices += remarks(layers, OPTIONS, prog, {s.source for s in settings} - {origin, DIGITS_PRESET})
    sections = {n: kind(**{f.name: values[f.name] for f in fields(kind)}) for n, kind in SECTIONS.items()}
    sources = {key: sources[key] for key in OPTIONS}
    return Config(**sections, sources=sources, notices=tuple(notices), request=request)


def _read_line(argv: Sequence[str], prog: Script) -> list[Setting]:
    refused = {
        o.name: f"belongs to {' and '.join(f'{script}.py' for script in o.scripts)}; {prog}.py does not use it"
        for o in OPTIONS.values()
        if prog not in o.scripts
    }
    answers = {
        "-h": lambda _: help_text(prog),
        "--help": lambda _: help_text(prog),
        "--version": lambda _: f"{__version__}\n",
        "--list_models": _list_models,
    }
    return read_command_line(argv, OPTIONS, _FLAGS, ALL_NAMES, refused=refused, answers=answers)


def _started_processes(line: Sequence[Setting]) -> list[Setting]:
    """The number of processes that were started already, as a setting; none if this is the only one."""
    size = joined_size()
    asked = next((s.value for s in line if s.key == "processes"), None)
    if size is not None and asked is not None and str(asked) != str(size):
        raise ValueError(f"--processes={brief(asked)}, but {size} were started (MS_WORKER_NUM): leave it out.")
    return [] if size is None else [Setting("processes", str(size), "MS_WORKER_NUM", "MS_WORKER_NUM")]


def _list_models(word: str | None) -> str:
    from mindcv.weights.catalog import format_table  # here: imports NumPy

    pattern = word or "*"
    names = fnmatch.filter(model_names(), pattern)
    if not names:
        raise ValueError(f"no model is called {brief(pattern)}.{did_you_mean(pattern, model_names())}")
    return format_table(names)


def _wants_digits(dataset: str | None, inherited: Sequence[Setting], prog: Script) -> bool:
    if prog == "benchmark" or (inherited and (prog == "validate" or any(s.key == "dataset" for s in inherited))):
        return False  # the checkpoint describes its own preprocessing
    return prog in OPTIONS["dataset"].scripts and dataset in (None, "digits")


def _data_dir_decides(values: Mapping[str, Any], sources: Mapping[str, str], inherited: str) -> bool:
    """Whether `data_dir` determines the data set: it was given, and no data set, or one without a folder by weights.

    Args:
        inherited: the source of inherited values.
    """
    if sources["dataset"] == "default":
        return sources["data_dir"] not in ("default", inherited)
    made_here = sources["dataset"] == inherited and values["dataset"] in ("digits", "synthetic")
    return made_here and sources["data_dir"] == COMMAND_LINE


def _shown(value: Any) -> str:
    return shorten(show(value))


EXAMPLES = {
    "train": (
        "Trains an image classifier.",
        "python train.py --model=sknet50",
        "python train.py --model=sknet50 --pretrained --lr=0.001 dataset=cifar10",
        "python train.py -c configs/sknet/sknet50_imagenet.yaml --data_dir=/imagenet",
    ),
    "validate": (
        "Evaluates an image classifier.",
        "python validate.py --ckpt_path=./ckpt/sknet50-best.ckpt",
        "python validate.py --model=sknet50 --dataset=imagenet --pretrained",
        "python validate.py --ckpt_path=sknet50.onnx",
    ),
    "infer": (
        "Classifies images.",
        "python infer.py --ckpt_path=./ckpt/sknet50-best.ckpt --images=photo.jpg",
        "python infer.py --model=sknet50 --pretrained --images=photos --output=a.csv",
    ),
    "export": (
        "Exports a network to ONNX or MindIR, and compares the file with the network.",
        "python export.py --ckpt_path=ckpt/sknet50-best.ckpt --output=sknet50.onnx",
        "python export.py --model=sknet50 --pretrained --output=a.mindir --fold_bn",
    ),
    "convert": (
        "Makes a checkpoint from other weights: imported, averaged or stripped.",
        "python convert.py --model=sknet50 --ckpt_path=timm.pth --output=a.ckpt",
        "python convert.py --average ckpt/a-9.ckpt ckpt/a-10.ckpt --output=mean.ckpt",
    ),
    "benchmark": (
        "Measures training and inference on this device, and the accuracy of weights.",
        "python benchmark.py --model=sknet50 --batch_size=64 --out=results",
        "python benchmark.py --ckpt_path=./ckpt/sknet50-best.ckpt --update_readme",
        "python benchmark.py --model=sknet50 --peer_python=timm/bin/python --mode=0",
    ),
}


def help_text(prog: str) -> str:
    """The text of `--help`."""
    purpose, *examples = EXAMPLES[prog]
    return help.help_text(f"{prog}.py", purpose, examples, _option_groups(prog))


def reference_page() -> str:
    """docs/configuration.md."""
    groups = {_title(kind): [o for o in OPTIONS.values() if o.section == name] for name, kind in SECTIONS.items()}
    return help.reference_page(PAGE_HEAD, groups, len(SCRIPTS), UNAVAILABLE, WITHOUT_EFFECT)


def _title(section: type) -> str:
    return section.__doc__ or section.__name__


def _option_groups(prog: str) -> dict[str, list[Option]]:
    """Title of each section -> the options that `prog` uses."""
    used = [o for o in OPTIONS.values() if prog in o.scripts]
    return {_title(kind): [o for o in used if o.section == section] for section, kind in SECTIONS.items()}


PAGE_HEAD = f"""\
# Configuration

<!-- Generated by: python config.py > docs/configuration.md -->

An option may be set in a YAML file (`-c recipe.yaml`) or on the command line; all scripts read both in the same
way. Later entries of this list override earlier ones: the defaults below, the description in a checkpoint or of
published weights, the files that a recipe names under `base:`, the recipe, the command line.

{help.SPELLINGS}
Unknown names, illegal values, a key given twice and values that contradict each other are errors. If the values come
from different entries of that list, the earlier one gives way with a notice: `--epoch_size=1` shortens the warmup of a
recipe. Intervals are written as in mathematics: (0, 1] is above 0, up to and including 1. Without `--dataset`, the data
set is the one in `--data_dir`; without either and without `-c`, the preset `configs/sknet/sknet50_digits.yaml` is used.
If scripts are named after an option, the others reject it as a flag and accept it in files.

MindCV's recipes work unchanged, except for the unsupported settings in the last table. Three differences: an option
that a recipe leaves out has the default of this page, not MindCV's; drops of `step_decay` and `multi_step_decay` count
from the start of training, not from the end of warmup; `mean` and `std` may be on either scale.
"""

if __name__ == "__main__":
    print(reference_page(), end="")
