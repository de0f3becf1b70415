"""The other networks next to timm's on PyTorch eager, training and inference, step by step in turn.

    python benchmarks/models.py [--case 32x32] [--model resnet50]

Ours in Graph mode; the steps are those of benchmarks/steps.py, inference with batch norms folded. `sknet29`, which timm
does not have, is built from timm's blocks; it is for 32x32 images and measured with those only, in batches of 8: with
4 G multiply-adds an image, a step of 32 takes more than ten seconds.
"""

import argparse

from harness import Table, interleave, parse_arguments, ratio, spread, spread_of_ratio
from steps import CASES, step_worker

MODELS = ("resnet50", "resnext50_32x4d", "seresnext50_32x4d", "skresnet18", "sknet29")
SKNET29_BATCH = 8
LIMIT = 1.2  # of PyTorch's time


def measure(table: Table, model: str, case: str, training: bool, arguments: argparse.Namespace) -> None:
    """One row. Without PyTorch in the smoke setting, which needs no other environment."""
    side, batch = (32, 2) if arguments.smoke else CASES[case]
    if model == "sknet29":
        batch = SKNET29_BATCH
    kinds = ("ours",) if arguments.smoke else ("ours", "torch")
    workers = {kind: step_worker(kind, model=model, side=side, batch=batch, training=training) for kind in kinds}
    try:
        first = workers["ours"].step()
        seconds = interleave(workers, arguments.rounds)
    finally:
        for worker in workers.values():
            worker.close()
    ours, theirs = seconds["ours"], seconds.get("torch")
    quotient, verdict = "", ""
    if theirs:
        quotient, verdict = spread_of_ratio(ours, theirs), "" if ratio(ours, theirs)[0] <= LIMIT else f"above {LIMIT}"
    table.add(
        f"`{model}`",
        f"{'train' if training else 'infer'} {case}, batch {batch}",
        spread(ours),
        spread(theirs) if theirs else "",
        quotient,
        f"{first:.1f}",
        verdict,
        model=model,
        case=case,
        training=training,
        seconds=seconds,
        first=first,
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--case", choices=CASES, action="append", help="default: all")
    parser.add_argument("--model", choices=MODELS, action="append", help="default: all")


def main() -> None:
    arguments = parse_arguments(__doc__, rounds=7, add=add_options)
    table = Table(
        arguments.out,
        "models",
        f"Seconds per step in Graph mode beside PyTorch eager: median of {arguments.rounds} and spread, in turn.",
        ["model", "step", "mindcv-sk", "PyTorch", "ratio", "first step, s", f"target {LIMIT}"],
        smoke=arguments.smoke,
    )
    models, cases = arguments.model or MODELS, arguments.case or tuple(CASES)
    if arguments.smoke:
        models, cases = ("skresnet18",), ("32x32",)
    for model in models:
        for case in cases:
            if model == "sknet29" and case != "32x32":
                continue
            for training in (True, False):
                measure(table, model, case, training, arguments)


if __name__ == "__main__":
    main()
