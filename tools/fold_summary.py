"""Mean and confidence interval over the folds of a cross-validation.

    for fold in 0 1 2 3 4; do python train.py --folds=5 --fold=$fold --ckpt_save_dir=ckpt/fold$fold; done
    python tools/fold_summary.py ckpt/fold*

Each folder holds the run of one fold. The figures are those of the last epoch: the best epoch is chosen on the fold it
is measured on, and so is too good on average.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
import mindcv  # noqa: F401  (first: it sets what MindSpore reads)

# isort: split
import numpy as np
from scipy import stats  # scikit-learn needs it

from mindcv.checkpoint import read_checkpoint
from mindcv.engine import deciding, in_words
from mindcv.script import run_script


def summarize(folders: Sequence[str]) -> str:
    """A line for each fold, and their mean with a 95 % interval of Student's t, which assumes independent folds.

    Raises:
        ValueError: if a folder does not hold exactly one run of a fold, or they are not folds of one division.
    """
    runs = {}
    for folder in folders:
        paths = sorted(Path(folder).glob("*-last.ckpt"))
        if len(paths) != 1:
            raise ValueError(f"{folder} must hold one run, a file ...-last.ckpt; it holds {len(paths)}.")
        info = read_checkpoint(paths[0]).info
        held_out, metrics = info.get("held_out") or {}, info.get("metrics", {})
        if "folds" not in held_out or not in_words(metrics):
            raise ValueError(f"{folder} is not the run of a fold that was validated: train it with --folds and --fold.")
        fold = held_out["fold"]
        if fold in runs:
            raise ValueError(f"{runs[fold][0]} and {folder} hold the same fold {fold}.")
        metric, score = deciding(metrics)
        runs[fold] = folder, score, (metric, info["model"]["model"], held_out["folds"], held_out["seed"])
    if len({division for *_, division in runs.values()}) != 1 or len(runs) < 2:
        raise ValueError("two or more folds of one network, division and seed are needed.")
    lines = [f"fold {fold}: {metric} {score:.2f} %  {folder}" for fold, (folder, score, _) in sorted(runs.items())]
    values = np.array([score for _, score, _ in runs.values()])
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    lines.append(f"{len(values)} folds: {metric} {values.mean():.2f} % +- {half:.2f} (95 % confidence)")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", help="the folder of each fold's run")
    print(summarize(parser.parse_args(argv).folders))


if __name__ == "__main__":
    run_script(main)
