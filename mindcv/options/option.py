"""One setting: its declaration, its checks, and the conversion of values between text and Python."""

import math
import os
import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from mindcv.arguments import Argument
from mindcv.nearest import did_you_mean

TRUE, FALSE, NONE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}, {"none", "null", "~", ""}
_KINDS = {bool: "true or false", int: "an integer", float: "a number", str: "a text", NoneType: "none"}
_PLURALS = {int: "integers", float: "numbers", str: "texts"}
_REPR = reprlib.Repr()
_REPR.maxlevel, _REPR.maxstring = 2, 80
brief = _REPR.repr  # a value as messages quote it
_LONGEST = 200  # characters of a text in a message


def option(default: Any, help: str, **rules: Any) -> Any:
    """A dataclass field.

    Args:
        default: the argument of a factory that it sets, or a default.
        help: its meaning.
        rules: the remaining fields of `Option` (choices, minimum, maximum, ...).
    """
    if isinstance(default, Argument):
        rules = {key: value for key, value in vars(default).items() if key not in ("name", "default")} | rules
        default = default.default
    return field(default=default, metadata={"help": help, **rules})


@dataclass(frozen=True, kw_only=True)
class Option(Argument):
    """One setting: what is declared in its section, and the checks that follow from it."""

    section: str
    type: Any
    help: str
    aliases: Mapping[str, str] = field(default_factory=dict, hash=False)  # other names of choices
    words: tuple[str, ...] = ()  # the texts that are legal where a number is, too; empty: any text
    is_path: bool = False  # its texts name files or folders: `~` is home, blanks and commas do not separate values
    scripts: tuple[str, ...] = ()  # the scripts that use it
    inherited: bool = True  # a checkpoint's value is used; False: it belongs to the command that was given
    fixed: str = ""  # why a run cannot be resumed with another value
    free: bool = False  # a training with another value is the same training
    in_graph: bool = True  # another value may change a compiled graph; an option that says so wrongly costs results

    def __post_init__(self) -> None:
        if get_origin(self.type) is Literal:
            object.__setattr__(self, "choices", get_args(self.type))
        if not self.inherited:
            object.__setattr__(self, "free", True)
            object.__setattr__(self, "in_graph", False)

    @property
    def kinds(self) -> tuple[Any, ...]:
        if get_origin(self.type) is Literal:
            return tuple({type(choice) for choice in self.choices})
        return (self.type,) if get_origin(self.type) is tuple else get_args(self.type) or (self.type,)

    @property
    def is_sequence(self) -> bool:
        return any(get_origin(kind) is tuple for kind in self.kinds)

    @property
    def takes_words(self) -> bool:
        """Whether several words of a command line are several texts, and not one text with blanks."""
        return self.is_sequence and self.is_path

    @property
    def legal(self) -> str:
        """Description of the legal values."""
        if self.choices:
            return "one of " + ", ".join(map(show, self.choices))
        words = [self._legal_kind(kind) for kind in self.kinds]
        if int in self.kinds and float in self.kinds:
            words.remove(_KINDS[int])
        words[0] += self.interval
        return " or ".join(words)

    def _legal_kind(self, kind: Any) -> str:
        if get_origin(kind):
            return self.sequence_of("paths" if self.is_path else _PLURALS[get_args(kind)[0]])
        if kind is str and (self.words or self.is_path):
            return " or ".join(self.words) or "a path"
        return _KINDS[kind]

    def parse(self, value: Any, where: str) -> Any:
        """The checked value of what was written at `where`.

        Raises:
            ValueError: if `value` is not legal; names the place, the key, the value and what is legal.
        """
        text = as_text(value)
        if self.takes_words and isinstance(text, str) and text.strip().lower() not in NONE:
            text = [text]
        if self.choices:
            words = {str(choice).lower(): choice for choice in self.choices}
            words |= dict.fromkeys(NONE) if None in self.choices else {}
            word = text.strip().lower() if isinstance(text, str) else ""
            word = self.aliases.get(word, word)
            if word in words:
                return words[word]
            raise ValueError(f"{where}: {self.name}: {brief(value)} is not {self.legal}.{did_you_mean(word, words)}")
        for kind in sorted(self.kinds, key=lambda kind: kind is not NoneType):  # none is not a text
            try:
                result = convert(kind, text)
            except ValueError:
                continue
            if self.in_range(result):
                return self._at_home(result, where) if self.is_path else result
        raise ValueError(f"{where}: {self.name}: {brief(value)} is not {self.legal}")

    def _at_home(self, value: Any, where: str) -> Any:
        if isinstance(value, tuple):
            return tuple(self._at_home(part, where) for part in value)
        return expand_home(value, f"{where}: {self.name}") if isinstance(value, str) else value

    def in_range(self, value: Any) -> bool:
        if isinstance(value, str):
            # An empty name is a mistake, unless empty is the default.
            return value in self.words if self.words else bool(value) or self.default == ""
        return value is None or isinstance(value, bool) or super().in_range(value)


def expand_home(path: str, where: str) -> str:
    """A path with `~` or `~user` at its beginning replaced by that home folder; a folder called ~ is `./~`.

    Environment variables are not expanded: a dollar sign is legal in the name of a file.

    Raises:
        ValueError: naming `where` it was written, if there is no such user.
    """
    try:
        expanded = os.path.expanduser(path)
    except ValueError:  # not valid as a user name
        expanded = path
    if path.startswith("~") and expanded == path:
        user = path[1:].split("/")[0]
        raise ValueError(f"{where}: there is no user {brief(user)}, whose home {brief(path)} would be in; write ./~...")
    return expanded


def as_text(value: Any) -> Any:
    """A Python value from a checkpoint as a YAML file would hold it: text, or a list of texts."""
    if isinstance(value, (list, tuple)):
        return [v if isinstance(v, str) else str(v) for v in value]
    return value if isinstance(value, str) else str(value)


def convert(kind: Any, text: str | list[str]) -> Any:
    """`text` as a `kind`; raises ValueError."""
    if get_origin(kind) is tuple:
        if isinstance(text, str):
            inner = text.strip()
            inner = inner[1:-1].strip() if inner[:1] + inner[-1:] in ("[]", "()") else inner
            text = re.split(r"\s*,\s*|\s+", inner.removesuffix(",").strip())
        return tuple(convert(get_args(kind)[0], part) for part in text)
    if isinstance(text, list):
        raise ValueError
    word = text.strip().lower()
    if kind is str:
        return text
    if kind is NoneType and word in NONE:
        return None
    if kind is bool and word in TRUE | FALSE:
        return word in TRUE
    if kind is int and re.fullmatch(r"[+-]?[0-9]{1,15}", word):  # no more than every number format here can hold
        return int(word)
    if kind is float and "_" not in word and math.isfinite(number := float(word)):
        return number
    raise ValueError


def show(value: Any) -> str:
    """The spelling of a value on the command line."""
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "''"
    return str(value).lower() if value is None or isinstance(value, bool) else str(value) or "''"


def shorten(text: str) -> str:
    """A text, shortened for messages if it is long."""
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[:half]}...{text[-half:]}"
