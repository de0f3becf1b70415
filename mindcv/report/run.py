"""Messages at the end of a training: its result and the next command."""

import signal
from collections.abc import Mapping
from pathlib import Path

from mindcv.console import command
from mindcv.engine import in_words


def interrupted(model: str, folder: Path, signum: int, where: str, *, is_saved: bool, problem: str | None) -> str:
    """Describe a run that was interrupted by a signal.

    Args:
        signum: of the signal.
        where: position of the run in words.
        is_saved: whether there is a checkpoint to resume from.
        problem: why the state could not be saved; None if it was.
    """
    resume = command("train.py", f"--model={model}", f"--resume={folder}")
    then = f"continue with: {resume}" if is_saved else "nothing is saved yet: start it again"
    lines = [f"interrupted by {signal.Signals(signum).name} at {where}", then]
    return "\n".join([f"this state could not be saved: {problem}"] * bool(problem) + lines)


def finished(
    folder: Path,
    checkpoint: Path,
    *,
    best: tuple[int, Mapping[str, float]] | None,
    bad_steps: int,
    bad_images: int,
    overflows: int = 0,
) -> str:
    """Describe a run that finished.

    Args:
        checkpoint: the one to validate.
        best: the best epoch and its measures in per cent; None without validation.
        bad_steps: number of skipped steps.
        bad_images: number of skipped images.
        overflows: number of steps skipped because the loss scale was too large.
    """
    lines = []
    if bad_steps:
        lines.append(f"{bad_steps} {_plural('step', bad_steps)} skipped: loss or gradient NaN or infinite")
    if overflows:
        lines.append(f"{overflows} {_plural('step', overflows)} skipped: the loss scale was too large")
    if bad_images:
        lines.append(f"{bad_images} unreadable {_plural('image', bad_images)} skipped: {folder}/bad_images.csv")
    if best:
        lines.append(f"best: epoch {best[0]}, {', '.join(in_words(best[1]))}")
    lines.append(f"written to {folder}: checkpoints, metrics.csv, config.yaml")
    lines.append(f"validate with: {command('validate.py', f'--ckpt_path={checkpoint}')}")
    return "\n".join(lines)


def complete(
    folder: Path, epochs: int, best: tuple[int, Mapping[str, float]] | None, *, ended_early: bool = False
) -> str:
    """Describe a run that was complete before it was started again; `best` as for `finished`."""
    shown = f", best {in_words(best[1])[0]} in epoch {best[0]}" if best else ""
    longer = "--early_stop_patience=none" if ended_early else "--epoch_size"
    return (
        f"the run in {folder} is complete: {epochs} {_plural('epoch', epochs)}{shown}. Nothing was changed. Train "
        f"longer with {longer}, or from scratch without --resume."
    )


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"
