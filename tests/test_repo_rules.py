"""Rules of the code base: allowed imports, the size of files, one declaration per option."""

import ast
import inspect
import re
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

import config
from mindcv.data import create_dataset, create_transforms
from mindcv.data.transforms import create_batch_transforms
from mindcv.loss import create_loss
from mindcv.models import create_model
from mindcv.optim import OPTIMIZERS, create_optimizer
from mindcv.registry import Registry
from mindcv.scheduler import create_scheduler

ROOT = Path(__file__).parent.parent
TOP_LEVEL = (
    "config",
    "assemble",
    "assemble_benchmark",
    "assemble_data",
    "assemble_run",
    "assemble_training",
    "assemble_weights",
    "draw",
    "early",
    "measure",
    "resume",
    *config.SCRIPTS,
)
SOURCES = sorted((ROOT / "mindcv").rglob("*.py"))

# Imports allowed in each part of mindcv, besides itself and the modules that import nothing: a one-way graph.
MAY_IMPORT = {
    "arguments": set(),
    "benchmark": {"runtime"},
    "console": set(),
    "script": set(),
    "distributed": set(),
    "launch": set(),
    "registry": set(),
    "version": set(),
    "nearest": set(),
    "model_names": set(),
    "paths": set(),
    "faults": set(),
    "files": set(),
    "protobuf": set(),
    "folders": set(),
    "keywords": set(),
    "internals": set(),
    "options": {"loss", "optim", "scheduler"},
    "runtime": set(),
    "checkpoint": set(),
    "weights": {"checkpoint"},
    "models": {"runtime", "checkpoint", "weights"},
    "data": {"folders"},
    "loss": set(),
    "optim": {"runtime"},
    "scheduler": set(),
    "engine": {"runtime", "checkpoint", "optim"},
    "compile_cache": {"runtime", "engine"},
    "export": {"runtime", "checkpoint", "models"},
    "report": {"engine"},
    "devices": {"runtime", "engine", "loss", "models", "optim"},
    "utils": set(),
    "__init__": set(),
}
# Small single-purpose modules that any part may use.
EVERYWHERE = {
    "arguments",
    "console",
    "distributed",
    "faults",
    "files",
    "folders",
    "internals",
    "keywords",
    "nearest",
    "paths",
    "protobuf",
    "registry",
    "version",
}


def imported_modules(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_dependencies_point_one_way(path):
    part = path.relative_to(ROOT / "mindcv").parts[0].removesuffix(".py")
    legal = MAY_IMPORT[part] | EVERYWHERE | {part}
    for name in imported_modules(path):
        top, _, rest = name.partition(".")
        assert top not in TOP_LEVEL, f"{path} imports {name}: the library knows no script"
        assert top not in ("torch", "timm"), f"{path} imports {name}"
        if top == "mindcv" and rest:
            assert rest.split(".")[0] in legal, f"{path} imports {name}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_holds_one_concept(path):
    assert len(path.read_text().splitlines()) <= 350, "two concepts in one place?"


@pytest.mark.parametrize(
    "path",
    [ROOT / f"{name}.py" for name in TOP_LEVEL if name != "config"],
    ids=lambda path: path.name,
)
def test_top_level_scripts_stay_short(path):
    limit = 300 if path.name == "resume.py" else 220 if path.name.startswith("assemble") else 150
    assert len(path.read_text().splitlines()) <= limit


@pytest.mark.parametrize(
    "path", [*SOURCES, *(ROOT / f"{name}.py" for name in TOP_LEVEL if name != "config")], ids=lambda path: path.name
)
def test_only_the_console_prints(path):
    tree = ast.parse(path.read_text())
    printed = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "print"]
    assert path.name == "console.py" or (not printed and "tqdm" not in imported_modules(path))


def test_only_runtime_touches_the_context():
    for path in SOURCES:
        if path.name != "runtime.py":
            assert not re.search(r"\bset_context\(|\bset_device\(", path.read_text()), path


