"""Runs every benchmark of the documentation, one after the other: `make bench`.

    python tools/run_all.py [--smoke] [--out FOLDER] [--only steps --only models]

A script that fails does not stop the others; the exit code is then 1. Afterwards the tables are copied into README.md
and docs/ (see update_docs.py), except with --smoke or --out.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
from harness import RESULTS, ROOT
from summary import summarize
from update_docs import update

# In this order. Each takes --smoke and --out.
SCRIPTS = (
    "steps",
    "models",
    "cost_model",
    "roofline",
    "parts",
    "inference",
    "startup",
    "data_loading",
    "data_wait",
    "listing",
    "end_to_end",
)

# A second table of end_to_end.py, with all of CIFAR-10's images: MindCV's script would take eight minutes, three times.
ALL_IMAGES = ("--images=50000", "--rounds=1", "--only=ours", "--only=torch")


def run(scripts: Sequence[str], options: Sequence[str], folder: Path = ROOT / "benchmarks") -> list[str]:
    """Run the scripts; the names of those that failed."""
    failed = []
    for name in scripts:
        print(f"== {name}", flush=True)
        start = time.monotonic()
        code = subprocess.run([sys.executable, folder / f"{name}.py", *options]).returncode
        outcome = "" if code == 0 else f", FAILED with exit code {code}"
        print(f"== {name}: {time.monotonic() - start:.0f} s{outcome}", flush=True)
        failed += [name] if code else []
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: shows that all run, measures nothing")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the tables")
    parser.add_argument("--only", choices=SCRIPTS, action="append", help="default: all")
    arguments = parser.parse_args()
    options = [f"--out={arguments.out}", *(["--smoke"] if arguments.smoke else [])]
    scripts = arguments.only or SCRIPTS
    failed = run(scripts, options)
    if "end_to_end" in scripts and not arguments.smoke:
        failed += run(["end_to_end"], [*options, *ALL_IMAGES])
    summarize(arguments.out)
    if not arguments.smoke and arguments.out == RESULTS:
        print(*update(RESULTS), sep="\n")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
