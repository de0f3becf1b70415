"""Device, execution mode and seed: the only file that touches MindSpore's context."""

import atexit
import contextlib
import ctypes
import logging
import os
import random
import signal
import sys
import threading
from collections.abc import Mapping
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

MODES = {0: ms.GRAPH_MODE, 1: ms.PYNATIVE_MODE}
DEVICES = ("Ascend", "GPU", "CPU")  # best first
_PRIORITY_OF_CALLER = 10  # as `nice` has them: 0 is the usual one, 19 the lowest


def setup_runtime(*, mode: int = 0, device_target: str = "auto", seed: int = 42) -> str:
    """Choose mode, device and seed. Call it before any Cell exists: batch norm is built differently for each mode.

    Args:
        mode: 0 for Graph, 1 for Pynative.
        device_target: "Ascend", "GPU", "CPU", or "auto" for the first of these that is present.
        seed: of MindSpore, NumPy and Python's random.
    Returns:
        The device in use, one of DEVICES.
    Raises:
        ValueError: if the device is absent; the message says which are present.
    """
    if mode not in MODES:
        raise ValueError(f"mode must be 0 (Graph) or 1 (Pynative), got {mode!r}.")
    ms.set_context(mode=MODES[mode])
    ms.set_seed(seed)
    device = _choose_device(device_target)
    if device == "CPU":
        _keep_memory_in_one_block()
    if device == "CPU" and mode == 1:
        # Asynchronous dispatch puts its threads to sleep between operators; waking them costs more than it hides. In
        # step with them, an SK layer of 128 x 56 x 56 takes 0.34 s instead of 2.3 s, forward and backward
        # (benchmarks/formulations.py, MindSpore 2.10, two cores).
        ms.runtime.launch_blocking()
        _make_way_for_kernels()
    atexit.unregister(_silence_cell_teardown)
    atexit.register(_silence_cell_teardown)
    return device


def random_state() -> dict[str, Any]:
    """The state of Python's, NumPy's and MindSpore's global random generators, JSON-compatible.

    Nothing in this package draws from them while it trains: data and random layers have generators of their own. Code
    that is added to it may.
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
    """The kinds of devices that this machine has and MindSpore can use."""
    return [device for device in DEVICES if _try_device(device)]


def on_cpu() -> bool:
    """Whether Cells built now will run on a CPU."""
    return ms.get_context("device_target") == "CPU"


def return_free_memory() -> None:
    """Give back to the system what glibc's malloc has kept of freed memory (nothing with another C library).

    Compiling allocates by the million small blocks, and most of what it frees lies between blocks that stay.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _choose_device(device_target: str) -> str:
    if device_target == "auto":
        return next(device for device in DEVICES if _try_device(device))
    if device_target not in DEVICES:
        raise ValueError(f"device_target must be one of auto, {', '.join(DEVICES)}, got {device_target!r}.")
    if not _try_device(device_target):
        raise ValueError(
            f"device {device_target} is not available here; present: {', '.join(present_devices())}. MindSpore finds "
            "one only if its driver and libraries are installed. Use --device_target=auto to take the best one present."
        )
    return device_target


def _keep_memory_in_one_block() -> None:
    """Let MindSpore's memory pool reserve more at once than a step needs (Linux only, where a reserve costs nothing).

    By default it grows by blocks of 1 GB, and one step after another fills them in another order, so that in the end
    most pages of all blocks have been used: a training step of sknet50 at 224x224, batch 8, has 1.4 GB in use at most,
    and held 2.2 GB. Reserved are a quarter of the machine's memory, and the same for a pool of MindSpore's that stays
    empty: with all of it, `fork` is refused. Beyond that the pool grows as before, and so it does from the start where
    the address space is limited (`ulimit -v`).
    """
    if sys.platform != "linux":
        return
    import resource  # which Windows has not

    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        return
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    with contextlib.suppress(RuntimeError):  # set before: by an earlier call, or by the caller, whose choice holds
        ms.runtime.set_memory(init_size=f"{machine / 2:.2f}GB")


def _make_way_for_kernels() -> None:
    """Lower the priority of this thread below that of MindSpore's compute threads, for good (Linux only).

    In Pynative mode the thread that calls an operator waits for it in a loop of sched_yield (MindSpore 2.10), on one of
    the cores that compute. At a low priority it gives that core up: a training step of sknet50 takes 0.8 to 0.95 of the
    time on two cores (benchmarks/steps.py). Where other programs keep all cores busy this mode is slow either way, and
    slower still at a low priority, hence not the lowest one. Threads and processes started later inherit it.
    """
    if sys.platform == "linux":
        # Starts the compute threads, which keep the priority of now, and block what the thread that starts them blocks:
        # signal handlers are not for threads that compute (see `Interruption`).
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
        (Tensor(0) + 1).asnumpy()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        thread = threading.get_native_id()
        if os.getpriority(os.PRIO_PROCESS, thread) < _PRIORITY_OF_CALLER:  # nobody but root may go back up
            os.setpriority(os.PRIO_PROCESS, thread, _PRIORITY_OF_CALLER)


def _try_device(device: str) -> bool:
    # MindSpore logs what it misses of each absent device: news only for somebody who asked for that device.
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        ms.set_device(device)
    except RuntimeError as error:
        # Once an operator has run the device is fixed, and MindSpore refuses even to be given the same one again.
        return "has been initialized" in str(error) and ms.get_context("device_target") == device
    finally:
        logging.disable(before)
    return True


def _silence_cell_teardown() -> None:
    # Cells still alive when modules are torn down print "Exception ignored in Cell.__del__" (MindSpore 2.10).
    if hasattr(nn.Cell, "__del__"):
        delattr(nn.Cell, "__del__")
