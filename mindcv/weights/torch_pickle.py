"""Reader for the pickles in PyTorch's weight files that executes nothing.

A pickle is a program for a stack machine. `pickle.Unpickler` runs it and calls the functions it names; overriding
`find_class` only restricts those calls. The interpreter below makes no calls: it knows the opcodes that `torch.save`
needs for containers, text and numbers, and compares names in the file with lists instead of importing them. No memory
is allocated for a number that exceeds the file's length.
"""

import pickletools
import re
from dataclasses import dataclass
from io import BytesIO
from math import prod
from typing import Any

from mindcv.weights.safetensors_file import checked_shape, item_size

_STORAGES = {
    "torch.DoubleStorage": "float64",
    "torch.FloatStorage": "float32",
    "torch.HalfStorage": "float16",
    "torch.BFloat16Storage": "bfloat16",
    "torch.LongStorage": "int64",
    "torch.IntStorage": "int32",
    "torch.ShortStorage": "int16",
    "torch.CharStorage": "int8",
    "torch.ByteStorage": "uint8",
    "torch.BoolStorage": "bool",
}
_CALLS = {
    "collections.OrderedDict",
    "torch.Size",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
}
# May occur beside the weights in a training checkpoint; their contents are ignored.
_IGNORED_CALLS = {"argparse.Namespace", "torch.device"}
_DTYPES = {f"torch.{kind}" for kind in _STORAGES.values()}

# Protocol 2, the default of torch.save, without the opcodes that only other objects need.
_OPCODE_NAMES = """
    PROTO STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE EMPTY_LIST APPEND APPENDS
    EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT SETITEM SETITEMS BINGET LONG_BINGET BINPUT LONG_BINPUT GLOBAL
    REDUCE NEWOBJ BUILD BINPERSID
"""
_OPCODES = {op.code.encode("latin-1"): op for op in pickletools.opcodes if op.name in _OPCODE_NAMES.split()}
_ANY_OPCODE = {op.code.encode("latin-1"): op.name for op in pickletools.opcodes}
_LARGEST_PICKLE = 1 << 23  # bytes; a network with an optimizer of two moments takes about 0.5 kB per parameter
_LARGEST_REPEAT = 1 << 24  # elements of a tensor that repeats numbers of its storage (`expand`)


@dataclass(frozen=True)
class _Name:
    """A function, class or dtype named in the file, kept as text."""

    text: str


@dataclass(frozen=True)
class Ignored:
    """An object that is not a weight."""

    kind: str


@dataclass(frozen=True)
class Storage:
    """Numbers in the file, of which tensors are views."""

    key: str
    kind: str
    count: int


@dataclass(frozen=True)
class Tensor:
    """A view: offset and strides count elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Storages(dict[str, Storage]):
    """The storages that a pickle refers to, by key.

    Args:
        limit: size of the file in bytes, which no storage can exceed.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    def refer(self, identity: object) -> Storage:
        """Return the storage of a persistent id."""
        match identity:
            case ("storage", _Name(name), str(key), str(), int(count)) if name in _STORAGES:
                pass
            case ("storage", _Name(name), str(key), str(), int(count), None) if name in _STORAGES:
                pass
            case _:
                raise ValueError("it refers to something that is not a storage of numbers.")
        storage = Storage(key, _STORAGES[name], count)
        if not 0 <= count * item_size(storage.kind) <= self.limit:
            raise ValueError(
                f"storage {key[:40]!r} should hold {count:,} numbers, more than the file has; is it cut off?"
            )
        if self.setdefault(key, storage) != storage:
            raise ValueError(f"storage {key[:40]!r} has two different descriptions.")
        return storage


def read_pickle(stream: BytesIO, storages: Storages) -> object:
    """Interpret one pickle, leaving the stream after it."""
    start = stream.tell()
    try:
        return _interpret(stream, storages)
    except (IndexError, KeyError):  # of the stack, the marks or the memo
        raise ValueError(f"the pickle at byte {start} of it is damaged.") from None