@pytest.mark.parametrize(
    "section, factory, supplied",
    [
        ("loss", create_loss, {"aug_splits"}),
        ("optim", create_optimizer, {"model_or_params", "lr"}),
        ("schedule", create_scheduler, {"epochs", "updates_per_epoch"}),
        ("image", create_transforms, None),
    ],
)
def test_a_sections_fields_are_its_factorys_keywords(section, factory, supplied):
    declared = {field.name for field in fields(config.SECTIONS[section])}
    accepted = set(inspect.signature(factory).parameters)
    if "options" in accepted:  # those that the registry knows
        accepted = accepted - {"options"} | {key for opt in OPTIMIZERS for key in OPTIMIZERS.options(opt)}
    assert declared <= accepted
    if supplied is not None:  # create_transforms takes the augmentations as well
        assert accepted - declared == supplied


def test_augmentations_of_the_schema_are_those_of_the_transforms():
    declared = {field.name for field in fields(config.SECTIONS["augment"])}
    known = set(inspect.signature(create_transforms).parameters) | set(
        inspect.signature(create_batch_transforms).parameters
    )
    assert declared <= known


def test_model_and_data_options_reach_their_factories():
    assert {"num_classes", "in_channels", "pretrained", "drop_rate", "drop_path_rate"} <= set(
        inspect.signature(create_model).parameters
    )
    assert {"download", "num_samples", "seed"} <= set(inspect.signature(create_dataset).parameters)


def test_nothing_forks():
    # MindSpore's threads compute: a forked child may wait for them forever, and Python 3.12 warns of it.
    pattern = re.compile(r"\bos\.fork|\bmultiprocessing\b|\bpreexec_fn\b|python_multiprocessing=True")
    for path in [*ROOT.glob("*.py"), *SOURCES]:
        assert not pattern.search(path.read_text()), path


def test_no_machine_path_in_tracked_text():
    pattern = re.compile(r"(?<![A-Za-z0-9_.~-])/(?:home|root|mnt|srv)/[a-z]")
    for path in [*ROOT.glob("*.*"), *(ROOT / "docs").glob("*"), *(ROOT / "configs").rglob("*.yaml"), *SOURCES]:
        if path.is_file():
            assert not pattern.search(path.read_text(errors="ignore")), path


@pytest.mark.skipif(not shutil.which("git"), reason="asks git")
def test_git_ignores_what_the_documented_commands_write(tmp_path):
    documents = (ROOT / "README.md", ROOT / "docs" / "weights.md")
    outputs = [name for path in documents for name in re.findall(r"--output=(\S+)", path.read_text(encoding="utf-8"))]
    assert {"results.csv", "sknet50.onnx", "sknet50.mindir", "averaged.ckpt"} <= {*outputs}
    folders = [
        ".venv/x",
        ".bench/x",
        ".versions/x",
        "ckpt/metrics.csv",
        "data/cifar-10-binary.tar.gz",
        "rank_0/x",
        "kernel_meta/x",
    ]
    elsewhere = ["results.json", "bad_images.csv", ".bad_images.saving.csv", ".sknet50.saving.onnx"]
    written = sorted({*outputs, *folders, *elsewhere})
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    shutil.copy(ROOT / ".gitignore", tmp_path)

    def ignored(paths):
        line = ["git", "-c", "core.excludesFile=", "check-ignore", *paths]
        return subprocess.run(line, cwd=tmp_path, capture_output=True, text=True).stdout.split()

    assert ignored(written) == written
    assert (
        ignored(["tests/weights_files/network_zip.pth", "mindcv/data/loader.py", "benchmarks/results/steps.json"]) == []
    )


def test_the_registry_rejects_duplicates_and_suggests_the_nearest():
    registry = Registry("animal")
    registry.register("horse")(lambda: None)
    with pytest.raises(ValueError, match="animal 'horse' is registered already"):
        registry.register("horse")(lambda: None)
    with pytest.raises(ValueError, match=r"unknown animal 'hrose'.*Did you mean 'horse'"):
        registry.get("hrose")
