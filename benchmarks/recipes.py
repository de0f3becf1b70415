"""What each option of a recipe does to accuracy and time: each alone against the base recipe, on the digits.

python benchmarks/recipes.py [--model skresnet18] [--seeds 5] [--only base --only mixup] [--out FOLDER]

Every run is kept in OUT/recipes_runs.json, so that an interrupted call goes on where it was. The base recipe is
configs/sknet/sknet50_digits.yaml for the chosen network. A row's interval is Student's, 95 %, over the seeds.
"""

import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from digits_seeds import Run, train
from harness import Table, parse_arguments

# Name of the row -> flags beyond the base recipe.
ROWS: dict[str, tuple[str, ...]] = {
    "base": (),
    "EMA": ("--ema", "--ema_decay=0.99", "--ema_warmup=100"),
    "clipping, norm": ("--clip_grad", "--clip_value=1"),
    "clipping, adaptive": ("--clip_grad", "--clip_mode=agc", "--clip_value=0.05"),
    "accumulation of 2": ("--gradient_accumulation_steps=2",),
    "dropout": ("--drop_rate=0.2",),
    "stochastic depth": ("--drop_path_rate=0.1",),
    "DropBlock": ("--drop_block_rate=0.1",),
    "label smoothing": ("--label_smoothing=0.1",),
    "mixed precision O1": ("--amp_level=O1",),
    "mixed precision O2": ("--amp_level=O2",),
    "mixed precision O3": ("--amp_level=O3",),
}
# Student's t for a two-sided interval of 95 %, by degrees of freedom.
STUDENT = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}


def interval(values: Sequence[float]) -> str:
    """ "mean ± half the interval"; the mean alone for one value."""
    mean, freedom = statistics.mean(values), len(values) - 1
    if freedom == 0:
        return f"{mean:.2f}"
    return f"{mean:.2f} ± {STUDENT[min(freedom, 9)] * statistics.stdev(values) / math.sqrt(freedom + 1):.2f}"


class Runs:
    """Finished trainings, kept in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, list[float]] = json.loads(path.read_text()) if path.exists() else {}

    def get(self, model: str, seed: int, flags: Sequence[str]) -> Run:
        """The result of a training, which runs if it has not yet."""
        key = " ".join([model, f"--seed={seed}", *flags])
        if key not in self.known:
            self.known[key] = list(train(model, seed, flags))
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps(self.known, indent=1) + "\n")
        return Run(*self.known[key])


def main() -> None:
    def add(parser) -> None:
        parser.add_argument("--model", default="skresnet18")
        parser.add_argument("--seeds", type=int, default=5, help="seeds 1 to this")
        parser.add_argument("--only", action="append", choices=ROWS, help="this row; may be repeated")

    arguments = parse_arguments(__doc__, add=add)
    seeds, extra = range(1, arguments.seeds + 1), ()
    if arguments.smoke:
        seeds, extra = range(1, 2), ("--epoch_size=1", "--warmup_epochs=0", "--num_samples=64", "--image_resize=16")
    table = Table(
        arguments.out,
        f"recipes_{arguments.model}",
        f"{arguments.model} on scikit-learn's digits, 10 epochs, {len(seeds)} seeds; top-1 in per cent on 360 images, "
        "mean and 95 % interval.",
        ["recipe", "flags", "last top-1", "best top-1", "s per epoch"],
        smoke=arguments.smoke,
    )
    runs = Runs(arguments.out / "recipes_runs.json")
    for name in arguments.only or ROWS:
        done = [runs.get(arguments.model, seed, (*ROWS[name], *extra)) for seed in seeds]
        table.add(
            name,
            f"`{' '.join(ROWS[name])}`" if ROWS[name] else "",
            interval([run.last for run in done]),
            interval([run.best for run in done]),
            f"{statistics.median(run.epoch_seconds for run in done):.1f}",
            runs=[list(run) for run in done],
        )


if __name__ == "__main__":
    main()
