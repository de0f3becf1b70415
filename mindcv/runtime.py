"""Device, execution mode, seed, and joining other processes: the only file that touches MindSpore's context."""

import atexit
import contextlib
import ctypes
import logging
import os
import random
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.communication import get_group_size, get_rank, init
from mindspore.device_context.gpu import op_precision

from mindcv.distributed import ALONE, World, is_meeting_point, joined_size

MODES = {0: ms.GRAPH_MODE, 1: ms.PYNATIVE_MODE}
DEVICES = ("Ascend", "GPU", "CPU")  # best first
_MOST_NUMBERS = 15  # that processes add at once
_PRIORITY_OF_CALLER = 10  # a `nice` value: 0 is the default, 19 the lowest priority


def setup_runtime(
    *,
    mode: int = 0,
    device_target: str = "auto",
    seed: int = 42,
    deterministic: bool = False,
    tf32: bool | None = None,
) -> str:
    """Set mode, device and seed. Call it before any Cell exists: batch norm is built differently for each mode.

    Args:
        mode: 0 for Graph, 1 for Pynative.
        device_target: "Ascend", "GPU", "CPU", or "auto" for the first of these that is available.
        seed: of MindSpore, NumPy and Python's random.
        deterministic: ask MindSpore for operators that give the same bits each time, for the rest of the process. A
            CPU's do so anyway.
        tf32: whether a GPU may round the float32 inputs of convolutions and matrix products to TF32, which has 10 bits
            of mantissa. None: MindSpore's default, in convolutions only. Other devices have no TF32.
    Returns:
        The device in use, one of DEVICES.
    Raises:
        ValueError: if the device is not available; the message lists those that are.
        RuntimeError: if `ms.set_deterministic(False)` was called before, and it is to be deterministic.
    """
    if mode not in MODES:
        raise ValueError(f"mode must be 0 (Graph) or 1 (Pynative), got {mode!r}.")
    ms.set_context(mode=MODES[mode])
    ms.set_seed(seed)
    device = _choose_device(device_target)
    if deterministic and ms.get_context("deterministic") != "ON":  # may be set once in a process
        ms.set_deterministic(True)
    if device == "GPU" and tf32 is not None:
        op_precision.conv_allow_tf32(tf32)
        op_precision.matmul_allow_tf32(tf32)
    if device == "CPU":
        _keep_memory_in_one_block()
    if device == "CPU" and mode == 1:
        # Asynchronous dispatch costs more than it hides: its threads sleep between operators. Synchronously, an SK
        # layer of 128 x 56 x 56 takes 0.34 s instead of 2.3 s, forward and backward (benchmarks/formulations.py,
        # MindSpore 2.10, two cores).
        ms.runtime.launch_blocking()
        _make_way_for_kernels()
    atexit.unregister(_silence_cell_teardown)
    atexit.register(_silence_cell_teardown)
    return device


def join() -> World:
    """Join the processes that msrun or `mindcv.launch` has started together; alone if this process is alone.

    Call it after `setup_runtime`, and before any tensor exists. In the process that only brings the others together it
    returns when they have ended.

    Raises:
        ValueError: if the others do not come, or MindSpore has no communication for the device.
    """
    size = joined_size()
    if size is None:
        return ALONE
    # A CPU's exchange fails if a process comes 30 s after another, as after a long save or download (MindSpore 2.10).
    os.environ.setdefault("MS_CPU_COMM_OP_TIMEOUT", str(10**7))
    atexit.register(_silence_goodbye)
    try:
        init()
    except RuntimeError as error:
        raise ValueError(f"the {size} processes could not join: {str(error).splitlines()[0]}") from error
    if is_meeting_point():
        return ALONE
    ms.set_auto_parallel_context(parallel_mode=ms.ParallelMode.DATA_PARALLEL, gradients_mean=True)
    return World(get_rank(), get_group_size(), _add)


def rank() -> int:
    """Return the number of this process among those that train together; 0 if it is alone."""
    return int(get_rank()) if joined_size() else 0


def random_state() -> dict[str, Any]:
    """Return the state of Python's, NumPy's and MindSpore's global random generators, JSON-compatible.

    This package does not use them in training: data and random layers have their own generators. Users' code may.
    """
    version, words, gauss = random.getstate()
    numpy_state = np.random.get_state(legacy=False)
    key = numpy_state["state"]["key"].tolist()
    return {
        "python": [version, list(words), gauss],
        "numpy": {**numpy_state, "state": {**numpy_state["state"], "key": key}},
        "mindspore": ms.get_rng_state().asnumpy().tolist(),
    }


