"""The folder of one run: its checkpoints, how they are replaced, and which one a run resumes from."""

import contextlib
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mindcv.checkpoint.file import Checkpoint, read_checkpoint, save_checkpoint, temporary_checkpoint
from mindcv.checkpoint.lock import FolderLock
from mindcv.faults import DamagedError
from mindcv.files import LEFT_BEHIND, publish, replacing

_RUN_FILE = re.compile(r".+-(best|last|previous|\d+)\.ckpt|metrics\.csv|config\.yaml|bad_images(-\d+)?\.csv")


class CheckpointStore:
    """The checkpoints of one run.

        {model}-best.ckpt       weights of the best epoch
        {model}-last.ckpt       weights and training state of the last save
        {model}-previous.ckpt   those of the save before, in case the last one is damaged
        {model}-{epoch}.ckpt    weights and training state of the newest, or the best, few epochs

    Each file is written under a temporary name, verified and renamed before its predecessor is removed, so that a
    complete checkpoint exists at any time.

    Args:
        folder: created when the run starts.
        model: name used for the files.
        keep: how many `{model}-{epoch}.ckpt` to keep beside best and last; 0 writes none.
        policy: which. "latest_k": the newest. "top_k": those with the highest score, of equal ones the earlier.
        interval: epochs between saves; the final epoch is always saved.
    """

    def __init__(
        self,
        folder: str | Path,
        model: str,
        *,
        keep: int = 0,
        policy: Literal["latest_k", "top_k"] = "latest_k",
        interval: int = 1,
    ) -> None:
        self.folder = Path(folder)
        self.model = model
        self.keep = keep
        self.policy = policy
        self.interval = interval

    @property
    def best(self) -> Path:
        return self.folder / f"{self.model}-best.ckpt"

    @property
    def last(self) -> Path:
        return self.folder / f"{self.model}-last.ckpt"

    @property
    def previous(self) -> Path:
        return self.folder / f"{self.model}-previous.ckpt"

    def check_writable(self) -> None:
        """Raise ValueError unless the folder can be created and written; nothing is left there."""
        existing = next(p for p in (self.folder, *self.folder.absolute().parents) if p.exists())
        try:
            with tempfile.TemporaryFile(dir=existing):
                pass
        except OSError as error:
            raise ValueError(f"cannot write checkpoints to {self.folder}: {error.strerror} ({existing}).") from error

    @contextlib.contextmanager
    def lock(self) -> Iterator[FolderLock]:
        """Lock the folder, creating it if needed; remove it afterwards if it was created here and is empty.

        Raises:
            ValueError: if another run has the folder.
        """
        made = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FolderLock(self.folder) as lock:
                yield lock
        finally:
            for path in made:
                if path.is_dir() and not any(path.iterdir()):
                    path.rmdir()

    def prepare_new_run(self) -> Path | None:
        """Prepare the folder for a new run. An earlier run's files move to `earlier-N/`, which is returned."""
        self._clear()
        earlier = [path for path in self.folder.iterdir() if _RUN_FILE.fullmatch(path.name)]
        if {path.name for path in earlier} <= {"config.yaml"}:  # a run that ended before its first checkpoint
            return None
        number = 1
        while (archive := self.folder / f"earlier-{number}").exists():
            number += 1
        archive.mkdir()
        # The configuration first: after a kill in between, the next start still finds checkpoints to move.
        for path in sorted(earlier, key=lambda path: path.name != "config.yaml"):
            path.rename(archive / path.name)
        return archive

    def prepare_to_resume(self, start: Checkpoint) -> list[str]:
        """Prepare the folder for resuming from `start`, and return remarks for the user.

        A damaged checkpoint is renamed to end in `.damaged`, so that it cannot replace a good one. If the run resumes
        in another folder, its best checkpoint is copied there.

        Raises:
            OSError, MemoryError: if a checkpoint cannot be read; it is not renamed.
        """
        self._clear()
        remarks = []
        if start.path.parent.resolve() != self.folder.resolve():
            archive = self.prepare_new_run()
            remarks += [f"an earlier run's files were moved to {archive}"] if archive else []
            best = start.path.parent / self.best.name
            if best.exists():
                _duplicate(best, self.best)
            return remarks
        for path in (self.last, self.previous, self.best):
            try:
                if path != start.path and os.path.lexists(path):
                    _read_own(path)
            except DamagedError:
                aside = path.with_name(f"{path.name}.damaged")
                path.replace(aside)
                remarks.append(f"{path} is damaged; it is now {aside}")
        return remarks

    def newest(self) -> tuple[Checkpoint | None, list[str]]:
        """Return the newest intact checkpoint that a training can resume from, and why newer ones are not used.

        Raises:
            ValueError: if there are checkpoints, but all of them are damaged.
            OSError, MemoryError: if one cannot be read; that is no reason to resume from an older one.
        """
        complaints, damaged = [], []
        for path in self._candidates():
            try:
                checkpoint = _read_own(path)
            except DamagedError as error:
                complaints.append(str(error))
                damaged.append(path)
                continue
            if checkpoint.can_resume:
                return checkpoint, complaints
            complaints.append(f"{path} holds no training state, so a run cannot resume from it.")
        if damaged:
            raise ValueError(
                "\n".join(complaints) + f"\nno checkpoint in {self.folder} is left to resume from. Start from scratch "
                "without --resume (the files are kept), or give --ckpt_path a checkpoint with good weights."
            )
        return None, complaints

    def is_due(self, epoch: int, *, is_best: bool, is_final: bool) -> bool:
        """Whether `save` writes anything after `epoch`."""
        return is_best or self._is_regular(epoch, is_final)

    def save(
        self,
        weights: Mapping[str, np.ndarray],
        info: Mapping[str, Any],
        state: Mapping[str, np.ndarray],
        *,
        epoch: int,
        is_best: bool,
        is_final: bool,
        scores: Mapping[int, float] | None = None,
    ) -> None:
        """Write the checkpoints due after `epoch` (counted from 1): last, and best and numbered ones if they apply.

        Args:
            scores: top-1 or mAP of every validated epoch of the run so far; "top_k" removes others first.
        Raises:
            OSError: if a file cannot be written; those of earlier saves are unchanged.
        """
        if is_best:  # before last: a run resumed from an older last repeats this epoch
            save_checkpoint(self.best, weights, {key: value for key, value in info.items() if key != "training"})
        if self.is_due(epoch, is_best=is_best, is_final=is_final):  # after the best also last, which records it
            numbered = self.keep and self._is_regular(epoch, is_final)
            copy = self.folder / f"{self.model}-{epoch}.ckpt" if numbered else None
            self.save_last(weights, info, state, copy=copy, scores=scores)

    def save_last(
        self,
        weights: Mapping[str, np.ndarray],
        info: Mapping[str, Any],
        state: Mapping[str, np.ndarray],
        *,
        copy: Path | None = None,
        scores: Mapping[int, float] | None = None,
    ) -> None:
        """Write last; the old one becomes previous.

        Last is renamed after everything else is done, so that a run that resumes from it has nothing to repeat.

        Args:
            copy: a numbered checkpoint to write as well; those too many are removed.
            scores: see `save`.
        Raises:
            OSError: if it cannot be written; last is unchanged, and previous is unchanged or a copy of last.
        """
        with temporary_checkpoint(self.last, weights, info, state) as temporary:
            if copy:
                _duplicate(temporary, copy)
                self._prune(scores or {})
            if self.last.exists():
                _duplicate(self.last, self.previous)
            publish(temporary, self.last)

    def _is_regular(self, epoch: int, is_final: bool) -> bool:
        return is_final or epoch % self.interval == 0

    def _candidates(self) -> list[Path]:
        numbered = self._numbered()
        paths = [self.last, self.previous, *(numbered[epoch] for epoch in sorted(numbered, reverse=True))]
        return [path for path in paths if os.path.lexists(path)]  # a broken link counts as damaged

    def _numbered(self) -> dict[int, Path]:
        if not self.folder.is_dir():
            return {}
        name = re.compile(rf"{re.escape(self.model)}-(\d+)\.ckpt")
        return {int(match[1]): path for path in self.folder.iterdir() if (match := name.fullmatch(path.name))}

    def _prune(self, scores: Mapping[int, float]) -> None:
        numbered = self._numbered()
        worst_first = sorted(numbered)
        if self.policy == "top_k":
            worst_first.sort(key=lambda epoch: (scores.get(epoch, -math.inf), -epoch))
        for epoch in worst_first[: -self.keep]:
            numbered[epoch].unlink()

    def _clear(self) -> None:
        """Remove the temporary files of a killed process."""
        for path in self.folder.iterdir():
            if LEFT_BEHIND.fullmatch(path.name):
                path.unlink()


def _read_own(path: Path) -> Checkpoint:
    """Read a checkpoint that this package wrote.

    Raises:
        DamagedError: if it is damaged, or has no description (a cut file may look like another tool's).
    """
    if path.is_dir() or not path.exists():
        kind = "folder" if path.is_dir() else "link to nothing"
        raise DamagedError(f"{path} is damaged: it is a {kind}, not a file. Use another checkpoint.")
    checkpoint = read_checkpoint(path)
    if not checkpoint.info:
        raise DamagedError(f"{path} is damaged: its end is cut off. Use another checkpoint.")
    return checkpoint


def _duplicate(source: Path, target: Path) -> None:
    """Give a file a second name: a hard link, or a copy if the file system has none."""
    with replacing(target) as temporary:
        temporary.unlink(missing_ok=True)
        try:
            os.link(source, temporary)
        except OSError:  # no hard links
            shutil.copyfile(source, temporary)
