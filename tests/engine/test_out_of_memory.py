"""Out-of-memory errors are explained, and memory does not grow in a long training."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mindcv.engine.out_of_memory import explain_out_of_memory, memory_explained

ROOT = Path(__file__).parent.parent.parent
_spec = importlib.util.spec_from_file_location("memory_benchmark", ROOT / "benchmarks/memory.py")
benchmark = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(benchmark)

# Largest apparent growth per step. MindSpore 2.10 itself leaks about a kilobyte per matrix product, cast or sum in
# Pynative mode, 26 KB per step of this network, and fills caches in the first hundreds of steps.
WARMUP, MOST_KB, LEAK_KB = 120, {0: 30, 1: 70}, 64  # the first evaluation, at step 100, compiles

SHORT_OF_MEMORY = f"""
import resource, sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests/support")!r}]
import mindcv
import numpy as np
from mindspore import Tensor
import tiny
from mindcv.data import Loader, create_dataset, create_transforms
from mindcv.engine import TrainStep
from mindcv.engine.out_of_memory import explain_out_of_memory
from mindcv.loss import create_loss
from mindcv.models import create_model
from mindcv.optim import create_optimizer
from mindcv.runtime import setup_runtime

resource.setrlimit(resource.RLIMIT_AS, (1 << 45, resource.RLIM_INFINITY))  # any: nothing is reserved then
tiny.register()
setup_runtime(mode=int(sys.argv[1]), device_target="CPU")
network = create_model(tiny.NAME, num_classes=10)
step = TrainStep(network, create_loss(), create_optimizer(network, lr=0.01))
images, labels = Tensor(np.zeros((256, 3, 96, 96), np.float32)), Tensor(np.zeros(256, np.int32))
transforms = create_transforms(is_training=True, image_resize=512, encoded=False, channels=1)
loader = Loader(create_dataset("digits"), transforms, is_training=True, batch_size=512)

def run_out(work, spare):
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (spare << 20), resource.RLIM_INFINITY))
    try:
        work()
    except Exception as error:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print(type(error).__name__, explain_out_of_memory(error, 256), flush=True)
    else:
        print("enough")

run_out(lambda: step(images, labels)[0].asnumpy(), 600)  # enough to compile
run_out(lambda: list(loader.epoch(0)), 1500)
run_out(lambda: np.ones((600, 1 << 20)), 300)
"""


@pytest.mark.slow
@pytest.mark.parametrize("mode", [0, 1], ids=benchmark.MODES)
def test_out_of_memory_in_step_loader_and_numpy_is_explained(mode):
    line = [sys.executable, "-c", SHORT_OF_MEMORY, str(mode)]
    run = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=100)
    step, loader, numpy = run.stdout.splitlines()
    assert step.startswith("RuntimeError out of memory with batch_size=256. Try a smaller --batch_size")
    assert loader.startswith("RuntimeError out of memory with batch_size=256")
    assert numpy.split()[0].endswith("MemoryError") and "out of memory with batch_size=256" in numpy


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        MemoryError("std::bad_alloc"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("- Memory not enough:\nMemory isn't enough and alloc failed, kernel name: 2_Default/Conv2D-op0"),
        RuntimeError("Allocate output memory failed, alloc node:Default/BatchNorm-op0 alloc size:603979776B"),
        RuntimeError("Malloc for kernel output failed, Memory isn't enough, node:Default/Conv2D-op0"),
        RuntimeError("map operation: [HWC2CHW] failed. Failed to allocate memory for tensor."),
        RuntimeError("Memory not enough: current free memory size[1048576] is smaller than required size[4194304]"),
        RuntimeError("#umsg#Memory not enough:#umsg#Device(id:0) memory isn't enough and alloc failed, kernel name: x"),
        RuntimeError("CUDA Error: cudaMalloc failed | Error Number: 2 out of memory"),
        RuntimeError("cuDNN Error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("Out of memory, Alloc GE memory failed, size: 8589934592"),
        RuntimeError("Call rt api rtMalloc failed, error code [207001]"),
        RuntimeError("Allocate device memory failed!"),
    ],
    ids=lambda error: str(error)[:40],
)
def test_messages_of_all_devices_are_recognised(error):
    explained = explain_out_of_memory(error, 48)
    assert isinstance(explained, ValueError)
    for part in ("batch_size=48", "--batch_size", "--gradient_accumulation_steps", "--image_resize", "--num_parallel_"):
        assert part in str(explained)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("out of memory"),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("For 'Conv2D', the input channels must be 3, but got 1"),
        RuntimeError("Exception thrown from dataset pipeline. map operation: [Decode] failed. image decode failed."),
        RuntimeError("The memory format of the input is not supported; the shape is not enough"),
        KeyboardInterrupt(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_other_errors_are_not_explained(error):
    assert explain_out_of_memory(error, 48) is None


def test_the_slope_and_its_error_are_the_regressions():
    step = np.arange(20, 2001, 20)
    noise = np.random.default_rng(0).standard_normal(len(step)) * 50
    samples = np.stack([step, 5000 + 3 * step + noise], axis=1)
    samples[step < 200, 1] = 0  # the warm-up is excluded
    value, error = benchmark.slope(samples, 200)
    kept = step >= 200
    coefficients, covariance = np.polyfit(step[kept], samples[kept, 1], 1, cov="unscaled")
    residual = samples[kept, 1] - np.polyval(coefficients, step[kept])
    assert value == pytest.approx(coefficients[0])
    assert error == pytest.approx(np.sqrt(covariance[0, 0] * residual @ residual / (kept.sum() - 2)))


@pytest.mark.slow
@pytest.mark.parametrize("mode, steps", [(0, 400), (1, 240)], ids=benchmark.MODES)
def test_memory_does_not_grow_with_training_and_validation(mode, steps):
    samples, _ = benchmark.measure(mode, validate=True, steps=steps)
    assert benchmark.slope(samples, WARMUP)[0] < MOST_KB[mode]


@pytest.mark.slow
def test_a_leak_of_one_array_per_step_is_noticed():
    samples, _ = benchmark.measure(0, validate=False, steps=240, leak_kb=LEAK_KB)
    assert benchmark.slope(samples, WARMUP)[0] > MOST_KB[0]


def test_only_a_lack_of_memory_is_explained():
    with pytest.raises(ValueError, match="out of memory with batch_size=64"), memory_explained(64):
        raise MemoryError
    with pytest.raises(RuntimeError, match="something else"), memory_explained(64):
        raise RuntimeError("something else")
