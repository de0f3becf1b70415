"""`train.py --check_device`: what it says of devices that are there, absent, wrong or dying, and its exit code."""

import re
import sys
from pathlib import Path

import mindspore
import numpy as np
import pytest
import reference as textbook
from mindspore import Tensor, ops

import train
from mindcv.devices import check, libraries, reference, trial
from mindcv.devices.libraries import CUDA_LIBRARIES, ascend_lines, cuda_lines
from mindcv.devices.report import Line
from mindcv.engine import DeviceStep, TrainStep

LIBRARIES = Path(mindspore.__file__).parent / "lib" / "plugin"


def test_the_cpu_works(capsys):
    assert train.main(["--check_device", "--device_target=CPU", "--mode=1", "--lr=0.3"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "lr has no effect with check_device=true"
    assert "NumPy 1." in said[1] and "MindSpore 2." in said[1] and "Python 3." in said[1]
    verdicts = [line.split(":")[0].split() for line in said[1:-1]]
    expected = "ok software, ok device, ok float32, ok guard, ok float16, skipped bfloat16, skipped all-reduce"
    assert ", ".join(map(" ".join, verdicts)) == expected
    assert said[-1] == "the device works"


def test_an_absent_gpu_is_told_by_name(monkeypatch, capsys):
    monkeypatch.delenv("CUDA_HOME", raising=False)
    monkeypatch.setattr(libraries, "_loads", lambda name: name.startswith("libcublas"))
    monkeypatch.setattr(libraries, "_CUDA_FOLDER", Path("no-such-folder"))
    monkeypatch.setattr(check, "_try_device", lambda options: iter([Line("device", "FAIL", "absent")]))
    assert train.main(["--check_device", "--device_target=GPU"]) == 1
    said = capsys.readouterr().out
    assert "FAIL     CUDA_HOME: not set: MindSpore asks $CUDA_HOME/bin/nvcc" in said
    assert "FAIL     NVIDIA driver: libcuda.so.1 not found" in said
    assert "FAIL     libcudnn.so.8: not found; nvidia-cudnn-cu11==8.9.6.50 on PyPI has it" in said
    assert "ok       libcublas.so.11: found" in said
    assert said.endswith("the device does not work; docs/devices.md says what it needs\n")


def test_auto_says_briefly_why_other_devices_are_not_used(monkeypatch, capsys):
    monkeypatch.setattr(
        check, "_NEEDS", {"GPU": lambda: [Line("a", "FAIL", ""), Line("b", "FAIL", "")], "Ascend": list}
    )
    monkeypatch.setattr(check, "_try_device", lambda options: iter([Line("device", "ok", "CPU")]))
    assert train.main(["--check_device"]) == 0
    assert "skipped  GPU: a and 1 more missing: --check_device --device_target=GPU" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("ending", "why"),
    [("kill -SEGV $$", "the process ended by SIGSEGV"), ("echo 'no kernel' >&2; exit 3", "exit code 3: no kernel")],
)
def test_a_device_that_ends_the_process_is_a_failure(monkeypatch, tmp_path, ending, why):
    python = tmp_path / "python"
    python.write_text(f"""#!/bin/sh\necho '["device", "ok", "GPU"]'\n{ending}\n""")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    options = {"device_target": "GPU", "mode": 0, "deterministic": True, "tf32": False}
    device, float32, *others = check._try_device(options)
    assert (device, float32.subject, float32.verdict) == (("device", "ok", "GPU"), "float32", "FAIL")
    assert float32.text.endswith(why)
    assert [line.verdict for line in others] == ["skipped"] * 4


@pytest.mark.parametrize("mode", ["pynative"], indirect=True)
@pytest.mark.parametrize("factor", [1.01, np.nan])
def test_a_wrong_gradient_is_a_failure(mode, monkeypatch, factor):
    loss, gradients = reference.loss_and_gradients(*reference.example())
    monkeypatch.setattr(reference, "loss_and_gradients", lambda *_: (loss, gradients))
    assert trial._try_step("float32", 1e-4).verdict == "ok"
    gradients["grouped.weight"][1] *= factor
    assert trial._try_step("float32", 1e-4).verdict == "FAIL"


@pytest.mark.parametrize("mode", ["pynative"], indirect=True)
@pytest.mark.parametrize("kind", [TrainStep, DeviceStep])
def test_a_step_that_lets_nan_through_is_a_failure(mode, monkeypatch, kind):
    monkeypatch.setattr(trial, "step_for_device", lambda: kind)
    assert trial._try_step("float32", 1e-4).verdict == "ok"
    assert trial._try_guard() == ("guard", "ok", "a step with NaN is noticed and changes none of 17 arrays")
    method = "_is_finite" if kind is DeviceStep else "_check"
    yes = Tensor(True)
    monkeypatch.setattr(kind, method, lambda *_: yes if kind is DeviceStep else (yes, ops.logical_not(yes)))
    line = trial._try_guard()
    assert line.verdict == "FAIL" and "not noticed" in line.text


def test_the_reference_is_the_textbooks_and_its_gradients_are_slopes():
    weights, images, labels = reference.example()
    exact = {name: array.astype(np.float64) for name, array in weights.items()}
    x = textbook.conv2d(images.astype(np.float64), exact["conv.weight"])
    x = textbook.relu(textbook.batch_norm(x, exact["norm.gamma"], exact["norm.beta"], None, None, training=True))
    x = textbook.conv2d(x, exact["grouped.weight"], groups=reference.GROUPS).mean((2, 3))
    probabilities = textbook.softmax(x @ exact["classifier.weight"].T + exact["classifier.bias"], 1)
    loss, gradients = reference.loss_and_gradients(weights, images, labels)
    assert loss == pytest.approx(-np.log(probabilities[range(4), labels]).mean(), rel=1e-12)
    for name, array in exact.items():
        slopes = []
        for sign in (1, -1):
            array.flat[3] += sign * 1e-6
            slopes.append(sign * reference.loss(exact, images, labels) / 2e-6)
            array.flat[3] -= sign * 1e-6
        assert gradients[name].flat[3] == pytest.approx(sum(slopes), rel=1e-5, abs=1e-8)


@pytest.mark.skipif(not (LIBRARIES / "libmindspore_gpu.so.11.6").exists(), reason="another version or system")
def test_the_listed_libraries_are_those_that_mindspore_is_linked_with():
    pattern = re.compile(rb"\0(lib(?:cu|nv)\w+\.so\.[.\d]+)(?=\0)")
    needed = {name.decode() for name in pattern.findall((LIBRARIES / "libmindspore_gpu.so.11.6").read_bytes())}
    assert needed - {"libcuda_ops.so.11"} == {"libcuda.so.1", *CUDA_LIBRARIES}
    ascend = (LIBRARIES / "libmindspore_ascend.so.2").read_bytes()
    ascend += (LIBRARIES / "ascend" / "libhccl_plugin.so").read_bytes()
    assert all(b"\0%s\0" % name.encode() in ascend for name in libraries.CANN_LIBRARIES)


@pytest.mark.parametrize(
    ("script", "verdict", "text"),
    [
        ("echo 'Cuda compilation tools, release 11.6, V11.6.124'", "ok", "CUDA 11.6 in "),
        ("echo 'Cuda compilation tools, release 12.4, V12.4.1'", "FAIL", "CUDA 12.4; MindSpore has libraries for"),
        ("echo 'Cuda compilation tools, release 10.1, V10.1.1'", "FAIL", "CUDA 10.1; MindSpore has libraries for"),
        ("exit 1", "FAIL", "no version"),
        (None, "FAIL", "there is no "),
    ],
)
def test_the_version_of_cuda_is_what_nvcc_says(monkeypatch, tmp_path, script, verdict, text):
    monkeypatch.setattr(libraries, "_loads", lambda name: True)
    (tmp_path / "bin").mkdir()
    if script:
        (tmp_path / "bin" / "nvcc").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / "nvcc").chmod(0o755)
    line = [*cuda_lines({"CUDA_HOME": str(tmp_path)})][1]
    assert (line.subject, line.verdict) == ("CUDA_HOME", verdict) and text in line.text


