"""The processes of a training: one today. Code that would differ between several uses `World`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class World:
    """The processes that train one network together, as one of them sees it.

    Attributes:
        rank: number of this process, from 0. Rank 0 prints and writes files.
        size: number of processes. Each reads every `size`-th example, from `rank` on.
        add: numbers of this process -> their sums over all processes.

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


ALONE = World()
