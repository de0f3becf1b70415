"""How long `python train.py --help` takes, median of several.

python benchmarks/startup.py
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    seconds = []
    for _ in range(9):
        start = time.perf_counter()
        line = [sys.executable, "train.py", "--help"]
        subprocess.run(line, cwd=Path(__file__).parent.parent, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - start)
    print(f"python train.py --help: {statistics.median(seconds):.2f} s ({min(seconds):.2f} - {max(seconds):.2f})")


if __name__ == "__main__":
    main()