def test_the_driver_and_its_cards_are_named(monkeypatch, tmp_path):
    card = tmp_path / "gpus" / "0000:19:00.0"
    card.mkdir(parents=True)
    (card / "information").write_text("Model: \t\t NVIDIA H200\nIRQ: 1\n")
    (tmp_path / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.159  Tue\nGCC version: 12\n")
    monkeypatch.setattr(libraries, "_DRIVER", tmp_path)
    monkeypatch.setattr(libraries, "_loads", lambda name: True)
    assert next(cuda_lines({})) == ("NVIDIA driver", "ok", "580.159, NVIDIA H200")


def test_an_installed_package_outside_the_search_path_is_found(monkeypatch, tmp_path):
    (tmp_path / "nvidia" / "cudnn" / "lib").mkdir(parents=True)
    (tmp_path / "nvidia" / "cudnn" / "lib" / "libcudnn.so.8").touch()
    monkeypatch.setattr(libraries.sysconfig, "get_path", lambda name: tmp_path)
    monkeypatch.setattr(libraries, "_loads", lambda name: False)
    monkeypatch.setattr(libraries, "_CUDA_FOLDER", tmp_path)
    (line,) = (line for line in cuda_lines({}) if line.subject == "libcudnn.so.8")
    assert line.text == f"is in {tmp_path / 'nvidia' / 'cudnn' / 'lib'}, which LD_LIBRARY_PATH does not name"


def test_cann_is_looked_for_where_its_script_says(monkeypatch, tmp_path):
    monkeypatch.setattr(libraries, "_loads", lambda name: True)
    assert "set_env.sh" in next(ascend_lines({})).text
    assert next(ascend_lines({"ASCEND_HOME_PATH": str(tmp_path)})).verdict == "FAIL"
    (tmp_path / "compiler").mkdir()
    (tmp_path / "compiler" / "version.info").write_text("Version=8.5.0\nversion_dir=8.5.0\n")
    found = [*ascend_lines({"ASCEND_HOME_PATH": str(tmp_path)})]
    assert found[0] == ("CANN", "ok", "Version=8.5.0, version_dir=8.5.0") and {line[1] for line in found} == {"ok"}
