"""Untrusted files and names cannot execute code, write elsewhere, or control a terminal or a spreadsheet."""

import ast
import csv
import json
import os
from pathlib import Path

import pytest
from fuzzing import fuzz
from hypothesis import given
from hypothesis import strategies as st

import config
from config import load_config
from mindcv.data import find_images
from mindcv.report import format_predictions, write_predictions
from mindcv.script import run_script
from mindcv.weights.catalog import weight_records

ROOT = Path(config.__file__).parent
OTHERS = {".venv", ".bench", "build"}  # not this repository's
SOURCES = [path for path in sorted(ROOT.rglob("*.py")) if not OTHERS & set(path.relative_to(ROOT).parts)]
# Tests that make pickles, most of them malicious, to check that they are errors; and others with a reason.
ATTACKS = {
    "test_torch_attacks.py",
    "test_torch_file.py",
    "test_data_factory.py",
    "torch_format.py",
    "make_torch_files.py",
    "test_from_others.py",  # runs the examples of a page of this repository
}


# No execution of file contents

MODULES = {"pickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "jsonpickle", "imp", "xmlrpc"}
CALLS = {
    *("eval", "exec", "__import__", "os.system", "os.popen", "pty.spawn", "tempfile.mktemp", "shutil.unpack_archive"),
    *("yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "yaml.full_load_all", "yaml.unsafe_load_all"),
    *("ssl._create_unverified_context", "torch.load", "torch.hub.load", "code.interact", "runpy.run_path"),
}
METHODS = {"extractall", "unpack_archive", "allow_unsafe_werkzeug"}
SAFE_KEYWORDS = {
    "shell": False,
    "allow_pickle": False,
    "verify": True,
    "trust_remote_code": False,
    "weights_only": True,
}
SAFE_LOADERS = {"yaml.SafeLoader", "yaml.BaseLoader", "yaml.CSafeLoader"}


def dangers(source):
    """Return the parts of a Python source that could execute code or write files chosen by others."""
    tree, found = ast.parse(source), []
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    safe_loaders = SAFE_LOADERS | {
        one.name for one in classes if one.bases and {*map(ast.unparse, one.bases)} <= SAFE_LOADERS
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [name for name in names if name in CALLS or name.split(".")[0] in MODULES]
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            loaders = [ast.unparse(keyword.value) for keyword in node.keywords if keyword.arg == "Loader"]
            if name in CALLS or name.rsplit(".", 1)[-1] in METHODS or set(loaders) - safe_loaders:
                found.append(ast.unparse(node))
            for keyword in node.keywords:
                safe = SAFE_KEYWORDS.get(keyword.arg)
                if safe is not None and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is safe):
                    found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize(
    "source",
    """eval(text)|exec(text)|import pickle|from pickle import loads|import marshal|os.system(x)|yaml.load(x, Loader=L)
    class L(yaml.Loader): y = yaml.load(x, Loader=L)|class L: y = yaml.load(x, Loader=L)
    yaml.unsafe_load(x)|yaml.compose(x, Loader=yaml.UnsafeLoader)|subprocess.run(x, shell=True)|tar.extractall(p)
    np.load(x, allow_pickle=True)|tempfile.mktemp()|requests.get(u, verify=False)|ssl._create_unverified_context()
    from yaml import unsafe_load|from os import system|zipfile.ZipFile(x).extractall()|f(shell=given)|import shelve
    __import__(name)|from tempfile import mktemp""".replace("\n", "|").split("|"),
)
def test_the_scan_finds_dangerous_code(source):
    assert dangers(source.strip())


def test_no_source_executes_file_contents():
    assert len(SOURCES) > 100
    found = {
        str(path.relative_to(ROOT)): dangers(path.read_text("utf-8")) for path in SOURCES if path.name not in ATTACKS
    }
    assert {path: what for path, what in found.items() if what} == {}


def test_published_files_use_https_and_have_hashes():
    records = weight_records()
    assert len(records) > 5
    for record in records:
        if record.url:
            assert record.url.startswith("https://")
            assert len(record.url_sha256) >= 8
            assert int(record.url_sha256, 16) >= 0
        assert record.url or record.hub


# Names on a terminal

HOSTILE = ["\x1b[2J\x1b[31m", "\x1b]0;title\x07", "\x9b31m", "\r", "\x08" * 9, "\u202e", "\u200b", "\x7f", "\x00"]


def clean(text):
    return all(character.isprintable() or character == "\n" for character in text)


@pytest.mark.parametrize("name", HOSTILE)
def test_an_error_message_cannot_control_the_terminal(name, capsys):
    with pytest.raises(SystemExit) as caught:
        run_script(lambda argv: load_config(argv, prog="train"), [f"--data_dir{name}=x"])
    assert caught.value.code == 2
    with pytest.raises(SystemExit):
        run_script(lambda argv: load_config(argv, prog="train"), ["-c", f"no{name}where.yaml"])
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert clean(message)


def test_a_suggested_hostile_name_is_escaped(tmp_path, capsys):
    (tmp_path / "recipe\x1b[.yaml").write_text("seed: 1")
    with pytest.raises(SystemExit):
        run_script(lambda argv: load_config(argv, prog="train"), ["-c", f"{tmp_path}/recipe.yaml"])
    message = capsys.readouterr().err
    assert "Did you mean 'recipe\\x1b[.yaml" in message
    assert clean(message)


def test_an_undecodable_name_can_be_printed(capsys):
    with pytest.raises(SystemExit) as caught:
        run_script(lambda argv: print(f"written to {os.fsdecode(bytes([0xFF]))}.csv"), [])
    assert caught.value.code == 0
    assert capsys.readouterr().out == "written to \\udcff.csv\n"


# Names in reports

# Bytes that a file name can have, most of them hostile, and any class name.
PIECES = ["=cmd|' /C calc'!A0", "\x1b[31m", "\U0001f600", "\udcff", "\uff1d", *"=+-@\t\n\r'\";,|a "]
names = st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join)


def is_formula(cell):
    """Return whether a spreadsheet program may run a cell: the starts listed by OWASP, and their full-width forms."""
    return cell[:1] in tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


@fuzz(300)
@given(name=names, class_name=names.map(lambda name: name.replace("\udcff", "?")), reason=names)
def test_no_name_becomes_a_formula_another_cell_or_broken_json(tmp_path, name, class_name, reason):
    predictions, failures = [(Path(name), [(0, class_name, 0.5), (1, class_name, 0.25)])], [(Path(name), reason)]
    for suffix in (".csv", ".json"):
        write_predictions(tmp_path / f"out{suffix}", predictions, failures)
    with open(tmp_path / "out.csv", newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = list(csv.reader(file))
    assert [len(row) for row in rows] == [6] * 4
    assert not any(is_formula(cell) for row in rows for cell in row)
    assert [row[0].removeprefix("'") for row in rows[1:]] == [str(Path(name))] * 3
    assert [row[3].removeprefix("'") for row in rows[1:3]] == [class_name] * 2
    assert rows[3][5].removeprefix("'") == reason
    first, second = json.loads((tmp_path / "out.json").read_bytes().decode("utf-8"))
    assert first["candidates"][0]["class_name"] == class_name
    assert (second["image"], second["error"]) == (str(Path(name)), reason)
    assert clean(format_predictions(predictions, failures))


def test_files_with_hostile_names_are_found_and_reported_exactly(tmp_path):
    hostile = [b"=1+1.png", b"a\nb.png", b"\xff\xfe.png", b"\x1b[31m.png", b"a;rm -rf $(x).png", b"-rf.png"]
    for name in hostile:
        (tmp_path / os.fsdecode(name)).write_bytes(b"x")
    found = find_images(str(tmp_path))
    assert sorted(os.fsencode(path.name) for path in found) == sorted(hostile)
    text = format_predictions([(path, [(0, "cat", 1.0)]) for path in found])
    assert clean(text)
    assert len(text.split("\n")) == 1 + len(hostile)
