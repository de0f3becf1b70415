"""A picture of a learning rate schedule."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mindcv.files import replacing

# On a linear axis rates below this share of the highest one look like 0; with that share of the run there, the axis is
# logarithmic.
_INVISIBLE, _SHARE = 0.02, 0.2
_MOST_POINTS = 20_000  # more than there are pixels


def plot_schedule(
    path: Path, rates: Sequence[float], updates_per_epoch: int, *, title: str, phases: Mapping[str, tuple[float, float]]
) -> None:
    """Draw the learning rate over epochs as a PNG file, and replace the file if it exists.

    Args:
        path: the file.
        rates: one learning rate per update.
        updates_per_epoch: optimizer updates in one epoch.
        title: of the picture.
        phases: name of a part of the run (the warmup) -> its first and last epoch; a coloured band, if they differ.

    Raises:
        OSError: if it cannot be written.
    """
    from matplotlib.figure import Figure  # here: takes half a second, and only this needs it

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    shown = range(0, len(rates), max(len(rates) // _MOST_POINTS, 1))
    end = len(rates) / updates_per_epoch
    axes.plot(
        [*(update / updates_per_epoch for update in shown), end],
        [*(rates[update] for update in shown), rates[-1]],
        drawstyle="steps-post",
    )
    for number, (name, (first, last)) in enumerate(phases.items(), 1):
        if last > first:
            axes.axvspan(first, last, color=f"C{number}", alpha=0.15, label=f"{name}: epoch {first:.3g} to {last:.3g}")
    if any(last > first for first, last in phases.values()):
        axes.legend()
    visible = _INVISIBLE * max(rates)
    if sum(rate < visible for rate in rates) > _SHARE * len(rates) and min(rates) > 0:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set(title=title, xlabel=f"epoch ({updates_per_epoch:,} updates each)", ylabel="learning rate", xlim=(0, end))
    axes.grid(alpha=0.3)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)
