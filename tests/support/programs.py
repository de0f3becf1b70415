"""Programs of tests/programs/, for tests that need a separate process."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# The programs import this checkout and the helpers next to this file.
ENVIRONMENT = {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests" / "support")))}


def command(name: str, *arguments: object) -> list[str]:
    """The command that runs `tests/programs/NAME.py`; its environment must contain ENVIRONMENT."""
    return [sys.executable, str(ROOT / "tests" / "programs" / f"{name}.py"), *map(str, arguments)]
