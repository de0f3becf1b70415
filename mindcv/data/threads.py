"""Work on many items by threads."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from mindcv.arguments import NUM_PARALLEL_WORKERS

Item, Result = TypeVar("Item"), TypeVar("Result")


def count_workers(asked: int | None) -> int:
    """The number of threads that was asked for; None means one per core, at most 8."""
    NUM_PARALLEL_WORKERS.check(asked)
    return min(os.cpu_count() or 1, 8) if asked is None else asked


def map_in_order(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int, ahead: int
) -> Iterator[Result]:
    """Give `function` of every item in order; at most `ahead` results are ready or under way, however many there are.

    The threads end with the iterator, also when it is closed early.
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
