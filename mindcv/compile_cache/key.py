"""A hash of everything that shapes the graph MindSpore compiles for a Cell.

MindSpore's own compile cache compares the text of the scripts and nothing else: a changed weight decay, label
smoothing or image size would meet the graph of the earlier run. What a compiled graph can depend on is

- the code: the sources of this package and of every other loaded module that is not an installed one, the versions of
  Python, NumPy and MindSpore;
- the surroundings: device, mode and the rest of MindSpore's context, the seed, cores, environment variables that
  MindSpore and its libraries read;
- the inputs' shapes and types;
- whatever can be reached from the Cell. While it compiles, MindSpore turns attributes into constants, so each one
  counts: numbers, strings, containers, primitives with their attributes, the contents of Tensors, functions with what
  they close over, the `training` flag of every cell. Of a Parameter only name, shape, type and `requires_grad` are in
  the graph; its value is an input.

All of it goes into the digest, in the order in which it is found. Nothing is left out because it looks harmless, except
the few attributes of a Cell that MindSpore itself keeps book with (`_BOOKKEEPING`). A value that cannot be described
raises `Undescribable`, and the graph is then not cached. A difference that does not matter costs one compilation; an
overlooked one would cost a wrong result.
"""

import enum
import functools
import hashlib
import types
from collections import OrderedDict
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from mindcv.compile_cache.surroundings import Undescribable, check_known, surroundings

# What MindSpore notes in a Cell about compilations and checks that are over: identities, times, texts with addresses.
# fmt: off
_BOOKKEEPING = frozenset((
    "_create_time", "_id", "arguments_key", "_compile_cache", "_phase_cache", "_phase", "_compile_phase",
    "compile_phase", "current_phase", "_cell_init_args", "_exist_objs", "_exist_names", "_is_check_and_refresh",
    "_init_flag", "_compiled", "_has_mutable_args_list", "sequence_modified", "is_top_cell", "_scope",
    "__parse_method__", "__compile_cell_hook__",
    "_primitives",  # these are attributes as well
))
# fmt: on
_OF_OPTIMIZERS = frozenset({"group_lr"})  # what `learning_rate` was made from
# In the closure of a jit function: the time of its making.
_CLOSURE_BOOKKEEPING = frozenset({"hash_obj"})
# Primitives and these keep what they were made with in Python attributes; of other C++ objects nothing is known.
_INFERRED = frozenset({"pad_list"})  # what a compilation adds to a primitive, but loading a compiled graph does not
_NATIVE = (ops.Primitive, ops.HyperMap, ops.Map, ops.composite.base._Grad)


def graph_digest(cell: nn.Cell, inputs: tuple[Tensor, ...]) -> str:
    """SHA-256, 64 hexadecimal digits, of all that shapes the graph of `cell` called with `inputs`.

    Raises:
        Undescribable: if that cannot be told; the message says what is in the way.
    """
    description = _Description({id(parameter) for parameter in cell.get_parameters()})
    for name, value in surroundings():
        description.add(name, value)
    for tensor in inputs:
        if type(tensor) is not Tensor:
            raise Undescribable(f"an input is no Tensor but {type(tensor).__name__}")
        description.add("input", (tuple(tensor.shape), str(tensor.dtype)))
    try:
        description.add("cell", cell)
    except RecursionError:
        raise Undescribable("attributes that contain themselves") from None
    return description.hash.hexdigest()


