"""Reading settings from the command line."""

import os
import re
import sys
from collections.abc import Callable, Collection, Mapping, Sequence

from mindcv import console
from mindcv.nearest import did_you_mean
from mindcv.options.option import Option, brief, shorten
from mindcv.options.other_names import OTHER_NAMES
from mindcv.options.yaml_file import Setting
from mindcv.paths import EXPORT_SUFFIXES, WEIGHT_SUFFIXES

COMMAND_LINE = "command line"  # where such a setting comes from

_TOKEN = re.compile(r"(?P<dashes>-{0,2})(?P<key>[A-Za-z][\w-]*)(?:=(?P<value>.*))?", re.DOTALL)


def read_command_line(
    argv: Sequence[str],
    options: Mapping[str, Option],
    flags: Collection[str],
    names: Sequence[str],
    *,
    refused: Mapping[str, str],
    answers: Mapping[str, Callable[[str | None], str]],
) -> list[Setting]:
    """`--key value`, `--key=value`, `key=value`, bare booleans and space-separated sequences, in order.

    argparse is not used to read the line: after `--pretrained` or `--scale` it would swallow `dataset=cifar10`.

    Args:
        argv: the command line without the program's name.
        options: the options by name.
        flags: names that may stand without a value, which means true, or be negated with `--no-`.
        names: every legal name; `config` (also `-c`) is legal besides.
        refused: names that are known, but not for this script -> why.
        answers: tokens such as `--help` that print a text and end the program -> function that makes the text from
            the value (`--token=value`, or the next word).

    Raises:
        ValueError: for a token that is not a setting, an unknown or refused name, or a missing value.
        SystemExit: after an answer.
    """
    known = ["config", *names]
    tokens = list(argv)
    settings: list[Setting] = []
    while tokens:
        token = tokens.pop(0)
        name, has_value, word = token.partition("=")
        name = name.replace("-", "_").replace("__", "--", 1) if name.startswith("--") else name
        if name in answers:
            follows = bool(tokens) and not _begins_setting(tokens[0]) and not tokens[0].startswith("-")
            console.say(answers[name](word if has_value else tokens[0] if follows else None).rstrip("\n"))
            sys.exit(0)
        match = _TOKEN.fullmatch(token) if _begins_setting(token) else None
        if match is None:
            hint = _spelling_of(token, {s.key for s in settings}, [o for n, o in options.items() if n not in refused])
            raise ValueError(f"{COMMAND_LINE}: unexpected {brief(token)}; write --key=value or key=value{hint}")
        key, text = _split_token(match, tokens, flags, known)
        if key in refused:
            raise ValueError(f"{COMMAND_LINE}: {key} {refused[key]}")
        value: str | list[str]
        if text is not None:
            value = text
        elif key in flags:
            value = tokens.pop(0) if tokens and not _begins_setting(tokens[0]) else "true"
        elif not tokens or _begins_known_setting(tokens[0], known):
            raise ValueError(f"{COMMAND_LINE}: --{key} needs a value")
        else:
            value = _take_value(options.get(key), tokens, known)
        settings.append(Setting(key, value, COMMAND_LINE, COMMAND_LINE))
    configs = sorted({s.value for s in settings if s.key == "config"})
    if len(configs) > 1:
        raise ValueError(f"{COMMAND_LINE}: config is given twice, as {' and as '.join(map(shorten, configs))}")
    return settings


def _take_value(option: Option | None, tokens: list[str], known: Collection[str]) -> str | list[str]:
    """Remove the words of a value from `tokens` and return them."""
    words = [tokens.pop(0)]
    if option is None or not option.is_sequence:
        return words[0]
    while tokens:
        if _begins_known_setting(tokens[0], known) if option.takes_words else _begins_setting(tokens[0]):
            break
        words.append(tokens.pop(0))
    return words if option.takes_words else " ".join(words)


def _split_token(
    match: re.Match[str], after: Sequence[str], flags: Collection[str], known: Collection[str]
) -> tuple[str, str | None]:
    """The known key of a flag or of `key=value`, and the value if the token has one."""
    key, value = match["key"].replace("-", "_"), match["value"]
    if match["dashes"] == "-" and key == "c":
        return "config", value
    if value is None and key.startswith("no_") and key[3:] in flags:
        return key[3:], "false"
    joined = re.fullmatch("([a-z])([0-9]+)", key) if match["dashes"] == "-" and value is None else None
    if joined and joined[1] in OTHER_NAMES:
        key, value = joined.groups()
    ours = OTHER_NAMES.get(key)
    if match["dashes"] == "-" and (key in known or not ours):
        hint = f"; write --{shorten(key)}, with two dashes" if len(key) > 1 else ". The only short flags are -c and -h"
        raise ValueError(f"{COMMAND_LINE}: unknown flag {brief(match[0])}{hint}")
    if key not in known and ours:
        given = value if value is not None else after[0] if after and not _begins_setting(after[0]) else "..."
        shown = f"{match['dashes']}{key}"
        raise ValueError(f"{COMMAND_LINE}: unknown option {shown!r}; here it is --{ours}={shorten(given)}")
    if key not in known:
        raise ValueError(f"{COMMAND_LINE}: unknown option {brief(key)}.{did_you_mean(key, known)}")
    return key, value


# The option that a bare path is probably meant for, by the end of its name.
_ROLES = {
    "config": (".yaml", ".yml"),
    "ckpt_path": WEIGHT_SUFFIXES,
    "output": (".csv", ".json", ".ckpt", *EXPORT_SUFFIXES),
    "images": ("",),
    "data_dir": ("/",),
}


def _spelling_of(word: str, given: Collection[str], usable: Sequence[Option]) -> str:
    """`: --images=photo.png` for a path that stands where an option should."""
    is_folder = "\0" not in word and os.path.isdir(word)
    if not is_folder and "." not in word:
        return ""
    takes_words = {"config": False} | {option.name: option.takes_words for option in usable}
    for name, ends in _ROLES.items():
        if name in takes_words and f"{word.lower()}{'/' * is_folder}".endswith(ends):
            if name not in given:
                return f": --{name}={shorten(word)}"
            if takes_words[name]:
                return f". List several as separate words: --{name} one {shorten(word)}"
    return ""


def _begins_setting(token: str) -> bool:
    match = _TOKEN.fullmatch(token)
    return token.startswith("--") or bool(match and (match["dashes"] or match["value"] is not None))


def _begins_known_setting(token: str, known: Collection[str]) -> bool:
    """After a path option only `known_key=...` begins a setting: a path may be `momentum` or contain "="."""
    name, is_pair, _ = token.partition("=")
    return bool(re.match(r"--|-[A-Za-z]", token)) or bool(is_pair and name.replace("-", "_") in known)
