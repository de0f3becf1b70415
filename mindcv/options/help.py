"""The text of `--help`, and the reference page of all options."""

import argparse
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from mindcv.options.option import Option, show

# How an option may be written: what command_line.py, yaml_file.py and option.py read.
SPELLINGS = """\
| | Spellings |
|---|---|
| Flag | `--epoch_size 5`, `--epoch_size=5`, `--epoch-size=5`, `epoch_size=5` (anywhere on the line); no abbreviations |
| True, false | `--pretrained`, `--no-pretrained`, `--pretrained=false`; true, 1, yes, on, false, 0, no, off |
| Sequence | `--scale 0.08,1.0`, `--scale 0.08 1.0`, `--scale "[0.08, 1.0]"`, `--scale "(0.08, 1.0)"` |
| Paths | several are separate words: `--images a.jpg "my photos" b/*.png`; in a recipe a list: `[a.ckpt, b.ckpt]` |
| Home | `~` and `~user` at the beginning of any path, wherever it is given; a folder called ~ is `./~` |
| Variables | `$NAME` in a path is expanded by the shell alone: not in quotes like `'...'`, not in a recipe |
| No value | `none` or `null` where the table allows it |
| Recipe | `-c recipe.yaml`; in it, `base: other.yaml` (or a list, the last wins), relative to the recipe |
"""


def help_text(script: str, purpose: str, examples: Sequence[str], groups: Mapping[str, Sequence[Option]]) -> str:
    """The text of `--help`.

    Args:
        script: name of the file the user runs.
        purpose: one sentence on what it does.
        examples: command lines.
        groups: title -> the options below it; an empty group is left out.
    """
    width = max(min(shutil.get_terminal_size().columns, 100), 60)
    parser = argparse.ArgumentParser(
        prog=script,
        usage=f"{script} [-c FILE] [--key value | --key=value | key=value ...]",
        description="\n".join([purpose, "", "examples:", *(f"  {e}" for e in examples)]),
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=32, width=width),
        epilog="A YAML file may hold the same options; the command line wins.\nSee docs/configuration.md.",
        add_help=False,
    )
    parser.add_argument("-c", "--config", metavar="FILE", help="YAML file with options; may build on others (base:)")
    parser.add_argument("-h", "--help", action="store_true", help="show this text")
    parser.add_argument("--list_models", metavar="PATTERN", help="list networks and published weights, such as 'sk*'")
    parser.add_argument("--version", action="store_true", help="show the version")
    for title, options in groups.items():
        if not options:
            continue
        group = parser.add_argument_group(title)
        for o in options:
            legal = f"; {', '.join(map(str, o.choices))}" if o.choices and o.kinds == (str,) else ""
            text = f"{o.help}{legal} [{show(o.default)}]".replace("%", "%%")
            group.add_argument(f"--{o.name}", metavar=_metavar(o), help=text)
    return parser.format_help()


def _metavar(o: Option) -> str:
    if o.choices:
        return "NAME" if o.kinds == (str,) else "|".join(map(str, o.choices))
    if o.is_sequence:
        return "X,X,..." if float not in o.kinds else "X"
    if bool in o.kinds and str not in o.kinds:
        return "BOOL"
    return "X" if float in o.kinds else "N" if int in o.kinds else "TEXT"


def reference_page(
    head: str,
    groups: Mapping[str, Sequence[Option]],
    num_scripts: int,
    unavailable: Mapping[str, tuple[Sequence[Any], str]],
    without_effect: Mapping[str, str],
) -> str:
    """The reference page, Markdown.

    Args:
        head: the text above the tables.
        groups: title -> the options of its table.
        num_scripts: how many scripts there are; options that fewer use are marked with their names.
        unavailable: MindCV's unsupported settings -> the values that are accepted, and why no others.
        without_effect: MindCV's settings that are accepted and change nothing -> why.
    """
    lines = [head.rstrip()]
    for title, options in groups.items():
        lines += [f"\n## {title}\n", "| Option | Default | Legal values | Meaning |", "|---|---|---|---|"]
        for o in options:
            mark = f" ({', '.join(o.scripts)})" if len(o.scripts) < num_scripts else ""
            lines.append(f"| `{o.name}`{mark} | `{show(o.default)}` | {o.legal} | {o.help} |")
    lines += ["\n## MindCV's settings that are not available\n", "| Key | Accepted | Because |", "|---|---|---|"]
    lines += [f"| `{key}` | `{'`, `'.join(map(show, off))}` | {why} |" for key, (off, why) in unavailable.items()]
    lines += [f"| `{key}` | anything, with a notice | {why} |" for key, why in without_effect.items()]
    return "\n".join(lines) + "\n"
