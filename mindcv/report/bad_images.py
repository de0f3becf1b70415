"""Unreadable images, as text for a terminal and as a CSV file."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol

from mindcv import console
from mindcv.console import printable
from mindcv.distributed import ALONE, World
from mindcv.engine import Callback, EpochResult
from mindcv.files import replacing
from mindcv.report.predictions import _inert

SHOWN = 20


def format_bad_images(bad: Sequence[tuple[str, str]], shown: int = SHOWN) -> str:
    """Return a line for each of the first `shown` images (path, reason), and one with the number of others."""
    lines = [f"  {printable(path)}: {printable(reason)}" for path, reason in islice(bad, shown)]
    if len(bad) > shown:
        lines.append(f"  and {len(bad) - shown:,} more")
    return "\n".join(lines)


def write_bad_images(path: str | Path, bad: Iterable[tuple[str, str]]) -> None:
    """Write a CSV file with the columns image and reason, atomically.

    Possible formulas, and bytes of a name that are not UTF-8, are written as by `write_predictions`.

    Raises:
        OSError: if the file cannot be written; an earlier one is unchanged.
    """
    with (
        replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(("image", "reason"))
        writer.writerows((_inert(path), _inert(reason)) for path, reason in bad)


def _read(path: Path) -> dict[str, str]:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return {row["image"]: row["reason"] for row in csv.DictReader(file)}


class HasBadImages(Protocol):
    """The part of a loader that `BadImagesFile` needs."""

    @property
    def bad_images(self) -> Mapping[str, str]:
        """Path -> reason of every image left out so far."""


class BadImagesFile(Callback):
    """The list of the images that a run has left out; the file exists only if there are any.

    Args:
        folder: where it is: bad_images.csv, or bad_images-RANK.csv of another than the main process, until `merge`. A
            resumed run adds to it.
        *loaders: whose images to list; None is ignored.
        world: the processes.
    """

    def __init__(self, folder: Path, *loaders: HasBadImages | None, world: World = ALONE) -> None:
        self.world = world
        self.path = path = folder / ("bad_images.csv" if world.is_main else f"bad_images-{world.rank}.csv")
        self.loaders = [loader for loader in loaders if loader is not None]
        self._listed: dict[str, str] = {}
        self._unwritten = False
        if path.exists():
            self._listed = _read(path)

    def __len__(self) -> int:
        return len(self._listed)

    def on_epoch_end(self, result: EpochResult) -> None:
        self.update()

    def merge(self) -> None:
        """In the main process, take in the lists of the others, which have written them for the last time."""
        if not self.world.is_main:
            return
        others = sorted(self.path.parent.glob("bad_images-*.csv"))
        for path in others:
            self._listed = {**_read(path), **self._listed}
            self._unwritten = True
        self.update()
        for path in others if not self._unwritten else ():
            path.unlink()

    def update(self) -> None:
        """Add the images found since the last call; a failed write is a warning and repeated at the next call."""
        found = {_inert(path): reason for loader in self.loaders for path, reason in loader.bad_images.items()}
        if not self._unwritten and not found.keys() - self._listed.keys():
            return
        self._listed = {**self._listed, **found}
        self._unwritten = True
        try:
            write_bad_images(self.path, self._listed.items())
        except OSError as error:
            console.warn(f"could not write {self.path}: {error.strerror or error}")
        else:
            self._unwritten = False
