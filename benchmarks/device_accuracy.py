"""Does another device train as accurately as a CPU, and does it repeat itself? Three tables, one for each of --parts.

    python benchmarks/device_accuracy.py --device_target=GPU [--parts gradients repeat seeds] [--smoke]

gradients: logits, loss and the gradient of every parameter on the device and on the CPU, for the same weights and
    images; in both modes, at 32x32 and 224x224, with TF32 as MindSpore has it, and without.
repeat: how many arrays of a checkpoint differ between two runs of one seed, and after resuming one of them; with and
    without --deterministic, and the seconds of an epoch, which is the price of it.
seeds: top-1 on the digits of --rounds seeds, with TF32 and without.
"""

import argparse
import csv
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from digits_seeds import train
from harness import ROOT, Table, parse_arguments, spread

sys.path.insert(0, str(ROOT))
PARTS = ("gradients", "repeat", "seeds")
TF32 = {"MindSpore's": (), "off": ("--tf32=false",)}
_QUICK = ("--epoch_size=1", "--num_samples=70", "--image_resize=32", "--batch_size=16")


def largest_difference(array: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, as a share of the largest number expected; NaN if there is one."""
    return float(np.abs(array - expected).max() / max(np.abs(expected).max(), np.finfo(np.float32).tiny))


def compare_gradients(options: argparse.Namespace, table: Table) -> None:
    """A row for each mode, size and TF32: the device beside the CPU in the same mode."""
    with tempfile.TemporaryDirectory() as folder:
        for size in (32,) if options.smoke else (32, 224):
            for mode in (1,) if options.smoke else (0, 1):
                expected = _computed(folder, options, "CPU", mode, size, ())
                for tf32, flags in TF32.items():
                    found = _computed(folder, options, options.device_target, mode, size, flags)
                    shares = {name: largest_difference(found[name], expected[name]) for name in expected}
                    gradients = {name: share for name, share in shares.items() if name.startswith("gradient ")}
                    worst = max(gradients, key=lambda name: (np.isnan(gradients[name]), gradients[name]))
                    table.add(
                        f"{size}x{size}, {('Graph', 'Pynative')[mode]}",
                        tf32,
                        f"{shares['logits']:.1e}",
                        f"{shares['loss']:.1e}",
                        f"{statistics.median(gradients.values()):.1e}",
                        f"{gradients[worst]:.1e} ({worst.removeprefix('gradient ')})",
                        shares=shares,
                    )


def _computed(
    folder: str, options: argparse.Namespace, device: str, mode: int, size: int, flags: Sequence[str]
) -> Mapping[str, np.ndarray]:
    """The arrays that a process of its own computes on a device."""
    out = Path(folder) / "computed.npz"
    line = [sys.executable, __file__, f"--work={out}", f"--device_target={device}", f"--mode={mode}", f"--size={size}"]
    line += [f"--weights={Path(folder) / f'weights-{size}.npz'}", *["--smoke"] * options.smoke, *flags]
    subprocess.run(line, cwd=ROOT, check=True)
    with np.load(out) as arrays:
        return dict(arrays)


def compute(options: argparse.Namespace) -> None:
    """Write logits, loss and gradients of this process's device; the first process makes the weights."""
    import mindcv
    import mindspore as ms
    from mindspore import Tensor, nn

    tf32 = {"": None, "false": False}[options.tf32]
    mindcv.setup_runtime(mode=options.mode, device_target=options.device_target, tf32=tf32)
    network = mindcv.create_model("skresnet18" if options.smoke else "sknet50", num_classes=10)
    if options.weights.exists():
        with np.load(options.weights) as weights:
            for name, parameter in network.parameters_dict().items():
                parameter.set_data(Tensor(weights[name]))
    else:
        for name, parameter in network.parameters_dict().items():
            if name.endswith("gamma") and not parameter.asnumpy().any():  # or the gradients of its block are 0
                parameter.set_data(Tensor(np.full(parameter.shape, 0.5, np.float32)))
        np.savez(options.weights, **{name: p.asnumpy() for name, p in network.parameters_dict().items()})
    rng, batch = np.random.default_rng(0), 2 if options.smoke else 16
    images = Tensor(rng.standard_normal((batch, 3, options.size, options.size)).astype(np.float32))
    labels = Tensor(rng.integers(0, 10, batch).astype(np.int32))
    logits = network.set_train(False)(images).asnumpy()  # before a training pass changes the running statistics
    parameters = ms.ParameterTuple(network.trainable_params())
    forward = nn.WithLossCell(network, mindcv.create_loss())
    gradients_of = ms.value_and_grad(forward.set_train(True), None, parameters)
    loss, gradients = (ms.jit(gradients_of) if options.mode == 0 else gradients_of)(images, labels)
    named = {f"gradient {p.name}": g.asnumpy() for p, g in zip(parameters, gradients, strict=True)}
    np.savez(options.work, logits=logits, loss=loss.asnumpy(), **named)


def compare_repeats(options: argparse.Namespace, table: Table) -> None:
    """A row with --deterministic and one without: two runs of a seed, and one of them resumed after its first epoch."""
    flags = ["--model=skresnet18" if options.smoke else "--model=sknet50", f"--device_target={options.device_target}"]
    flags += ["--keep_checkpoint_max=2", "--epoch_size=2", *(_QUICK[1:] if options.smoke else ())]
    for deterministic in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            asked = [*flags, f"--deterministic={deterministic}".lower()]
            first, second, resumed = (Path(folder) / name for name in ("first", "second", "resumed"))
            for run in (first, second):
                _train(f"--ckpt_save_dir={run}", *asked)
            (half,) = first.glob("*-1.ckpt")
            _train(f"--ckpt_save_dir={resumed}", f"--resume={half}")
            with (first / "metrics.csv").open(newline="") as lines:
                seconds = [float(row["train_seconds"]) for row in csv.DictReader(lines)]
            arrays = _arrays(first)
            others = [_arrays(second), _arrays(resumed)]
            different = [sum(other[name].tobytes() != a.tobytes() for name, a in arrays.items()) for other in others]
            cells = (f"{count} of {len(arrays)}" for count in different)
            table.add("yes" if deterministic else "no", *cells, f"{seconds[-1]:.1f}", different=different)


def _train(*flags: str) -> None:
    subprocess.run([sys.executable, "train.py", *flags], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def _arrays(folder: Path) -> dict[str, np.ndarray]:
    """Weights and training state of a run's last checkpoint."""
    from mindcv.checkpoint import read_checkpoint

    (path,) = folder.glob("*-last.ckpt")
    checkpoint = read_checkpoint(path)
    return {**checkpoint.weights, **{f"state {name}": array for name, array in checkpoint.state.items()}}


def compare_seeds(options: argparse.Namespace, table: Table) -> None:
    """A row with TF32 and one without."""
    model, quick = ("skresnet18", _QUICK) if options.smoke else ("sknet50", ())
    for tf32, flags in TF32.items():
        asked = [f"--device_target={options.device_target}", *flags, *quick]
        runs = [train(model, seed, asked) for seed in range(1, options.rounds + 1)]
        last, best = [run.last for run in runs], [run.best for run in runs]
        table.add(tf32, spread(last, 2), spread(best, 2), last=last, best=best)


TABLES: dict[str, tuple[Any, str, tuple[str, ...]]] = {
    "gradients": (
        compare_gradients,
        "Largest differences from a CPU, as a share of the largest number, for the same weights and images.",
        ("size, mode", "TF32", "logits", "loss", "gradients, median", "gradients, worst"),
    ),
    "repeat": (
        compare_repeats,
        "Arrays of a checkpoint after two epochs of digits that differ between runs of one seed.",
        ("--deterministic", "started twice", "stopped and resumed", "seconds of epoch 2"),
    ),
    "seeds": (
        compare_seeds,
        "Top-1 on the digits in per cent, several seeds: median (lowest - highest).",
        ("TF32", "last epoch", "best epoch"),
    ),
}


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device_target", default="CPU", help="the device to compare with a CPU")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="the tables to make")
    for name, kind in (("mode", int), ("size", int), ("weights", Path), ("tf32", str)):
        parser.add_argument(f"--{name}", type=kind, default=None if kind is Path else kind(), help=argparse.SUPPRESS)


def main() -> None:
    options = parse_arguments(__doc__, rounds=5, add=_add)
    if options.work:
        compute(options)
        return
    for part in options.parts:
        make, title, columns = TABLES[part]
        name = f"device_{part}_{options.device_target}".lower()
        make(options, Table(options.out, name, f"{title} {options.device_target}.", columns, smoke=options.smoke))


if __name__ == "__main__":
    main()
