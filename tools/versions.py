"""Runs chosen tests under other versions of MindSpore, each in an environment of its own: `make test-versions`.

    python tools/versions.py [--only 2.7.1] [--environments FOLDER] [--jobs 2]

An environment is made when it is missing (3 GB; MindSpore is a download of 0.8 GB), with the interpreter that runs this
script. One line is printed for each version, and FOLDER/VERSION.log has the output of its tests. The exit code is 1 if
a version failed.

MindSpore 2.7.1 has no wheel for Python 3.12.
"""

import argparse
import os
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("2.7.1", "2.8.0", "2.9.0")
# Files, or single tests, each with its variations that are not slow: about five minutes on two quiet cores.
TESTS = (
    # Networks, losses and optimizers against references; the forms of layers for a CPU.
    "tests/models/test_goldens.py",
    "tests/models/test_cpu_forms.py",
    "tests/models/test_conv_gradients.py",
    # Not its graph keys: MindSpore 2.7 keeps no graph of a recomputing network.
    "tests/models/test_recompute.py::test_losses_and_weights_are_bit_identical_and_statistics_updated_once",
    "tests/models/test_recompute.py::test_statistics_are_those_of_the_formula",
    "tests/models/test_recompute.py::test_the_option_reaches_the_network",
    "tests/models/test_precision.py",
    "tests/loss/test_loss_goldens.py",
    "tests/optim/test_optimizers.py",
    "tests/optim/test_adamw.py",
    # The training step, data, exact resuming.
    "tests/engine/test_train_step.py",
    "tests/engine/test_device_step.py",
    "tests/engine/test_saving.py",
    "tests/distributed/test_shared_steps.py",
    "tests/data/test_transforms.py",
    "tests/data/test_random_stage.py",
    "tests/data/test_loader.py",
    "tests/data/test_mind_record.py",
    "tests/test_resume.py::test_a_run_interrupted_twice_ends_like_an_uninterrupted_one",
    "tests/test_resume.py::test_the_same_command_starts_continues_and_reports_a_complete_run",
    "tests/test_scripts.py::test_cifar10_binaries_train_and_validate_as_in_the_readme",
    # Weights and exported files.
    "tests/test_checkpoint.py",
    "tests/checkpoint/test_format.py",
    "tests/weights/test_load.py",
    "tests/weights/test_torch_file.py",
    "tests/export/test_exporter.py",
    "tests/export/test_runner.py",
    # The runtime and the compile cache.
    "tests/test_internals.py",
    "tests/test_runtime.py",
    "tests/engine/test_interrupt.py",
    "tests/compile_cache/test_compile_cache.py",
    "tests/compile_cache/test_scripts.py::test_a_second_start_reuses_both_graphs_with_identical_results",
)


def make_environment(version: str, folder: Path) -> Path:
    """The interpreter of the environment in `folder`, which is made unless it is complete.

    Raises:
        subprocess.CalledProcessError: if pip finds no fitting packages, or cannot install them.
    """
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        print(f"{version}: installing into {folder}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        line = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"mindspore=={version}"]
        subprocess.run([*line, "--requirement", ROOT / "requirements-dev.txt"], check=True)
        (folder / "complete").touch()
    return python


def run_tests(python: Path, log: Path, jobs: int) -> tuple[bool, str]:
    """Run the tests; whether all passed, and pytest's last line."""
    options = ["-q", "-p", "no:cacheprovider", "-m", "not slow", "-n", str(jobs), "--dist=loadfile"]
    with log.open("w") as file:
        line = [python, "-m", "pytest", *options, *TESTS]
        code = subprocess.run(line, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT).returncode
    lines = log.read_text(errors="replace").split("\n")
    return code == 0, next((text for text in reversed(lines) if text.strip()), f"exit code {code}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="VERSION", help=f"default: {', '.join(VERSIONS)}")
    parser.add_argument("--environments", type=Path, default=ROOT / ".versions", metavar="FOLDER")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="test processes at once")
    options = parser.parse_args()
    failed = False
    options.environments.mkdir(parents=True, exist_ok=True)
    for version in options.only or VERSIONS:
        began = time.monotonic()
        try:
            python = make_environment(version, options.environments.resolve() / version)
            passed, result = run_tests(python, options.environments / f"{version}.log", options.jobs)
        except subprocess.CalledProcessError as error:
            passed, result = False, f"no environment: {error}"
        failed |= not passed
        outcome = "passed" if passed else "FAILED"
        print(f"{version}: {outcome} in {time.monotonic() - began:.0f} s: {result}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
