"""What this package uses of MindSpore beneath its public interface, looked up once, here.

Such names move between versions. Where one is missing, the value here is None, and its user does without it.
"""

import contextlib
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

import mindspore as ms
from mindspore import nn


def find_module(name: str, modules: Sequence[str]) -> ModuleType | None:
    """The first of the modules that has this name; None if none has it."""
    for module in modules:
        with contextlib.suppress(ImportError):
            if hasattr(found := import_module(module), name):
                return found
    return None


def _find(name: str, module: str) -> Any:
    return getattr(find_module(name, [module]), name, None)


_VERSION = tuple(int(number) for number in ms.__version__.split(".")[:2])

# With this function MindSpore's compile cache looks for the program's source files; in the first module since 2.9.
SOURCES_OF_PROGRAM = "_get_compile_cache_dep_files"
COMPILER = find_module(SOURCES_OF_PROGRAM, ("mindspore.graph.api", "mindspore.common.api"))


def compile_cache_lacks() -> str:
    """The name without which no compiled graph can be kept; "" if this MindSpore has all."""
    if COMPILER is None:
        return SOURCES_OF_PROGRAM
    cell = nn.Cell()
    return next((name for name in ("_create_time", "compile_cache") if not hasattr(cell, name)), "")


# (x, y, scale) -> x + scale * y in one operator, whose scale may be a Tensor since 2.8. Without it momentum
# takes two.
add_scaled: Any = _find("add_ext_op", "mindspore.ops.auto_generate") if _VERSION >= (2, 8) else None

# The gradient of a convolution's weight. Without it all convolutions have MindSpore's gradient.
Conv2DBackpropFilter = _find("Conv2DBackpropFilter", "mindspore.ops.operations._grad_ops")

# For `Cell.recompute`. The other form leaks the input of every evaluation in Pynative mode; it is 2.7's only one.
RECOMPUTE_OPTIONS = {"use_reentrant": False} if _VERSION >= (2, 8) else {}
