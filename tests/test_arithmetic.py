"""What the last bits of a run depend on: determinism, TF32, the device and the version; what is said, and recorded."""

import os
import subprocess
from pathlib import Path

import mindspore
import programs
import pytest
from config_lines import train
from script_runs import small_run

import assemble
import resume
import train as train_script
from assemble import Arithmetic
from mindcv import runtime
from mindcv.checkpoint import Checkpoint, read_checkpoint


def test_determinism_leaves_a_cpus_bits_as_they_are_and_is_recorded(tmp_path, tiny_model):
    assert train_script.main(small_run(tmp_path / "plain", "--epoch_size=1")) == 0
    flags = ("--epoch_size=1", "--deterministic", "--tf32")  # which hold for the rest of a process
    line = programs.command("run_with_tiny", "train", *small_run(tmp_path / "asked", *flags))
    done = subprocess.run(line, env=os.environ | programs.ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "tf32 has no effect on CPU" in done.stdout
    plain, asked = (read_checkpoint(tmp_path / name / "tiny_sknet-last.ckpt") for name in ("plain", "asked"))
    assert {k: v.tobytes() for k, v in plain.weights.items()} == {k: v.tobytes() for k, v in asked.weights.items()}
    for checkpoint in (plain, asked):
        assert checkpoint.info["training"].items() >= Arithmetic("CPU", 1, True, "none")._asdict().items()
    assert (asked.info["config"]["deterministic"], plain.info["config"]["deterministic"]) == (True, False)


@pytest.mark.parametrize("tf32", [None, True, False])
def test_tf32_is_set_for_convolutions_and_products_of_a_gpu(monkeypatch, tf32):
    done = []
    monkeypatch.setattr(runtime, "_choose_device", lambda target: "GPU")
    for name in ("conv_allow_tf32", "matmul_allow_tf32"):
        monkeypatch.setattr(runtime.op_precision, name, lambda value, name=name: done.append((name, value)))
    runtime.setup_runtime(tf32=tf32)
    assert done == ([] if tf32 is None else [("conv_allow_tf32", tf32), ("matmul_allow_tf32", tf32)])


@pytest.mark.parametrize(
    ("device", "flags", "said", "arithmetic"),
    [
        ("CPU", ("--deterministic", "--compile_cache", "--tf32=off"), "", (True, "none")),
        ("CPU", ("--tf32",), "tf32 has no effect on CPU, which has no TF32\n", (True, "none")),
        ("GPU", (), "on GPU the same seed need not give the same bits: a run that", (False, "convolutions")),
        ("GPU", ("--deterministic", "--tf32"), "was never measured", (True, "convolutions and matrix products")),
        ("GPU", ("--tf32=false",), "on GPU the same seed", (False, "none")),
        ("GPU", ("--compile_cache",), "compile_cache has no effect on GPU", (False, "convolutions")),
        ("Ascend", ("--tf32",), "tf32 has no effect on Ascend", (False, "none")),
    ],
)
def test_what_a_device_cannot_do_or_promise_is_said(monkeypatch, capsys, device, flags, said, arithmetic):
    asked = {}
    monkeypatch.setattr(assemble, "setup_runtime", lambda **options: asked.update(options) or device)
    config = train(*flags)
    assert assemble.start_runtime(config)[0][2:] == arithmetic
    printed = capsys.readouterr().out
    assert said in printed and bool(said) == bool(printed)
    assert asked == {key: getattr(config.runtime, key) for key in asked} and "tf32" in asked


GPU = Arithmetic("GPU", 0, False, "convolutions")


@pytest.mark.parametrize(
    ("now", "version", "said"),
    [
        (GPU, mindspore.__version__, ""),
        (
            GPU._replace(device="CPU", deterministic=True, tf32="none"),
            mindspore.__version__,
            "on GPU and continues on CPU",
        ),
        (
            GPU._replace(tf32="none"),
            mindspore.__version__,
            "on GPU, TF32 in convolutions and continues on GPU, no TF32",
        ),
        (
            GPU._replace(deterministic=True),
            mindspore.__version__,
            "on GPU, without --deterministic and continues on GPU, with --deterministic",
        ),
        (GPU, "2.0.1", f"on GPU, MindSpore 2.0.1 and continues on GPU, MindSpore {mindspore.__version__}"),
    ],
)
def test_resuming_where_the_last_bits_differ_is_said(capsys, now, version, said):
    run = Checkpoint(Path("a"), {}, {"training": GPU._asdict(), "versions": {"mindspore": version}}, names="mindcv-sk")
    resume.say_if_rounding_changes(run, now)
    expected = f"the run was {said}: results agree up to rounding, not to the last bit\n" if said else ""
    assert capsys.readouterr().out == expected


@pytest.mark.parametrize("run", [None, Checkpoint(Path("a"), {}, {"training": {}}, names="mindcv-sk")])
def test_a_run_that_recorded_nothing_of_it_resumes_in_silence(capsys, run):
    resume.say_if_rounding_changes(run, GPU)
    assert capsys.readouterr().out == ""
