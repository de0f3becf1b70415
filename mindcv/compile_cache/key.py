"""The key of a compiled graph: a hash of everything that determines it.

MindSpore's own compile cache compares the text of the scripts and nothing else: a changed weight decay, label
smoothing or image size would get the graph of an earlier run. Here the key of a graph consists of

- the caller's description: the options, the network, the number of classes;
- the code: the sources of this package and of every other loaded module that is not installed, the functions of this
  package as they are now, the versions of Python, NumPy and MindSpore;
- the environment: device, mode and the rest of MindSpore's context, the seed, cores, environment variables that
  MindSpore and its libraries read;
- which Cell it is: see `_describe_cell`;
- the inputs' shapes and types.

An irrelevant difference costs one compilation; a missed one would give a wrong result. So a Cell is not cached if its
class, or anything that it holds besides numbers, texts and Tensors, is neither of this package nor of MindSpore: the
caller's description cannot be trusted to cover it.
"""

import functools
import hashlib
import os
import platform
import site
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

_STARTED = time.time()  # sources that changed since are not those that were imported
_PACKAGE = Path(__file__).parent.parent
_NUMBERS_AND_TEXTS = (type(None), bool, int, float, complex, str, bytes)
# fmt: off
_CONTEXT = (
    "mode", "device_target", "device_id", "max_call_depth", "enable_graph_kernel", "graph_kernel_flags",
    "deterministic", "jit_level", "memory_optimize_level", "enable_reduce_precision", "pynative_synchronize",
    "check_bprop",
)
_ENVIRONMENT = (
    "MS_", "MINDSPORE_", "MINDCV_", "ONEDNN_", "DNNL_", "OMP_", "KMP_", "MKL_", "ASCEND_", "CUDA_", "HCCL_", "NCCL_",
    "RANK_", "DEVICE_", "GRAPH_",
)
# fmt: on
# Paths, which do not affect graphs.
_NO_MATTER = {"MINDCV_CACHE", "MINDCV_WEIGHTS_MIRROR", "MS_COMPILER_CACHE_ENABLE", "MS_COMPILER_CACHE_PATH"}
# MindSpore's records of a Cell's calls, and what an optimizer made its `learning_rate` from.
_NOT_TRACED = {"arguments_key", "is_top_cell", "current_phase", "sequence_modified", "group_lr", "init_learning_rate"}
_TIME_OF_JIT = "hash_obj"  # in the closure of a jit function


class Undescribable(Exception):
    """Something that may determine the graph cannot be described: the graph must not be cached."""


def graph_key(described_by: Mapping[str, Any], cell: nn.Cell, inputs: tuple[Tensor, ...]) -> str:
    """SHA-256, 64 hexadecimal digits, of all that determines the graph of `cell` called with `inputs`.

    Args:
        described_by: see `compiled_graphs_kept`.
    Raises:
        Undescribable: if something cannot be described; the message says what.
    """
    if cell.get_inputs() or any(type(tensor) is not Tensor for tensor in inputs):
        raise Undescribable("inputs that are not plain Tensors, or have an open shape")
    try:
        said, built = _describe(dict(described_by), {}), [*_describe_cell(cell)]
    except (RecursionError, ValueError):
        raise Undescribable("a container that contains itself, or a closure without contents") from None
    code, shapes = [*_sources(), *_code_now()], [(tuple(tensor.shape), str(tensor.dtype)) for tensor in inputs]
    everything = (said, built, code, shapes, _versions(), _settings())
    return hashlib.sha256(repr(everything).encode()).hexdigest()


def check_sources() -> None:
    """Raise Undescribable if a source was changed after this program had started."""
    _sources()


def _describe_cell(cell: nn.Cell) -> Iterator[tuple]:
    """Its parameters, and class and public attributes of itself and all cells in it.

    The caller's description says how a network, loss and optimizer were built. These say which Cell of them it is, its
    mode (`training`), and what was changed in it since.
    """
    parts = [*cell.cells_and_names()]
    parameters = [*cell.get_parameters()]
    own = {id(item): number for number, item in enumerate([*(part for _, part in parts), *parameters])}
    for parameter in parameters:  # its value is an input
        is_made = getattr(parameter, "is_init", None) is None
        yield parameter.name, tuple(parameter.shape), str(parameter.dtype), parameter.requires_grad, is_made
    for name, part in parts:
        public = vars(part).keys() - _NOT_TRACED
        attributes = {key: vars(part)[key] for key in sorted(public) if not key.startswith("_")}
        yield name, _known_name(type(part)), _describe(attributes, own)


