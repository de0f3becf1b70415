"""Reads every recipe (YAML) in a folder as train.py would, and counts why some are refused.

    python tools/check_recipes.py FOLDER [--key=value ...]

Made for the recipes of MindCV's repository, folder `configs`. Flags are those of train.py and override every recipe.
Trains nothing. The exit code is 1 if a recipe for a network of this package is refused.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))
from config import OPTIONS, UNAVAILABLE, WITHOUT_EFFECT, load_config
from mindcv.model_names import model_names
from mindcv.options.mindcv_keys import check_foreign
from mindcv.options.option import show
from mindcv.options.yaml_file import Setting, read_yaml

NO_MODEL = "model"


class Refusal(NamedTuple):
    """One reason why a recipe is refused."""

    key: str
    value: str
    message: str


class Reading(NamedTuple):
    """What became of a recipe.

    Attributes:
        is_ours: whether its network is one of this package.
        refusals: all reasons why it is refused; empty: it is accepted.
    """

    is_ours: bool
    refusals: tuple[Refusal, ...]


def read(path: Path, flags: Sequence[str] = ()) -> Reading:
    """Read one recipe as train.py would.

    Args:
        flags: of train.py, as `--key=value`. They override the recipe; an illegal value in it is an error anyway.
    """
    overridden = {flag.removeprefix("--").partition("=")[0] for flag in flags}
    settings = read_yaml(str(path), str(path))
    settings = [setting for setting in settings if setting.key in OPTIONS or setting.key not in overridden]
    refusals = list(_refused(settings))
    try:
        model = load_config(["-c", str(path), "--data_dir=.", *flags], prog="train").model.model
    except ValueError as error:
        model = next((str(setting.value) for setting in settings if setting.key == NO_MODEL), "")
        if not refusals:
            refusals = [Refusal("several keys together", "", str(error))]
    is_ours = model in model_names()
    if not is_ours:
        refusals.append(Refusal(NO_MODEL, model, f"this package has no network {model!r}"))
    return Reading(is_ours, tuple(refusals))


def _refused(settings: Sequence[Setting]) -> Iterator[Refusal]:
    """The settings that are refused by themselves."""
    for setting in settings:
        try:
            if setting.key in OPTIONS:
                OPTIONS[setting.key].parse(setting.value, setting.where)
            elif setting.key in UNAVAILABLE or setting.key in WITHOUT_EFFECT:
                check_foreign([setting])
            else:
                raise ValueError(f"{setting.where}: unknown key {setting.key}")
        except ValueError as error:
            yield Refusal(setting.key, show(setting.value), str(error))


def report(readings: Sequence[Reading]) -> Iterator[str]:
    """The lines of the table."""
    for what, chosen in (
        ("recipes", readings),
        ("of them for networks of this package", [reading for reading in readings if reading.is_ours]),
    ):
        yield f"{len(chosen)} {what}: {sum(not reading.refusals for reading in chosen)} are accepted unchanged"
    by_key: dict[str, Counter[str]] = {}
    recipes: Counter[str] = Counter()
    for reading in readings:
        recipes.update({refusal.key for refusal in reading.refusals})
        for key, value in {(refusal.key, refusal.value) for refusal in reading.refusals}:
            by_key.setdefault(key, Counter())[value] += 1
    yield "\n| refused key | recipes | values, with the number of recipes |\n|---|---|---|"
    for key, count in recipes.most_common():
        yield f"| {key} | {count} | {', '.join(f'{value} {times}' for value, times in by_key[key].most_common())} |"


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--messages", action="store_true", help="print the errors of the recipes for our networks")
    args, flags = parser.parse_known_args(argv)
    paths = sorted(args.folder.rglob("*.yaml"))
    if not paths:
        parser.error(f"no file *.yaml in {args.folder}")
    readings = {path: read(path, flags) for path in paths}
    print(*report(list(readings.values())), sep="\n")
    refused = {path: reading.refusals for path, reading in readings.items() if reading.is_ours and reading.refusals}
    if args.messages:
        print(*(refusal.message for refusals in refused.values() for refusal in refusals), sep="\n")
    return int(bool(refused))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