def _interpret(stream: BytesIO, storages: Storages) -> object:
    start = stream.tell()
    stack: list = []
    below: list[list] = []  # the stack at each open mark
    memo: dict[object, object] = {}
    while stream.tell() - start < _LARGEST_PICKLE:
        code = stream.read(1)
        if code not in _OPCODES:
            raise ValueError(_unknown_opcode(code))
        opcode = _OPCODES[code]
        argument: object = opcode.arg.reader(stream) if opcode.arg and opcode.name != "GLOBAL" else None
        match opcode.name:
            case "BINUNICODE" | "BININT" | "BININT1" | "BININT2" | "BINFLOAT":
                stack.append(argument)
            case "LONG1":
                if isinstance(argument, int) and argument.bit_length() > 64:
                    raise ValueError("it has an integer of more than 64 bits.")
                stack.append(argument)
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[opcode.name])
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MARK":
                below.append(stack)
                stack = []
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                items = [stack.pop() for _ in range(int(opcode.name[-1]))]
                stack.append(tuple(reversed(items)))
            case "TUPLE":
                items, stack = stack, below.pop()
                stack.append(tuple(items))
            case "EMPTY_LIST":
                stack.append([])
            case "APPEND":
                item = stack.pop()
                _require(stack[-1], list).append(item)
            case "APPENDS":
                items, stack = stack, below.pop()
                _require(stack[-1], list).extend(items)
            case "EMPTY_DICT":
                stack.append({})
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                _set_items(stack[-1], [key, value])
            case "SETITEMS":
                items, stack = stack, below.pop()
                _set_items(stack[-1], items)
            case "GLOBAL":
                stack.append(_name(stream.readline(), stream.readline()))
            case "BINPERSID":
                stack.append(storages.refer(stack.pop()))
            case "REDUCE" | "NEWOBJ":
                arguments, function = stack.pop(), stack.pop()
                stack.append(_call(function, arguments))
            case "BUILD":  # attributes of a Namespace, or the versions of layers in a state dict
                stack.pop()
                _require(stack[-1], dict | Ignored)
            case "PROTO":
                if argument != 2:
                    raise ValueError(f"it uses pickle protocol {argument}. Save it with torch.save's default, 2.")
            case "STOP":
                return stack.pop()
    raise ValueError(f"a pickle in it is longer than {_LARGEST_PICKLE >> 20} MB.")


def _unknown_opcode(code: bytes) -> str:
    if not code:
        return "it is cut off."
    what = f"opcode {_ANY_OPCODE[code]}" if code in _ANY_OPCODE else f"byte {code!r}"
    return f"its pickle has {what}, which torch.save never writes. It is damaged or malicious."


def _require(value: Any, kind: Any) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"its pickle changes a {type(value).__name__} in a way that torch.save does not.")
    return value


def _set_items(target: object, items: list) -> None:
    mapping = _require(target, dict)
    if len(items) % 2 or not all(isinstance(key, str | int) for key in items[::2]):
        raise ValueError("a dictionary in it has keys that are neither text nor integers.")
    mapping.update(zip(items[::2], items[1::2], strict=True))


def _name(module: bytes, attribute: bytes) -> _Name:
    """Return the name in two lines of the file, if it is harmless. (`pickletools` would unescape it.)"""
    if not attribute.endswith(b"\n"):
        raise ValueError("it is cut off.")
    name = (module[:-1] + b"." + attribute[:-1]).decode(errors="backslashreplace")
    if name in _STORAGES or name in _CALLS or name in _IGNORED_CALLS or name in _DTYPES:
        return _Name(name)
    if re.fullmatch(r"torch\.\w+Storage", name):
        raise ValueError(f"it has numbers of {name}; legal: {', '.join(_STORAGES.values())}.")
    raise ValueError(
        f"it asks for {name[:200]!r}, which is neither a tensor nor a plain container. Nothing in the file was "
        "executed. Weights do not need this: do not load the file by other means unless you trust its author, who can "
        "save the `state_dict()` alone."
    )


def _call(function: object, arguments: object) -> object:
    """Return the result of a call in the file without calling it: the legal calls are listed here."""
    name = function.text if isinstance(function, _Name) else "something that is not a function"
    if isinstance(arguments, tuple):
        match name, arguments:
            case "collections.OrderedDict", ():
                return {}
            case "torch.Size", (tuple() as sizes,):
                return sizes
            case "torch._utils._rebuild_tensor", (Storage() as storage, offset, shape, strides):
                return _tensor(storage, offset, shape, strides)
            case "torch._utils._rebuild_tensor_v2", (Storage() as storage, offset, shape, strides, _, _):
                return _tensor(storage, offset, shape, strides)
            case "torch._utils._rebuild_parameter", (Tensor() as tensor, _, _):
                return tensor
        if name in _IGNORED_CALLS:
            return Ignored(name)
    raise ValueError(f"it calls {name} in a way that torch.save does not.")


def _tensor(storage: Storage, offset: object, shape: object, strides: object) -> Tensor:
    """Return a view, after checking that it stays inside its storage."""
    sizes = checked_shape(shape)
    if not (
        type(offset) is int
        and isinstance(strides, tuple)
        and len(strides) == len(sizes)
        and all(type(step) is int and step >= 0 for step in (offset, *strides))
    ):
        raise ValueError("a tensor has no integer offset and strides.")
    last = offset + sum((n - 1) * step for n, step in zip(sizes, strides, strict=True))
    if prod(sizes) and last >= storage.count:
        raise ValueError(f"a tensor of shape {list(sizes)} exceeds its storage of {storage.count:,} numbers.")
    if prod(sizes) > max(storage.count, _LARGEST_REPEAT):
        raise ValueError(f"a tensor of shape {list(sizes)} repeats {storage.count:,} numbers.")
    return Tensor(storage, offset, sizes, strides)
