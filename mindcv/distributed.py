"""The processes of a training, as one of them sees them. Code that would differ between several uses `World`."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

LAUNCHER = "MINDCV_LAUNCHER"  # environment variable: the number of the process that started this one (launch.py)


@dataclass(frozen=True)
class World:
    """The processes that train one network together, as one of them sees it.

    Attributes:
        rank: number of this process, from 0. Rank 0 prints and writes files.
        size: number of processes. Each reads every `size`-th example, from `rank` on.
        add: numbers of this process -> their sums over all processes, the same bits in each. All must call it equally
            often, and wait in it for the others.

    Raises:
        ValueError: if `rank` is not from 0 to size - 1.
    """

    rank: int = 0
    size: int = 1
    add: Callable[[Sequence[float]], Sequence[float]] = lambda numbers: numbers

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.size:
            raise ValueError(f"rank must be from 0 to size - 1 = {self.size - 1}; got {self.rank}.")

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def any(self, condition: bool) -> bool:
        """Return whether a condition holds in any process; all must call this, and wait in it for the others."""
        return self.add([float(condition)])[0] > 0

    def check_agreement(self, counts: Mapping[str, int], digests: Mapping[str, int]) -> None:
        """Check that integers below 2^40 are the same in all processes; all must call this.

        Raises:
            ValueError: if they are not, naming those that differ, and what this process has.
        """
        known = {**{f"{name} ({number:,} here)": number for name, number in counts.items()}, **digests}
        sums = self.add([float(number) for number in known.values()])
        differing = [
            name for (name, number), total in zip(known.items(), sums, strict=True) if total != self.size * number
        ]
        if self.any(bool(differing)):
            raise ValueError(
                f"process {self.rank} and the others differ in {', '.join(differing) or 'what they compared'}. All "
                "must see the same files: give --ckpt_save_dir and --data_dir on a file system that the machines share."
            )

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Within, the main process runs before the others: it downloads what they then find."""
        if not self.is_main:
            self.add([0.0])
        yield
        if self.is_main:
            self.add([0.0])


ALONE = World()


def joined_size() -> int | None:
    """Return the number of processes if msrun or `launch` started this one as one of several; None if not.

    Raises:
        ValueError: if mpirun started several, which would train separately, or the number is none.
    """
    role, text = os.environ.get("MS_ROLE"), os.environ.get("MS_WORKER_NUM", "")
    if not role:
        if os.environ.get("OMPI_COMM_WORLD_SIZE", "1") != "1":
            raise ValueError("mpirun is not supported: start several processes with --processes=N, or with msrun.")
        return None
    if role not in ("MS_WORKER", "MS_SCHED"):
        raise ValueError(f"MS_ROLE must be MS_WORKER or MS_SCHED, as msrun sets it, or not set; got {role!r}.")
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"MS_ROLE is set, so MS_WORKER_NUM must be the number of processes; got {text!r}.")
    return int(text)


def is_meeting_point() -> bool:
    """Return whether this process only brings the others together: msrun's and `launch`'s "scheduler"."""
    return os.environ.get("MS_ROLE") == "MS_SCHED"


def is_launched() -> bool:
    """Return whether `launch` started this process; the one that called it has the folder's lock."""
    return LAUNCHER in os.environ and joined_size() is not None


def speaks_before_joining() -> bool:
    """Return whether this process prints while its rank is not known: alone, or the first of msrun's."""
    return joined_size() is None or (not is_launched() and os.environ.get("RANK_ID", "0") == "0")
