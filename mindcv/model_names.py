"""The names of the models, without importing MindSpore, which takes seconds."""

import ast
import sys
from pathlib import Path

_FAMILIES = Path(__file__).parent / "models"


def model_names() -> list[str]:
    """Return `mindcv.list_models()`: from the registry if it is filled, else from the tables in the sources."""
    if factory := sys.modules.get("mindcv.models.factory"):
        return factory.MODELS.names()
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in _FAMILIES.glob("*.py")]
    return sorted(name for tree in trees for node in ast.walk(tree) for name in _registered(node))


def _registered(node: ast.AST) -> list[str]:
    """Return the keys of the table in a call `register_variants(family, {...})`."""
    match node:
        case ast.Call(func=ast.Name(id="register_variants"), args=[_, ast.Dict(keys=keys)]):
            constants = [key.value for key in keys if isinstance(key, ast.Constant)]
            return [name for name in constants if isinstance(name, str)]
    return []
