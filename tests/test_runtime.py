"""Devices, modes and the public names of the package."""

import os
import subprocess
import sys
from pathlib import Path

import mindspore as ms
import programs
import pytest

import mindcv
from mindcv.runtime import setup_runtime

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("number, context", [(0, ms.GRAPH_MODE), (1, ms.PYNATIVE_MODE)])
def test_mode_numbers_are_mindcvs(number, context):
    setup_runtime(mode=number, device_target="CPU")
    assert ms.get_context("mode") == context
    ms.set_context(mode=ms.GRAPH_MODE)


def test_auto_chooses_an_available_device():
    assert setup_runtime(device_target="auto") in ("Ascend", "GPU", "CPU")


@pytest.mark.parametrize("device", ["Ascend", "GPU"])
def test_an_unavailable_device_is_an_error_that_lists_the_available_ones(device):
    if setup_runtime(device_target="auto") == device:
        pytest.skip(f"{device} is present here")
    with pytest.raises(ValueError, match=f"device {device} is not available here; present: .*CPU"):
        setup_runtime(device_target=device)


@pytest.mark.parametrize("options, message", [({"mode": 2}, "mode must be 0"), ({"device_target": "TPU"}, "TPU")])
def test_illegal_settings_are_named_in_the_error(options, message):
    with pytest.raises(ValueError, match=message):
        setup_runtime(**options)


def test_setup_seeds_numpy_and_weights():
    weights = []
    for seed in (3, 3, 4):
        setup_runtime(seed=seed, device_target="CPU")
        weights.append(mindcv.create_model("resnet18", num_classes=2).classifier.weight.asnumpy().tolist())
    assert weights[0] == weights[1] != weights[2]


def test_probing_for_devices_prints_nothing():
    code = "import mindcv; print(mindcv.setup_runtime())"
    environment = {k: v for k, v in os.environ.items() if k != "GLOG_v"}
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, env=environment)
    assert (ended.stdout.strip() in ("Ascend", "GPU", "CPU"), ended.stderr) == (True, "")


def test_public_names_resolve_and_unknown_ones_are_errors():
    for name in mindcv.__all__:
        assert getattr(mindcv, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'create_modle'"):
        _ = mindcv.create_modle


def test_setup_is_possible_after_an_operator_has_run():
    code = (
        "import mindcv, mindspore as ms; (ms.Tensor([1.0]) + 1).asnumpy(); "
        "print(mindcv.setup_runtime(device_target='CPU'), mindcv.setup_runtime())"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (ended.stdout, ended.returncode) == ("CPU CPU\n", 0), ended.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own elsewhere")
@pytest.mark.parametrize("mode, before, lowest", [(0, 5, 5), (1, 5, 10), (1, 15, 15)])
def test_the_waiting_thread_has_lower_priority_than_kernels_in_pynative_mode(mode, before, lowest):
    before = max(before, os.getpriority(os.PRIO_PROCESS, 0))  # the new process starts with it and must not raise it
    source = f"""
import os, threading, time
import mindcv
os.setpriority(os.PRIO_PROCESS, 0, {before})
mindcv.setup_runtime(mode={mode}, device_target="CPU")
from mindspore import ops
ops.ones((64, 64)).sum().asnumpy()

def priorities():
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{{task}}/comm") as name:
            if name.read().startswith(("KernelThread", "ActorThread")):
                yield os.getpriority(os.PRIO_PROCESS, int(task))

deadline = time.monotonic() + 10
while not [*priorities()] and time.monotonic() < deadline:
    time.sleep(0.1)  # until they have given themselves their names
print(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()), {{*priorities()}})
"""
    done = subprocess.run([sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == f"{max(before, lowest)} {{{before}}}\n", done.stderr


def run_memory(*limit):
    environment = os.environ | programs.ENVIRONMENT | {"MS_DEV_RUNTIME_CONF": "memory_statistics:True"}
    line = programs.command("memory_pool", *limit)
    return subprocess.run(line, env=environment, capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.mark.skipif(sys.platform != "linux", reason="done on Linux only, where reserving memory takes none")
def test_the_memory_pool_is_one_block_and_may_still_fork():
    lines = run_memory().splitlines()
    assert {"1.0", "child ended with 7"} <= {*lines}
    (pool,) = (line for line in lines if "Common mem pool info" in line)
    assert "block counts:1," in pool


@pytest.mark.skipif(sys.platform != "linux", reason="done on Linux only, where reserving memory takes none")
def test_the_memory_pool_grows_where_the_address_space_is_limited():
    lines = run_memory(12 * 2**30).splitlines()
    assert {"1.0", "child ended with 7"} <= {*lines}
    (pool,) = (line for line in lines if "Common mem pool info" in line)
    assert "block size:1024M" in pool
