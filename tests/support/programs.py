"""Programs of tests/programs/, for tests that need a process of their own."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# What the programs import: this checkout and the helpers beside this file.
ENVIRONMENT = {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests" / "support")))}


def command(name: str, *arguments: object) -> list[str]:
    """The line that runs `tests/programs/NAME.py`; its environment needs what is in ENVIRONMENT."""
    return [sys.executable, str(ROOT / "tests" / "programs" / f"{name}.py"), *map(str, arguments)]
