"""Reading settings from the command line."""

import re
import sys
from collections.abc import Callable, Collection, Mapping, Sequence

from mindcv.nearest import did_you_mean
from mindcv.options.option import Option, brief, shorten
from mindcv.options.yaml_file import Setting

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
        answers: tokens such as `--help` that print a text and end the program -> what makes the text from the value
            that `--token=value` or the word behind it gives.

    Raises:
        ValueError: for a token that is not a setting, an unknown or refused name, or a missing value.
        SystemExit: after an answer.
    """
    known = ["config", *names]
    tokens, settings = list(argv), []
    while tokens:
        token = tokens.pop(0)
        name, has_value, word = token.partition("=")
        name = name.replace("-", "_").replace("__", "--", 1) if name.startswith("--") else name
        if name in answers:
            follows = bool(tokens) and not _begins_setting(tokens[0]) and not tokens[0].startswith("-")
            print(answers[name](word if has_value else tokens[0] if follows else None), end="")
            sys.exit(0)
        key, value = _split_token(token, flags)
        if key not in known:
            raise ValueError(f"{COMMAND_LINE}: unknown option {brief(key)}.{did_you_mean(key, known)}")
        if key in refused:
            raise ValueError(f"{COMMAND_LINE}: {key} {refused[key]}")
        if value is None and key in flags:
            value = tokens.pop(0) if tokens and not _begins_setting(tokens[0]) else "true"
        elif value is None:
            # A path may hold "=", so only `known_key=...` is taken for the next setting.
            if not tokens or re.match(r"--|-[A-Za-z]", tokens[0]) or tokens[0].partition("=")[0] in options:
                raise ValueError(f"{COMMAND_LINE}: --{key} needs a value")
            value = tokens.pop(0)
            while key in options and options[key].is_sequence and tokens and not _begins_setting(tokens[0]):
                value += " " + tokens.pop(0)
        settings.append(Setting(key, value, COMMAND_LINE, COMMAND_LINE))
    configs = sorted({s.value for s in settings if s.key == "config"})
    if len(configs) > 1:
        raise ValueError(f"{COMMAND_LINE}: config is given twice, as {' and as '.join(map(shorten, configs))}")
    return settings


def _split_token(token: str, flags: Collection[str]) -> tuple[str, str | None]:
    """The key of a flag or of `key=value`, and the value if the token has one."""
    if not _begins_setting(token) or not (match := _TOKEN.fullmatch(token)):
        raise ValueError(f"{COMMAND_LINE}: unexpected {brief(token)}; write --key=value or key=value")
    key, value = match["key"].replace("-", "_"), match["value"]
    if match["dashes"] == "-" and key != "c":
        raise ValueError(f"{COMMAND_LINE}: unknown flag {brief(token)}; write --{shorten(key)}, with two dashes")
    if match["dashes"] == "-":
        return "config", value
    if value is None and key.startswith("no_") and key[3:] in flags:
        return key[3:], "false"
    return key, value


def _begins_setting(token: str) -> bool:
    match = _TOKEN.fullmatch(token)
    return token.startswith("--") or bool(match and (match["dashes"] or match["value"] is not None))
