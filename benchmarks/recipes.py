"""What each option of a recipe does to accuracy and time: each alone against the base recipe, on the digits.

python benchmarks/recipes.py [--model skresnet18] [--seeds 5] [--size 16] [--only base --only mixup] [--out FOLDER]

Every run is kept in OUT/recipes_runs.json, so that an interrupted call goes on where it was. The base recipe is
configs/sknet/sknet50_digits.yaml for the chosen network, with so few and small images that something is left to gain:
with all 1,437 at 32x32 skresnet18 reaches 99 %. A row's interval is Student's, 95 %, over the seeds; its seconds are
those of the fastest epoch, which other work on the machine disturbs least.
"""

import json
import math
import statistics
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from digits_seeds import Run, train
from harness import Table, parse_arguments

# Name of the row -> flags beyond the base recipe.
ROWS: dict[str, tuple[str, ...]] = {
    "base": (),
    "mixed precision O1": ("--amp_level=O1",),
    "mixed precision O2": ("--amp_level=O2",),
    "mixed precision O3": ("--amp_level=O3",),
    "EMA": ("--ema", "--ema_decay=0.98", "--ema_warmup=20"),
    "clipping, norm": ("--clip_grad", "--clip_value=5"),
    "clipping, value": ("--clip_grad", "--clip_mode=value", "--clip_value=0.01"),
    "clipping, adaptive": ("--clip_grad", "--clip_mode=agc", "--clip_value=1"),
    "accumulation of 2": ("--gradient_accumulation_steps=2",),
    "dropout": ("--drop_rate=0.2",),
    "stochastic depth": ("--drop_path_rate=0.1",),
    "DropBlock": ("--drop_block_rate=0.1",),
    "label smoothing": ("--label_smoothing=0.1",),
    "mixup": ("--mixup=0.2",),
    "CutMix": ("--cutmix=1.0",),
    "mixup or CutMix": ("--mixup=0.2", "--cutmix=1.0"),
    "mixup, off after epoch 9": ("--mixup=0.2", "--mixup_off_epoch=9"),
    "RandAugment": ("--auto_augment=randaug-m5-n2-mstd0.5",),
    "AutoAugment": ("--auto_augment=autoaug",),
    "TrivialAugment": ("--auto_augment=trivialaug",),
    "AugMix": ("--auto_augment=augmix",),
    "3-Augment": ("--auto_augment=3a",),
    "AugMix in 3 views, JSD": ("--auto_augment=augmix", "--aug_splits=3", "--loss=JSD"),
    "random erasing": ("--re_prob=0.25",),
    "repeated augmentation": ("--aug_repeats=3",),
    "binary cross-entropy": ("--loss=BCE", "--bce_sum"),
    "focal loss": ("--loss=focal", "--focal_alpha=none", "--lr=0.5"),
    "asymmetric loss": ("--loss=asl_single_label",),
    "AdamW": ("--opt=adamw", "--lr=0.002", "--weight_decay=0.05"),
    "NAdam": ("--opt=nadam", "--lr=0.002"),
    "LAMB": ("--opt=lamb", "--lr=0.02", "--weight_decay=0.02", "--weight_decay_filter=norm_and_bias"),
    "Lion": ("--opt=lion", "--lr=0.001", "--weight_decay=0.05"),
    "Adan": ("--opt=adan", "--lr=0.005", "--weight_decay=0.02"),
    "RMSProp": ("--opt=rmsprop", "--lr=0.001"),
    "LARS": ("--opt=lars", "--lr=5"),
    "constant": ("--scheduler=constant",),
    "step": ("--scheduler=step_decay", "--decay_epochs=4"),
    "polynomial": ("--scheduler=polynomial_decay",),
    "one-cycle": ("--scheduler=one_cycle", "--warmup_epochs=0"),
    "cosine, 2 cycles": ("--num_cycles=2", "--decay_epochs=6"),
    "plateau": ("--scheduler=plateau", "--patience_epochs=1"),
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

    def get(self, model: str, seeds: int, flags: Sequence[str]) -> list[Run]:
        """The results with the seeds from 1 on: at least so many, which run if they have not, and all others."""
        done = [self._run(model, seed, flags) for seed in range(1, seeds + 1)]
        while _key(model, len(done) + 1, flags) in self.known:
            done.append(self._run(model, len(done) + 1, flags))
        return done

    def _run(self, model: str, seed: int, flags: Sequence[str]) -> Run:
        key = _key(model, seed, flags)
        if key not in self.known:
            self.known[key] = list(train(model, seed, flags))
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps(self.known, indent=1) + "\n")
        return Run(*self.known[key])


def _key(model: str, seed: int, flags: Sequence[str]) -> str:
    return " ".join([model, f"--seed={seed}", *flags])


def main() -> None:
    def add(parser) -> None:
        parser.add_argument("--model", action="append", help="a network; may be repeated [skresnet18]")
        parser.add_argument("--seeds", type=int, default=5, help="seeds 1 to this, at least")
        parser.add_argument("--samples", type=int, default=384, help="training images, at most 1,437")
        parser.add_argument("--epochs", type=int, default=12)
        parser.add_argument("--size", type=int, default=16, help="side of the images in pixels")
        parser.add_argument("--only", action="append", choices=ROWS, help="this row; may be repeated")

    arguments = parse_arguments(__doc__, add=add)
    models, rows = arguments.model or ["skresnet18"], arguments.only or list(ROWS)
    seeds, samples, epochs, size = arguments.seeds, arguments.samples, arguments.epochs, arguments.size
    if arguments.smoke:
        models, rows, seeds, samples, epochs = models[:1], rows[:1], 1, 64, 2
    few = (f"--num_samples={samples}", f"--image_resize={size}", f"--epoch_size={epochs}")
    table = Table(
        arguments.out,
        f"recipes_{models[0]}" if len(models) == 1 else "recipes_networks",
        f"scikit-learn's digits at {size}x{size}: {samples} training images, {epochs} epochs; top-1 in per cent on 360 "
        "images, mean and 95 % interval over the seeds.",
        ["network", "recipe", "flags", "seeds", "last top-1", "best top-1", "s per epoch"],
        smoke=arguments.smoke,
    )
    runs = Runs(arguments.out / "recipes_runs.json")
    for model, name in product(models, rows):
        done = runs.get(model, seeds, (*few, *ROWS[name]))
        table.add(
            model,
            name,
            f"`{' '.join(ROWS[name])}`" if ROWS[name] else "",
            str(len(done)),
            interval([run.last for run in done]),
            interval([run.best for run in done]),
            f"{min(run.epoch_seconds for run in done):.1f}",
            runs=[list(run) for run in done],
        )


if __name__ == "__main__":
    main()