class _Description:
    """Feeds values into a hash, each with its type and, if its length varies, its length: no two read the same."""

    def __init__(self, parameters: set[int]) -> None:
        self.hash = hashlib.sha256()
        self.parameters = parameters  # of the Cell: only these are looked up by name when a graph is loaded
        self.met: dict[int, tuple[int, Any]] = {}  # the objects are kept, so that no id is used twice
        self.types: dict[type, int] = {}

    def add(self, label: str, value: Any) -> None:
        self.write("label", label)
        self.describe(value)

    def write(self, *words: object) -> None:
        for word in words:
            data = word if isinstance(word, bytes) else str(word).encode()
            self.hash.update(b"%d:%b" % (len(data), data))

    def describe(self, value: Any) -> None:
        kind = type(value)
        if value is None or kind in (bool, int, float, complex, str, bytes, slice, range, type(Ellipsis)):
            self.write(kind.__name__, value if kind in (str, bytes) else repr(value))
        elif kind in (tuple, list):
            self.sequence(kind.__name__, value)
        elif kind in (dict, OrderedDict):
            self.write("dict", len(value))
            for key, item in value.items():
                self.describe(key)
                self.describe(item)
        elif kind in (set, frozenset):
            if not all(type(item) in (bool, int, float, str) for item in value):
                raise Undescribable("a set of other things than numbers and strings")
            self.sequence("set", sorted(value, key=repr))
        elif isinstance(value, np.ndarray | np.generic) and value.dtype != object:
            self.array("array", value)
        elif isinstance(value, enum.Enum):
            self.write("enum", kind.__module__, kind.__qualname__, value.name)
        elif isinstance(value, ms.Type):
            self.write("dtype", repr(value))
        else:
            self.describe_object(value)

    def describe_object(self, value: Any) -> None:
        """What may be met more than once, and may lead back to itself."""
        if id(value) in self.met:
            self.write("met before", self.met[id(value)][0])
            return
        self.met[id(value)] = (len(self.met), value)
        if isinstance(value, Parameter):
            self.parameter(value)
        elif isinstance(value, Tensor):
            if any(size < 0 for size in value.shape):
                raise Undescribable("a Tensor of open shape")
            self.array(
                f"Tensor {value.dtype}", value.asnumpy() if value.dtype != ms.bfloat16 else value.float().asnumpy()
            )
        elif isinstance(value, types.FunctionType):
            self.function(value)
        elif isinstance(value, types.MethodType):
            self.write("method")
            self.describe(value.__func__)
            self.describe(value.__self__)
        elif isinstance(value, types.BuiltinFunctionType) and isinstance(value.__self__, types.ModuleType):
            self.write("builtin", value.__module__, value.__qualname__)
        elif isinstance(value, functools.partial):
            self.write("partial")
            self.describe((value.func, value.args, value.keywords))
        elif isinstance(value, type):
            self.type(value)
        elif isinstance(value, nn.Cell):
            self.type(type(value))
            skipped = _BOOKKEEPING | (_OF_OPTIMIZERS if isinstance(value, nn.Optimizer) else frozenset())
            kept = {name: item for name, item in vars(value).items() if name not in skipped}
            # Tables of hooks come into being, empty, when they are first looked at.
            self.describe({n: item for n, item in kept.items() if not n.startswith("_lazy_") or item})
        elif isinstance(value, tuple):  # ParameterTuple, named tuples
            self.type(type(value))
            self.sequence("tuple", value)
        else:
            self.instance(value)

    def sequence(self, kind: str, values: Any) -> None:
        self.write(kind, len(values))
        for value in values:
            self.describe(value)

    def array(self, kind: str, value: Any) -> None:
        value = np.asarray(value)
        self.write(kind, value.dtype.str, value.shape, value.tobytes())

    def parameter(self, value: Parameter) -> None:
        if id(value) not in self.parameters:
            raise Undescribable(f"parameter {value.name} is not one of the cell's own")
        self.write("Parameter", value.name, value.shape, value.dtype, value.requires_grad)
        self.write(value.layerwise_parallel, value.parallel_optimizer, getattr(value, "is_init", None) is None)

    def function(self, value: types.FunctionType) -> None:
        self.write("function", value.__module__, value.__qualname__)
        check_known(value.__module__, value.__qualname__)
        self.code(value.__code__)
        self.describe((value.__defaults__, value.__kwdefaults__))
        for name, content in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
            self.write("closes over", name)
            if name not in _CLOSURE_BOOKKEEPING:
                try:
                    self.describe(content.cell_contents)
                except ValueError:
                    raise Undescribable(f"{value.__qualname__} closes over {name}, which has no value") from None

    def code(self, code: types.CodeType) -> None:
        self.write("code", code.co_code, code.co_names, code.co_varnames)
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self.code(constant)
            else:
                self.describe(constant)

    def type(self, value: type) -> None:
        """A class: its name, and of those not MindSpore's the code of its methods, which somebody may have replaced."""
        known = value in self.types
        number = self.types.setdefault(value, len(self.types))
        self.write("class", value.__module__, value.__qualname__, number)
        if known:
            return
        for base in value.__mro__:
            check_known(base.__module__, base.__qualname__)
            if base.__module__.partition(".")[0] not in ("mindspore", "builtins"):
                for name, item in vars(base).items():
                    if isinstance(item, types.FunctionType):
                        self.write("method", name)
                        self.code(item.__code__)

    def instance(self, value: Any) -> None:
        """Any other object: its class and its attributes, if that is all there is to it."""
        kind = type(value)
        native = [base for base in kind.__mro__ if base is not object and not _is_python(base)]
        if not hasattr(value, "__dict__") or (native and not isinstance(value, _NATIVE)):
            raise Undescribable(f"an attribute of type {kind.__module__}.{kind.__qualname__}")
        self.type(kind)
        attributes = dict(vars(value))
        if isinstance(value, ops.Primitive):
            native_attributes = value.get_attr_dict()
            attributes["native"] = {
                name: native_attributes[name] for name in sorted(native_attributes.keys() - _INFERRED)
            }
        self.describe(attributes)


def _is_python(kind: type) -> bool:
    """Whether a class was made by a class statement that adds no slots."""
    return bool(kind.__flags__ & (1 << 9)) and not vars(kind).get("__slots__") and "pybind11" not in type(kind).__name__
