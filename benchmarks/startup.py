"""Start-up time of a program: the first start, and the next one, which reuses the compiled networks.

    python benchmarks/startup.py [--only train-32x32]

- train: from the command `python train.py --model=sknet50` to its first finished step, the loss read.
- validate, infer: the whole program, over 64 images.
- help: `python train.py --help`, which does not import MindSpore; nothing is cached.

Each round has its own cache folder, empty at first: first start, next start, first start, next start, ... The disk
cache of the operating system is warm throughout.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from harness import ROOT, Table, parse_arguments, ratio, spread, spread_of_ratio

CASES = ("train-32x32", "train-224x224", "validate-32x32", "infer-32x32")
TARGET = 0.4


def until_first_step(arguments: Sequence[str]) -> None:
    """Run train.py up to the end of its first step, and print the clock then."""
    sys.path.insert(0, str(ROOT))
    sys.argv = [str(ROOT / "train.py"), *arguments]
    import mindcv  # noqa: F401  (first: it sets what MindSpore reads when it is imported)
    from mindcv.engine import TrainStep

    step = TrainStep.__call__

    def stop_after(self, *batch):
        loss, *_ = step(self, *batch)
        loss.asnumpy()
        print(f"\nfirst step done at {time.monotonic()}", flush=True)
        os._exit(0)  # a normal exit takes extra time

    TrainStep.__call__ = stop_after
    import train
    from mindcv.script import run_script

    run_script(train.main)


def start(line: Sequence[str], cache: Path) -> float:
    """Seconds that a program takes, or a training until its first step."""
    environment = {**os.environ, "MINDCV_CACHE": str(cache), "TMPDIR": str(cache.parent)}
    begin = time.monotonic()
    done = subprocess.run([sys.executable, *line], cwd=cache.parent, env=environment, capture_output=True, text=True)
    end = time.monotonic()
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, line))} failed:\n{done.stdout}{done.stderr}")
    _, said, when = done.stdout.rpartition("first step done at ")
    return (float(when) if said else end) - begin


def command(case: str, model: str, folder: Path, images: int) -> list[str]:
    """The command line of a case, after the interpreter; prepares what it needs."""
    script, _, size = case.partition("-")
    side = size.partition("x")[0]
    shape = [f"--batch_size={32 if int(side) < 100 else 8}", f"--num_samples={images}", f"--image_resize={side}"]
    train = [f"--model={model}", "--dataset=digits", f"--ckpt_save_dir={folder / 'ckpt'}", *shape]
    if script == "train":
        return [__file__, "--work", json.dumps(train)]
    checkpoint = folder / "ckpt" / f"{model}-last.ckpt"
    if not checkpoint.exists():
        once = ["--epoch_size=1", "--warmup_epochs=0", "--no-val_while_train", "--no-compile_cache"]
        start([str(ROOT / "train.py"), *train, *once], folder / "unused")
    if script == "validate":
        return [str(ROOT / "validate.py"), f"--ckpt_path={checkpoint}", *shape]
    photos = folder / "photos"
    if not photos.exists():
        from PIL import Image

        photos.mkdir()
        for number in range(images):
            Image.new("RGB", (48, 48), (number, 2 * number, 255 - number)).save(photos / f"{number}.png")
    return [str(ROOT / "infer.py"), f"--ckpt_path={checkpoint}", f"--images={photos}", shape[0], shape[2]]


def measure(table: Table, case: str, model: str, rounds: int, images: int) -> None:
    """Starts in turn: with an empty cache, and again with the cache that this has filled."""
    with tempfile.TemporaryDirectory() as name:
        line = command(case, model, Path(name), images)
        first, later, kept = [], [], 0
        for number in range(rounds):
            cache = Path(name) / f"cache {number}"
            first.append(start(line, cache))
            later.append(start(line, cache))
            kept = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    table.add(
        f"{model}: {case}",
        spread(first, 1),
        spread(later, 1),
        spread_of_ratio(later, first),
        f"{TARGET}",
        f"{kept / 1e6:.1f}",
        first=first,
        later=later,
        ratio=ratio(later, first),
        kept_bytes=kept,
    )


def main() -> None:
    arguments = parse_arguments(
        __doc__, rounds=5, add=lambda p: p.add_argument("--only", choices=CASES, action="append", help="default: all")
    )
    if arguments.work:
        until_first_step(json.loads(arguments.work))
        return
    table = Table(
        arguments.out,
        "startup",
        f"Seconds of a start with an empty cache and of the next one, Graph mode, median (lowest - highest) of "
        f"{arguments.rounds}: training until the first step is done, validate.py and infer.py until their end.",
        ["program", "first start, s", "next start, s", "next / first", "target", "kept, MB"],
        smoke=arguments.smoke,
    )
    with tempfile.TemporaryDirectory() as name:
        line = [str(ROOT / "train.py"), "--help"]
        seconds = [start(line, Path(name) / "cache") for _ in range(arguments.rounds)]
    table.add("train.py --help", spread(seconds, 2), "", "", "", "", first=seconds)
    for case in ("train-32x32",) if arguments.smoke else arguments.only or CASES:
        measure(table, case, "skresnet18" if arguments.smoke else "sknet50", arguments.rounds, 64)


if __name__ == "__main__":
    main()
