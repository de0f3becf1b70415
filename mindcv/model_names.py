"""The names of the networks, without importing them: MindSpore takes seconds, and a mistyped name should not."""

import ast
import sys
from pathlib import Path

_FAMILIES = Path(__file__).parent / "models"


def model_names() -> list[str]:
    """What `mindcv.list_models()` returns: from the registry if it is filled, else from the tables in the sources."""
    if factory := sys.modules.get("mindcv.models.factory"):
        return factory.MODELS.names()
    calls = [node for path in _FAMILIES.glob("*.py") for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    tables = [call.args[1] for call in calls if isinstance(call, ast.Call) and _is_table(call)]
    return sorted(key.value for table in tables for key in table.keys)


def _is_table(call: ast.Call) -> bool:
    return getattr(call.func, "id", "") == "register_variants"
