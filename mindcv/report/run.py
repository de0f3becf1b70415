"""What a training says about itself: how it ends, and how to go on."""

import signal
from pathlib import Path

from mindcv.console import command


def interrupted(model: str, folder: Path, signum: int, where: str, *, is_saved: bool, problem: str | None) -> str:
    """A run that was asked to end.

    Args:
        signum: of the signal that asked.
        where: words for its position.
        is_saved: whether there is anything to go on from.
        problem: why its state could not be saved, if so.
    """
    resume = command("train.py", f"--model={model}", f"--resume={folder}")
    then = f"continue with: {resume}" if is_saved else "nothing is saved yet: start it again"
    lines = [f"interrupted by {signal.Signals(signum).name} at {where}", then]
    return "\n".join([f"this state could not be saved: {problem}"] * bool(problem) + lines)


def finished(
    folder: Path, checkpoint: Path, *, best: tuple[int, float, float] | None, bad_steps: int, bad_images: int
) -> str:
    """A run that came to its end.

    Args:
        checkpoint: the one to measure.
        best: epoch, top-1 and top-5 in per cent of the best epoch, if any was validated.
        bad_steps: how many steps were left out.
        bad_images: how many images were left out.
    """
    lines = []
    if bad_steps:
        lines.append(f"{bad_steps} {_plural('step', bad_steps)} left out, where loss or gradient was not finite")
    if bad_images:
        lines.append(
            f"{bad_images} {_plural('image', bad_images)} left out that could not be read: {folder}/bad_images.csv"
        )
    if best:
        lines.append("best: epoch {}, top-1 {:.2f} %, top-5 {:.2f} %".format(*best))
    lines.append(f"written to {folder}: checkpoints, metrics.csv, config.yaml")
    lines.append(f"validate with: {command('validate.py', f'--ckpt_path={checkpoint}')}")
    return "\n".join(lines)


def complete(folder: Path, epochs: int, best_epoch: int | None, best_top1: float | None) -> str:
    """A run that had ended before."""
    best = f", best top-1 {best_top1:.2f} % in epoch {best_epoch}" if best_epoch else ""
    return (
        f"the run in {folder} is complete: {epochs} {_plural('epoch', epochs)}{best}. Nothing was changed. Train "
        "longer with --epoch_size, or anew without --resume."
    )


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"
