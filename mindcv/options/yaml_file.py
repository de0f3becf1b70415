"""Settings in YAML files: reading a file and the files it builds on (`base:`), and writing one."""

import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import yaml

from mindcv.files import replacing
from mindcv.nearest import did_you_mean
from mindcv.options.option import brief, expand_home, shorten

_LARGEST_FILE = 200_000  # characters; the parser takes a second for them
_DEEPEST = 20  # brackets within each other
_MOST_FILES = 50  # that one recipe builds on, each counted as often as it is read
_TAG = "tag:yaml.org,2002:"
_PLAIN_TAG = re.compile(_TAG + "(?:str|int|float|bool|null|timestamp|value)")


class _Loader(yaml.SafeLoader):
    def fetch_flow_collection_start(self, token: type[yaml.Token]) -> None:
        # For each token, the scanner walks over all brackets that are open within 1,024 characters.
        if self.flow_level == _DEEPEST:
            raise yaml.scanner.ScannerError(
                problem=f"more than {_DEEPEST} brackets are open", problem_mark=self.get_mark()
            )
        super().fetch_flow_collection_start(token)


class Setting(NamedTuple):
    """One `key: value` as it was written."""

    key: str
    value: Any
    where: str  # for messages: "a.yaml, line 3"
    source: str  # for Config.sources: "a.yaml"


def read_yaml(path: str, shown: str) -> list[Setting]:
    """The settings of a file, after those of its `base:` files. `shown` is the path for messages.

    Raises:
        ValueError: if a file is missing, is not a recipe or builds on itself, or if there are too many.
    """
    return _read(path, shown, (), [])


def _read(path: str, shown: str, chain: tuple[str, ...], files: list[str]) -> list[Setting]:
    files.append(shown)
    if len(files) > _MOST_FILES:
        raise ValueError(f"{files[0]}: base: builds on more than {_MOST_FILES} files")
    try:
        pairs = _read_pairs(path)
    except ValueError as error:
        raise ValueError(f"{chain[-1] + ': base: ' if chain else ''}{shorten(shown) or repr(shown)}: {error}") from None
    chain = (*chain, shown)
    settings: list[Setting] = []
    bases: list[str] = []
    lines: dict[str, int] = {}
    for key, value, line in pairs:
        where = f"{shown}, line {line}"
        if key in lines:
            raise ValueError(f"{where}: {brief(key)} is given twice, first in line {lines[key]}")
        lines[key] = line
        if key == "base":
            bases = [value] if isinstance(value, str) else value
            if not bases or not all(bases):
                raise ValueError(f"{where}: base: {brief(value)} is not a path or a list of paths")
            bases = [expand_home(base, f"{where}: base") for base in bases]
        else:
            settings.append(Setting(key, value, where, shown))
    below = []
    for base in bases:
        base_shown = os.path.normpath(os.path.join(os.path.dirname(shown), base))
        if base_shown in chain:
            circle = shorten(" -> ".join((*chain, base_shown)))
            raise ValueError(f"{shown}, line {lines['base']}: base: goes in a circle: {circle}")
        below += _read(os.path.normpath(os.path.join(os.path.dirname(path), base)), base_shown, chain, files)
    return [*below, *settings]


def write_yaml(path: str | os.PathLike[str], groups: Mapping[str, Mapping[str, Any]]) -> None:
    """Write a file that `read_yaml` reads: each group of values below its title, a comment."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for title, values in groups.items():
            plain = {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
            file.write(f"# {title}\n{yaml.safe_dump(plain, sort_keys=False)}\n")


def _read_pairs(path: str) -> list[tuple[str, Any, int]]:
    """(key, text or list of texts, line number) of each entry of a YAML mapping."""
    text = _read_text(path)
    try:
        # The texts as they are written: loading would make 010 an 8, 1:30 a 90 and 1e-4 a string.
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        problem = shorten(", ".join(filter(None, (error.context, error.problem))))
        raise ValueError(f"{line}is not valid YAML: {problem}") from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError):  # the last three: escapes, nesting
        raise ValueError("is not valid YAML") from None
    if root is None:
        return []
    if not isinstance(root, yaml.MappingNode) or root.tag != f"{_TAG}map":
        raise ValueError("must hold lines of the form key: value")
    return [(_scalar(k).replace("-", "_"), _plain(v), k.start_mark.line + 1) for k, v in root.value]


def _read_text(path: str) -> str:
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read(_LARGEST_FILE + 1)
    except FileNotFoundError:
        folder, name = os.path.split(path)
        present = os.listdir(folder or ".") if os.path.isdir(folder or ".") else []
        raise ValueError(
            f"no such file.{did_you_mean(name, sorted(p for p in present if not p.startswith('.')))}"
        ) from None
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError("is not a text file") from None
    except ValueError:  # a NUL, or what the file system's encoding lacks
        raise ValueError("is not valid as the name of a file") from None
    if len(text) > _LARGEST_FILE:
        raise ValueError(f"is too large for a recipe: more than {_LARGEST_FILE:,} characters")
    return text


def _plain(node: yaml.Node) -> str | list[str]:
    is_list = isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq"
    return [_scalar(item) for item in node.value] if is_list else _scalar(node)


def _scalar(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode) or not _PLAIN_TAG.fullmatch(node.tag):
        raise ValueError(f"line {node.start_mark.line + 1}: expected a plain value or a list of plain values")
    return node.value
