"""Reads files of weights and networks in a separate process, which they may crash: `read_files.py FOLDER`.

Prints a line of JSON before and after each file: its name and the result.
"""

import json
import resource
import sys
from pathlib import Path

import mindcv  # noqa: F401  (sets what MindSpore reads when it is imported)

# isort: split
import numpy as np
from mindspore import Tensor

from mindcv.export import ExportedNetwork
from mindcv.weights.load import read_weights


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


def read(path: Path) -> int:
    """Read a file and return the size of its arrays in bytes."""
    if path.suffix in (".onnx", ".mindir"):
        logits = ExportedNetwork(path)(Tensor(np.zeros((1, 3, 8, 8), np.float32)))
        return logits.asnumpy().nbytes
    return sum(array.nbytes for array in read_weights(path).weights.values())


def main(folder: Path) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (64 << 30, 64 << 30))
    for path in sorted(folder.iterdir()):
        say(file=path.name, begun=True)
        try:
            say(file=path.name, size=read(path))
        except BaseException as error:
            refused = isinstance(error, ValueError) and str(path) in str(error)
            say(file=path.name, refused=refused, error=f"{type(error).__name__}: {error}"[:300])
    say(largest_memory=largest_memory())


def largest_memory() -> int:
    """Return the peak memory in bytes, unlike `getrusage` without the parent's."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main(Path(sys.argv[1]))