def set_random_state(state: Mapping[str, Any]) -> None:
    """Restore what `random_state` returned."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    key = np.asarray(state["numpy"]["state"]["key"], np.uint32)
    np.random.set_state({**state["numpy"], "state": {**state["numpy"]["state"], "key": key}})
    ms.set_rng_state(Tensor(np.asarray(state["mindspore"], np.uint8)))


def present_devices() -> list[str]:
    """Return the devices of this machine that MindSpore can use."""
    return [device for device in DEVICES if _try_device(device)]


def on_cpu() -> bool:
    """Return whether Cells built now will run on a CPU."""
    return ms.get_context("device_target") == "CPU"


def on_gpu() -> bool:
    """Return whether Cells built now will run on a GPU."""
    return ms.get_context("device_target") == "GPU"


def return_free_memory() -> None:
    """Return memory that glibc's malloc keeps after it was freed to the system (no effect with another C library).

    Compiling allocates millions of small blocks; most of the freed ones lie between blocks still in use.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _add(numbers: Sequence[float]) -> list[float]:
    # A CPU adds only float16 and float32 over processes (MindSpore 2.10), so the bits are gathered and added here.
    own = np.zeros(_MOST_NUMBERS + 1)
    own[: len(numbers) + 1] = [len(numbers), *numbers]
    gathered = ops.AllGather()(Tensor(own.view(np.int32))).asnumpy().view(np.float64).reshape(-1, len(own))
    assert (gathered[:, 0] == len(numbers)).all(), "the processes are at different places of the program"
    return gathered[:, 1 : len(numbers) + 1].sum(axis=0).tolist()


def _silence_goodbye() -> None:
    # MindSpore's network threads log that they end (2.10), at any log level.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)


def _choose_device(device_target: str) -> str:
    if device_target == "auto":
        return next(device for device in DEVICES if _try_device(device))
    if device_target not in DEVICES:
        raise ValueError(f"device_target must be one of auto, {', '.join(DEVICES)}, got {device_target!r}.")
    if not _try_device(device_target):
        raise ValueError(
            f"device {device_target} is not available here; present: {', '.join(present_devices())}. MindSpore finds "
            "one only if its driver and libraries are installed. --device_target=auto uses the best one present."
        )
    return device_target


def _keep_memory_in_one_block() -> None:
    """Reserve a block for MindSpore's memory pool that is larger than a step (Linux only, where reserving is free).

    By default the pool grows by blocks of 1 GB, which the steps fill in varying order, until most pages of all blocks
    were used: a training step of sknet50 at 224x224, batch 8, uses at most 1.4 GB, but held 2.2 GB. A quarter of the
    machine's memory is reserved, and the same for a pool of MindSpore's that stays empty; with all of it, `fork` fails.
    Beyond that, and with a limited address space (`ulimit -v`), the pool grows by blocks as before.
    """
    if sys.platform != "linux":
        return
    import resource  # not on Windows

    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        return
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    with contextlib.suppress(RuntimeError):  # already set, by an earlier call or by the caller
        ms.runtime.set_memory(init_size=f"{machine / 2:.2f}GB")


def _make_way_for_kernels() -> None:
    """Lower the priority of this thread below that of MindSpore's compute threads, permanently (Linux only).

    In Pynative mode the calling thread waits for an operator in a loop of sched_yield (MindSpore 2.10), on one of the
    computing cores. At a low priority it frees that core: a training step of sknet50 takes 0.8 to 0.95 of the time on
    two cores (benchmarks/steps.py). It is not the lowest priority because other busy programs would slow this mode even
    more. Threads and processes started later inherit it.
    """
    if sys.platform == "linux":
        # Start the compute threads, which keep the present priority and signal mask: signal handlers must not run on
        # threads that compute (see `Interruption`).
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
        (Tensor(0) + 1).asnumpy()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        thread = threading.get_native_id()
        if os.getpriority(os.PRIO_PROCESS, thread) < _PRIORITY_OF_CALLER:  # only root may raise it again
            os.setpriority(os.PRIO_PROCESS, thread, _PRIORITY_OF_CALLER)


def _try_device(device: str) -> bool:
    # MindSpore logs the missing libraries of each absent device.
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        ms.set_device(device)
    except RuntimeError as error:
        # Once an operator has run the device is fixed, and setting even the same one is an error (MindSpore 2.10).
        return "has been initialized" in str(error) and ms.get_context("device_target") == device
    finally:
        logging.disable(before)
    return True


def _silence_cell_teardown() -> None:
    # Cells still alive when modules are torn down print "Exception ignored in Cell.__del__" (MindSpore 2.10).
    if hasattr(nn.Cell, "__del__"):
        delattr(nn.Cell, "__del__")
