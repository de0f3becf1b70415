"""A device's row in the benchmark table of the README, and its note below the table."""

import re
from pathlib import Path

from mindcv.files import replacing

# As those of tools/update_docs.py, which leaves this table alone: none of its files has the name.
_PLACE = re.compile(r"<!-- table: devices -->\n(.*?)<!-- end of table -->", re.DOTALL)


def check_place(path: Path) -> None:
    """Raise ValueError unless the file has one table of devices."""
    if not path.is_file() or len(_PLACE.findall(path.read_text(encoding="utf-8"))) != 1:
        raise ValueError(
            f"{path} must have one table between <!-- table: devices --> and <!-- end of table -->; update_readme is "
            "for a checkout of the repository."
        )


def replace_row(path: Path, row: str, note: str) -> None:
    """Replace the row and the note of the device that the row begins with, or add them at the end of each list.

    Args:
        row: `| GPU | ... |`.
        note: `GPU: ...`, without the dash of the list.
    """
    check_place(path)
    text = path.read_text(encoding="utf-8")
    found = _PLACE.search(text)
    assert found, "checked above"
    lines = found[1].splitlines()
    device = row.split("|")[1].strip()
    rows = _with(row, f"| {device} |", [line for line in lines if line.startswith("|")])
    notes = _with(f"- {note}", f"- {device}:", [line for line in lines if line.startswith("- ")])
    body = "\n".join([*rows, "", *notes, ""])
    start, end = found.span(1)
    with replacing(path) as temporary:
        temporary.write_text(text[:start] + body + text[end:], encoding="utf-8")


def _with(line: str, beginning: str, lines: list[str]) -> list[str]:
    places = [number for number, old in enumerate(lines) if old.startswith(beginning)]
    if not places:
        return [*lines, line]
    return [line if number == places[0] else old for number, old in enumerate(lines) if number not in places[1:]]
