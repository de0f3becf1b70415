"""The share of training time spent waiting for data, and how much the data threads slow down the step.

    python benchmarks/data_wait.py [--case 224x224]

The step as train.py builds it, in Graph mode. An epoch on data, its start included, and as many steps on one fixed
batch take turns in one process. Waiting is the data_wait of train.py's metrics.csv: the time spent asking for the
next batch. Without spare cores the loader's threads also slow down the step itself: the ratio of the two step times
shows by how much. Takes about six minutes.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from data_loading import write_cifar, write_images
from harness import ROOT, Table, Worker, parse_arguments, serve, spread, spread_of_ratio

# Network, image side, batch, steps of an epoch, limit of the waiting share.
CASES = {"224x224": ("sknet50", 224, 8, 4, 0.03), "32x32": ("skresnet18", 32, 128, 12, 0.02)}
SMOKE = {"32x32": ("skresnet18", 32, 2, 2, 1.0)}


def make_step(case: str, folder: Path, *, smoke: bool) -> Callable[[], object]:
    sys.path.insert(0, str(ROOT))
    import mindcv  # first: it sets what MindSpore reads

    model, side, batch, steps, _ = (SMOKE if smoke else CASES)[case]
    mindcv.setup_runtime(mode=int(smoke), device_target="CPU")  # smoke: compiles nothing
    from mindspore import Tensor

    from assemble_data import build_training_loader
    from assemble_training import build_step
    from config import load_config
    from mindcv.engine import RunLength

    data = ["--dataset=cifar10", "--random_crop_padding=4"] if case == "32x32" else ["--dataset=folder"]
    options = [f"--model={model}", f"--data_dir={folder}", f"--image_resize={side}", f"--batch_size={batch}", *data]
    config = load_config([*options, f"--num_samples={steps * batch}"], prog="train")
    loader = build_training_loader(config, None, resumes=False)
    assert len(loader) == steps
    network = mindcv.create_model(model, num_classes=10)
    step, _ = build_step(config, network, RunLength(90, steps))
    step.set_train(True)
    fixed = next(loader.epoch(0))
    epoch = 0

    def run(images: object, labels: object) -> None:
        loss, finite, *_ = step(Tensor(images), Tensor(labels))
        loss.asnumpy(), finite.asnumpy()

    def both() -> dict[str, float]:
        nonlocal epoch
        epoch += 1
        start = time.perf_counter()
        for _ in range(steps):
            run(*fixed)
        alone = time.perf_counter() - start
        waits = []
        start = time.perf_counter()
        batches = loader.epoch(epoch)
        for _ in range(steps):
            asked = time.perf_counter()
            images, labels = next(batches)
            waits.append(time.perf_counter() - asked)
            run(images, labels)
        beside = time.perf_counter() - start
        batches.close()
        return {"alone": alone / steps, "beside": beside / steps, "first": waits[0], "later": sum(waits[1:]) / steps}

    return both


def measure(table: Table, case: str, folder: Path, rounds: int, *, smoke: bool) -> None:
    model, side, batch, steps, target = (SMOKE if smoke else CASES)[case]
    with Worker(
        sys.executable, __file__, "ours", "--case", case, "--data", str(folder), *["--smoke"] * smoke
    ) as worker:
        worker.ask()
        answers = [worker.ask() for _ in range(rounds)]
    beside, alone = ([answer[which] for answer in answers] for which in ("beside", "alone"))
    waited = [(answer["first"] / steps + answer["later"]) / answer["beside"] for answer in answers]
    first = [answer["first"] for answer in answers]
    # For an epoch of any length: only the first batch waits for the pipeline to start.
    later = [100 * answer["later"] / answer["beside"] for answer in answers]
    table.add(
        f"{model} {side}x{side} b{batch}", spread(alone), spread(beside), spread_of_ratio(beside, alone), steps,
        f"{spread([100 * share for share in waited], 2)} %", spread(first), f"{spread(later, 2)} %", f"{target:.0%}",
        case=case, alone=alone, beside=beside, waited=waited, first=first, later=later,
        median_waited=statistics.median(waited), target=target,
    )  # fmt: skip


def main() -> None:
    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--case", choices=CASES, help="default: all")
        parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)

    arguments = parse_arguments(__doc__, rounds=7, add=add)
    if arguments.work:
        return serve(lambda: make_step(arguments.case, arguments.data, smoke=arguments.smoke))
    table = Table(
        arguments.out, "data_wait", "Training steps in Graph mode, seconds, median (lowest - highest), 2 data threads.",
        ["training", "step, fixed batch", "step, with data", "ratio", "steps of an epoch", "waited", "first batch, s",
         "waited after it", "target"], smoke=arguments.smoke,
    )  # fmt: skip
    cases = SMOKE if arguments.smoke else CASES
    with tempfile.TemporaryDirectory() as folder:
        for case in [arguments.case] if arguments.case else cases:
            place = Path(folder) / case
            _, _, batch, steps, _ = cases[case]
            if case == "32x32":
                write_cifar(place, batch * steps)
            else:
                write_images(place, batch * steps)
            measure(table, case, place, 2 if arguments.smoke else arguments.rounds, smoke=arguments.smoke)
    return None


if __name__ == "__main__":
    main()
