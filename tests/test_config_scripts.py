"""config.py in the scripts: help, the generated page, start-up, exit codes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from config_lines import train

import config
from config import OPTIONS, load_config
from mindcv.script import run_script

ROOT = Path(config.__file__).parent


# Help, page, start-up time


@pytest.mark.parametrize("prog", config.SCRIPTS)
@pytest.mark.parametrize("columns", ["80", "100"])
def test_help_lists_the_scripts_options_and_fits_the_terminal(prog, columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    with pytest.raises(SystemExit) as stop:
        load_config(["--seed=1", "--help"], prog=prog)
    assert stop.value.code == 0
    text = capsys.readouterr().out
    listed = set(re.findall(r"^  --(\w+)", text, re.MULTILINE)) - {"version", "list_models"}
    assert listed == {name for name, o in OPTIONS.items() if prog in o.scripts}
    assert text.index(f"python {prog}.py") < text.index("--seed")
    assert max(map(len, text.splitlines())) <= int(columns)
    for line in re.findall(rf"^  python {prog}\.py(.*)", text, re.MULTILINE):
        load_config(line.split(), prog=prog)


def test_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit):
        train("--version")
    assert f'"{capsys.readouterr().out.strip()}"' in (ROOT / "mindcv/version.py").read_text(encoding="utf-8")


def test_the_committed_configuration_page_is_current():
    page = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    assert page == config.reference_page(), "run: python config.py > docs/configuration.md"


def test_the_readme_of_the_recipes_names_only_existing_files():
    text = (ROOT / "configs/README.md").read_text(encoding="utf-8")
    for path in re.findall(r"\]\((\S+)\)", text):
        assert (ROOT / "configs" / path).exists(), path


def test_importing_config_imports_neither_mindspore_nor_numpy():
    code = "import sys, config; config.load_config([], prog='train'); print({'mindspore', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# run_script


def _raise(error):
    raise error


@pytest.mark.parametrize(
    ("main", "argv", "code", "stderr"),
    [
        (lambda argv: None, [], 0, ""),
        (lambda argv: "a result", [], 0, ""),
        (lambda argv: _raise(ValueError("lr: bad")), [], 2, "error: lr: bad\n"),
        (lambda argv: _raise(ValueError("lr: bad")), ["--debug=false"], 2, "error: lr: bad\n"),
        (lambda argv: _raise(ValueError("lr: bad")), ["--debug", "off"], 2, "error: lr: bad\n"),
        (lambda argv: _raise(FileNotFoundError(2, "No such file", "x")), [], 2, "error: [Errno 2] No such file: 'x'\n"),
        (lambda argv: _raise(KeyboardInterrupt()), [], 130, "interrupted\n"),
    ],
)
def test_run_script_turns_user_errors_into_messages_and_exit_codes(main, argv, code, stderr, capsys):
    with pytest.raises(SystemExit) as stop:
        run_script(main, argv)
    assert (stop.value.code, capsys.readouterr().err) == (code, stderr)


@pytest.mark.parametrize("argv", [["--debug"], ["debug=true"], ["--debug", "--lr=1"], ["--debug=1"], ["--debug", "on"]])
def test_run_script_shows_the_traceback_with_debug(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        run_script(lambda argv: _raise(ValueError("lr: bad")), argv)
    assert stop.value.code == 2
    assert "Traceback" in capsys.readouterr().err


def test_run_script_does_not_hide_bugs():
    with pytest.raises(ZeroDivisionError):
        run_script(lambda argv: 1 / 0, [])