def _describe(value: Any, own: dict[int, int]) -> Any:
    """An object whose repr determines the value.

    Of an object of MindSpore or this package only the class counts: what it holds follows from how it was built.

    Args:
        own: numbers of the Cells and Parameters described elsewhere, and of functions already seen, by id.
    """
    if type(value) in _NUMBERS_AND_TEXTS:
        return value
    if id(value) in own:
        return "own", own[id(value)]
    if isinstance(value, Parameter | nn.Cell):
        raise Undescribable(f"{type(value).__name__} that is not registered with the Cell")
    if isinstance(value, Tensor):
        if any(size < 0 for size in value.shape):
            raise Undescribable("a Tensor of open shape")
        array = (value.float() if value.dtype == ms.bfloat16 else value).asnumpy()
        return str(value.dtype), array.shape, array.tobytes()
    if isinstance(value, ms.Type):  # a dtype
        return "dtype", str(value)
    if isinstance(value, tuple | list):
        return type(value).__name__, [_describe(item, own) for item in value]
    if isinstance(value, dict):
        return "dict", [(_describe(key, own), _describe(item, own)) for key, item in value.items()]
    if isinstance(value, ops.Primitive):
        return _known_name(type(value)), value.name, _describe(value.init_attrs, own)
    if isinstance(value, MethodType):
        return "method", _describe(value.__func__, own), _describe(value.__self__, own)
    if isinstance(value, FunctionType):  # which may close over itself, and over a user's function
        own[id(value)] = len(own)
        closure = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        contents = [_describe(cell.cell_contents, own) for name, cell in closure if name != _TIME_OF_JIT]
        return _known_name(value), contents
    return _known_name(value if isinstance(value, type) else type(value))


def _known_name(kind: type | FunctionType) -> str:
    """Module and name of a class or function whose code is in the key, or its version."""
    name = f"{kind.__module__}.{kind.__qualname__}"
    if not name.startswith(("mindcv.", "mindspore.")) or name.startswith("mindspore._c_expression"):
        raise Undescribable(f"{name} is neither of this package nor of MindSpore's layers")
    return name


def _code_now() -> Iterator[tuple]:
    """Functions, methods and constants of this package's modules, some of which may have been replaced since."""
    for module in sorted(name for name in sys.modules if name.partition(".")[0] == "mindcv" and name != __name__):
        for name, value in vars(sys.modules[module]).items():
            if name.startswith("__"):  # Python's, and what MindSpore adds when it compiles
                continue
            members = vars(value) if isinstance(value, type) and value.__module__ == module else {"": value}
            for member, item in members.items():
                if type(item) in (bool, int, float, str):
                    yield module, name, member, item
                elif isinstance(item, FunctionType):
                    yield module, name, member, _describe_code(item.__code__)


def _describe_code(code: CodeType) -> tuple:
    constants = [
        _describe_code(constant)
        if isinstance(constant, CodeType)
        else sorted(map(repr, constant))
        if isinstance(constant, frozenset)
        else constant
        for constant in code.co_consts
    ]
    return code.co_code, code.co_names, code.co_varnames, constants


@functools.lru_cache
def _installed() -> tuple[str, ...]:
    """Folders whose contents are identified by a version."""
    paths = sysconfig.get_paths()
    folders = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders |= {*site.getsitepackages(), site.getusersitepackages()}
    return tuple(sorted({path + os.sep for folder in folders for path in (folder, os.path.realpath(folder))}))


def _file_of(module: ModuleType) -> str | None:
    """The file of a module that is not installed."""
    name = getattr(module, "__file__", None)
    if not name or name.startswith(_installed()):  # most are, and looking up thousands of links takes time
        return None
    path = os.path.realpath(name)
    return path if not path.startswith(_installed()) else None


def _sources() -> list[tuple[str, str]]:
    """The files of this package and of all modules that are not installed, with their SHA-256."""
    paths = {str(path) for path in _PACKAGE.rglob("*.py")}
    own = {path: name for name, module in list(sys.modules.items()) if (path := _file_of(module))}
    found = []
    for path in sorted(paths | own.keys()):
        try:
            changed = os.stat(path).st_mtime
            digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        except OSError as error:
            raise Undescribable(f"{path} cannot be read: {error.strerror}") from None
        if changed > _STARTED:
            raise Undescribable(f"{path} was changed after this program had started")
        found.append((str(Path(path).relative_to(_PACKAGE)) if path in paths else own[path], digest))
    return found


def _versions() -> tuple[str, ...]:
    commit = Path(ms.__file__).with_name(".commit_id")  # of MindSpore: nightly builds share a version
    return (
        ms.__version__,
        commit.read_text() if commit.exists() else "",
        np.__version__,
        sys.version,
        platform.system(),
        platform.machine(),
    )


def _settings() -> tuple[Any, ...]:
    if ms.get_auto_parallel_context("parallel_mode") != "stand_alone":
        raise Undescribable("parallel training")
    return (
        [(name, str(ms.get_context(name))) for name in _CONTEXT],
        ms.get_seed(),
        os.cpu_count(),
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        [item for item in sorted(os.environ.items()) if item[0].startswith(_ENVIRONMENT) and item[0] not in _NO_MATTER],
    )
