"""Prints the entries that a new network still needs; the exit code is 1 if something is missing.

    python tools/check_model.py sknet14

Required are a row of the model table in README.md with the counted numbers, and for each recipe that trains the network
a row of the table in configs/README.md and all lines of the recipe's header. A recipe, a network of timm to compare
with and published weights are optional; their absence is reported.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
import mindcv  # first: it sets what MindSpore reads
from config import load_config
from goldens import recipe
from mindcv.models import MODELS
from mindcv.weights.catalog import weight_records
from model_table import counted

HEADER = ("Source", "Command", "Expect", "Measured")


def stated_rows(root: Path = ROOT) -> dict[str, tuple[str, str]]:
    """Parameters and multiply-adds of each network, as written in README.md's table of models."""
    text = (root / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| ([\d,]+) \| ([\d.]+ G) \|", text, re.MULTILINE)
    return {name: (parameters, operations) for name, parameters, operations in rows}


def recipes(root: Path = ROOT) -> dict[Path, str]:
    """The recipes under configs/ that are not bases of others, and the network that each trains."""
    paths = [path for path in sorted((root / "configs").rglob("*.yaml")) if not path.name.startswith("base_")]
    return {path: load_config(["-c", str(path)], prog="train").to_dict()["model"] for path in paths}


def missing_in_models_table(name: str, root: Path) -> Iterator[str]:
    _, *numbers = counted(name)
    stated = stated_rows(root).get(name)
    if stated == tuple(numbers):
        return
    found = f"says {' and '.join(stated)}" if stated else "has no row"
    accuracy = "no published weights"
    for default in weight_records(name)[:1]:
        published = f"{default.top1:.2f} / {default.top5:.2f} ({default.source} `{default.name}`)"
        accuracy = published if default.eval_size == 224 else ""  # the size of that column
    yield f"README.md, Models, {found} for {name}. The row:\n| `{name}` | {' | '.join([*numbers, accuracy])} |"


def header_of(path: Path) -> dict[str, str]:
    """The text after each word of HEADER in the comment at the head of a recipe, its lines joined."""
    comment = re.match(r"(#.*\n)*", path.read_text("utf-8"))[0].replace("\n#  ", " ")
    return {word: " ".join(text.split()) for word, text in re.findall(r"^# (\w+):(.*)", comment, re.MULTILINE)}


def missing_for_recipe(path: Path, root: Path) -> Iterator[str]:
    header, place = header_of(path), path.relative_to(root / "configs").as_posix()
    for word in HEADER:
        if word not in header:
            yield f"configs/{place}, the comment at its head, has no line for {word}:\n# {word}:"
    if f"]({place})" not in (root / "configs" / "README.md").read_text("utf-8"):
        published = re.match(r"(?:about )?([\d.]+) % top-1", header.get("Expect", ""))
        cells = header.get("Source", ""), published[1] if published else "-", header.get("Measured", "no")
        yield f"configs/README.md has no row for {place}. The row:\n| [{path.stem}]({place}) | {' | '.join(cells)} |"


def missing(name: str, root: Path = ROOT) -> list[str]:
    """The entries to add for a registered network: the place, and on the next lines the text."""
    found = [*missing_in_models_table(name, root)]
    for path, model in recipes(root).items():
        if model == name:
            found += missing_for_recipe(path, root)
    return found


def remarks(name: str, root: Path = ROOT) -> list[str]:
    """Remarks on optional entries that a network lacks."""
    found = []
    if name not in recipes(root).values():
        found.append("No recipe in configs/ trains it.")
    if name not in recipe.COMPARED_WITH_TIMM:
        found.append(
            "It is not compared with timm: its parameter count has no independent check. If timm has the network, add\n"
            "its name to TIMM_MODELS in tests/goldens/recipe.py; then tests/goldens/make_goldens.py and\n"
            "tools/make_catalog.py, run where timm is installed, add reference values and published weights."
        )
    if not weight_records(name):
        found.append(
            "No published weights are in mindcv/weights/catalog.csv, which tools/make_catalog.py writes:\n"
            "it cannot be given --pretrained."
        )
    return found


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="of a registered network")
    name = parser.parse_args(argv).name
    try:
        MODELS.get(name)
    except ValueError as error:
        parser.error(f"{error}\nA network gets its name in the table of its family, such as mindcv/models/sknet.py.")
    mindcv.setup_runtime(mode=1, device_target="CPU")
    for remark in remarks(name):
        print(f"{remark}\n")
    found = missing(name)
    print("\n\n".join(found) or f"Nothing is missing for {name}.")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
