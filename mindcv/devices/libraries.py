"""What MindSpore needs on a machine to use its GPU or Ascend, and what of it is there.

The libraries are those that MindSpore's own libraries for the device are linked with (2.10; the test reads them there).
"""

import ctypes
import os
import re
import subprocess
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path

from mindcv.devices.report import Line

# Library -> the package on PyPI that has it, in the version of the CUDA 11.8 line that was seen to work; see
# docs/devices.md. With CUDA 11.1 to 11.5, MindSpore asks for libnvrtc.so.11.1 instead.
CUDA_LIBRARIES = {
    "libcudart.so.11.0": "nvidia-cuda-runtime-cu11==11.8.89",
    "libcudnn.so.8": "nvidia-cudnn-cu11==8.9.6.50",
    "libcublas.so.11": "nvidia-cublas-cu11==11.11.3.6",
    "libcurand.so.10": "nvidia-curand-cu11==10.3.0.86",
    "libcufft.so.10": "nvidia-cufft-cu11==10.9.0.58",
    "libcusolver.so.11": "nvidia-cusolver-cu11==11.4.1.48",
    "libcusparse.so.11": "nvidia-cusparse-cu11==11.7.5.86",
    "libnvrtc.so.11.2": "nvidia-cuda-nvrtc-cu11==11.8.89",
}
CANN_LIBRARIES = ("libascendcl.so", "libge_runner.so", "libgraph.so", "libmsprofiler.so", "libhccl.so")
_CUDA_FOLDER = Path("/usr/local/cuda/lib64")  # where MindSpore's libraries look besides the usual places
_DRIVER = Path("/proc/driver/nvidia")
_DOCS = "docs/devices.md"


def cuda_lines(environment: Mapping[str, str] = os.environ) -> Iterator[Line]:
    """The driver, the version of CUDA and the libraries that a GPU needs."""
    yield _nvidia_driver()
    yield _cuda_version(environment.get("CUDA_HOME", ""))
    for name, package in CUDA_LIBRARIES.items():
        if (_CUDA_FOLDER / name).exists() or _loads(name):
            yield Line(name, "ok", "found")
        elif folder := _folder_of_package(name):
            yield Line(name, "FAIL", f"is in {folder}, which LD_LIBRARY_PATH does not name")
        else:
            yield Line(name, "FAIL", f"not found; {package} on PyPI has it ({_DOCS})")


def ascend_lines(environment: Mapping[str, str] = os.environ) -> Iterator[Line]:
    """The version of CANN and the libraries that an Ascend needs."""
    home = environment.get("ASCEND_HOME_PATH", "")
    version = Path(home, "compiler", "version.info")
    if not home:
        yield Line("CANN", "FAIL", f"ASCEND_HOME_PATH is not set: source the set_env.sh of CANN ({_DOCS})")
    elif version.is_file():
        yield Line("CANN", "ok", ", ".join(version.read_text(encoding="utf-8", errors="replace").split()))
    else:
        yield Line("CANN", "FAIL", f"ASCEND_HOME_PATH={home}, but there is no {version}")
    for name in CANN_LIBRARIES:
        there = _loads(name)
        yield Line(name, "ok" if there else "FAIL", "found" if there else "not found; it is part of CANN")


def _nvidia_driver() -> Line:
    """The driver and its cards, as the driver's files say; libcuda.so.1 is its interface."""
    if not _loads("libcuda.so.1"):
        missing = "libcuda.so.1 not found: it comes with NVIDIA's driver; a container gets it by its start (--gpus=all)"
        return Line("NVIDIA driver", "FAIL", missing)
    version, cards = "version unknown", []
    if (file := _DRIVER / "version").is_file():
        found = re.search(r"Kernel Module[^\d\n]*([\d.]+)", file.read_text(encoding="utf-8", errors="replace"))
        version = found[1] if found else version
    for file in sorted(_DRIVER.glob("gpus/*/information")):
        cards += re.findall(r"Model:\s*(.+)", file.read_text(encoding="utf-8", errors="replace"))
    return Line("NVIDIA driver", "ok", ", ".join([version, *cards]))


def _cuda_version(home: str) -> Line:
    """What MindSpore reads from `$CUDA_HOME/bin/nvcc`: 11.1 to 11.5 and 11.6 to 11.8 have a library each."""
    nvcc = Path(home, "bin", "nvcc")
    if not home or not nvcc.is_file():
        asks = f"MindSpore asks $CUDA_HOME/bin/nvcc for the version, and looks for no GPU without it ({_DOCS})"
        return Line("CUDA_HOME", "FAIL", f"{f'there is no {nvcc}' if home else 'not set'}: {asks}")
    try:
        said = subprocess.run([nvcc, "--version"], capture_output=True, text=True, timeout=60).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        return Line("CUDA_HOME", "FAIL", f"{nvcc} does not run: {error}")
    release = re.search(r"release (\d+)\.(\d+)", said)
    if release and (11, 1) <= (int(release[1]), int(release[2])) < (12, 0):
        return Line("CUDA_HOME", "ok", f"CUDA {release[1]}.{release[2]} in {home}")
    got = f"CUDA {release[1]}.{release[2]}" if release else "no version"
    return Line("CUDA_HOME", "FAIL", f"{nvcc} names {got}; MindSpore has libraries for CUDA 11.1 to 11.8")


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _folder_of_package(name: str) -> Path | None:
    """The folder of an installed package of NVIDIA's with this library."""
    found = sorted(Path(sysconfig.get_path("purelib"), "nvidia").glob(f"*/lib/{name}"))
    return found[0].parent if found else None
