"""Copy measured tables into the documentation.

    python tools/update_docs.py [--out benchmarks/results]

The lines between `<!-- table: NAME -->` and `<!-- end of table -->` in a document become those of OUT/NAME.md.
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
from harness import RESULTS, ROOT

DOCUMENTS = (ROOT / "README.md", ROOT / "docs" / "performance.md", ROOT / "docs" / "recipes.md")
_PLACE = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end of table -->)", re.DOTALL)
_BEGIN, _END = re.compile(r"<!-- table: "), re.compile(r"<!-- end of table -->")


def update(out: Path, documents: Sequence[Path] = DOCUMENTS) -> list[str]:
    """Replace every table that was measured; returns a line for each place.

    Raises:
        ValueError: if a marker has no partner, or a table comes from the smoke setting. No document is changed then.
    """
    changed, report = {}, []
    for document in documents:
        if not document.exists():
            continue
        text = document.read_text()
        places = _PLACE.findall(text)
        if any("<!-- table: " in place for place in _bodies(text)) or not (
            len(places) == len(_BEGIN.findall(text)) == len(_END.findall(text))
        ):
            raise ValueError(
                f"{document}: every <!-- table: NAME --> needs an <!-- end of table --> after it, and no other between."
            )
        for _, name, _ in places:
            measured = (out / f"{name}.md").exists()
            report.append(f"{document.name}: {name} {'updated' if measured else 'left as it is: not measured'}")
            if measured and json.loads((out / f"{name}.json").read_text())["smoke"]:
                raise ValueError(f"{out / name}.md is from a --smoke run, which measures nothing.")
        changed[document] = _PLACE.sub(lambda place: _replaced(place, out), text)
    for document, text in changed.items():
        document.write_text(text)
    return report


def _bodies(text: str) -> list[str]:
    return [place.group(0)[len(place.group(1)) :] for place in _PLACE.finditer(text)]


def _replaced(place: re.Match[str], out: Path) -> str:
    begin, name, end = place.groups()
    table = out / f"{name}.md"
    return f"{begin}{table.read_text()}{end}" if table.exists() else place.group(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder with the tables")
    print(*update(parser.parse_args().out), sep="\n")


if __name__ == "__main__":
    main()
