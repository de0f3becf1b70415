"""What shapes a compiled graph beside its Cell: code, versions, MindSpore's context, the seed and the environment."""

import functools
import hashlib
import os
import platform
import site
import sys
import sysconfig
import time
import types
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np

_STARTED = time.time()  # sources that changed since are not those that were imported
_PACKAGE = Path(__file__).parent.parent
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
# Where files lie, not what graphs look like.
_NO_MATTER = {"MINDCV_CACHE", "MINDCV_WEIGHTS_MIRROR", "MS_COMPILER_CACHE_ENABLE", "MS_COMPILER_CACHE_PATH"}
# Covered by the digest: this package by its sources, MindSpore, NumPy and Python by their versions.
_KNOWN = {"mindspore", "mindcv", "numpy", "builtins", "collections", "functools", "abc", "typing", "pybind11_builtins"}


class Undescribable(Exception):
    """Something that shapes the graph, or may, cannot be described: the graph must not be cached."""


def surroundings() -> list[tuple[str, Any]]:
    """Name and value of everything beside the Cell and its inputs that may shape a graph.

    Raises:
        Undescribable: if a source was changed after this program had started, or in parallel training.
    """
    return [("versions", _versions()), ("settings", _settings()), *_sources(), *_module_constants()]


@functools.lru_cache
def _installed() -> tuple[str, ...]:
    """Folders whose contents a version stands for."""
    paths = sysconfig.get_paths()
    folders = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders |= {*site.getsitepackages(), site.getusersitepackages()}
    return tuple(sorted({path + os.sep for folder in folders for path in (folder, os.path.realpath(folder))}))


def _file_of(module: types.ModuleType) -> str | None:
    """The file of a module that is not installed."""
    name = getattr(module, "__file__", None)
    if not name or name.startswith(_installed()):  # most are, and looking up thousands of links takes time
        return None
    path = os.path.realpath(name)
    return path if not path.startswith(_installed()) else None


def check_known(module: str, name: str) -> None:
    """Raise Undescribable unless `surroundings` covers the code of this module, where `name` is from."""
    top = module.partition(".")[0]
    if top in _KNOWN:
        return
    loaded = sys.modules.get(module)
    if loaded is None or not _file_of(loaded):
        raise Undescribable(f"{module}.{name}, whose source is not at hand or installed with another package")


def check_sources() -> None:
    """Raise Undescribable if a source was changed after this program had started."""
    _sources()


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
        label = str(Path(path).relative_to(_PACKAGE)) if path in paths else own[path]
        found.append((f"source {label}", digest))
    return found


def _module_constants() -> list[tuple[str, Any]]:
    """Numbers and strings at the top of this package's modules, whatever they were set to since."""
    found = []
    for module in sorted(name for name in sys.modules if name.partition(".")[0] == "mindcv"):
        if module != __name__:
            for name, value in vars(sys.modules[module]).items():
                if type(value) in (bool, int, float, str) and not name.startswith("__"):
                    found.append((f"constant {module}.{name}", value))
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
    environment = {name: os.environ[name] for name in sorted(os.environ) if name.startswith(_ENVIRONMENT)}
    return (
        tuple((name, str(ms.get_context(name))) for name in _CONTEXT),
        ms.get_seed(),
        os.cpu_count(),
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        {name: value for name, value in environment.items() if name not in _NO_MATTER},
    )
