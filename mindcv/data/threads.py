"""Threads that work on many items."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from mindcv.arguments import NUM_PARALLEL_WORKERS

Item = TypeVar("Item")
Result = TypeVar("Result")


def count_workers(asked: int | None, processes: int = 1) -> int:
    """The number of threads that was asked for; None means one per core of each process's share, at most 8."""
    NUM_PARALLEL_WORKERS.check(asked)
    return min(max((os.cpu_count() or 1) // processes, 1), 8) if asked is None else asked


def map_in_order(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int, ahead: int
) -> Generator[Result, None, None]:
    """Yield `function(item)` of every item in order, with at most `ahead` results ready or in progress.

    The threads end with the generator, also if it is closed early.
    """
    items = iter(items)
    pool = ThreadPoolExecutor(workers)
    try:
        pending = deque(pool.submit(function, item) for item in islice(items, ahead))
        while pending:
            yield pending.popleft().result()
            pending.extend(pool.submit(function, item) for item in islice(items, 1))
    finally:
        pool.shutdown(cancel_futures=True)
