"""Advice for the user when memory runs out."""

import contextlib
from collections.abc import Iterator

from mindcv.faults import is_out_of_memory


def explain_out_of_memory(error: BaseException, batch_size: int) -> ValueError | None:
    """Return an error with advice if `error` means that the memory of the machine or its accelerator ran out.

    Args:
        error: raised by a step, an evaluation or the loader.
        batch_size: examples per batch.
    Returns:
        The error with advice, or None if `error` is another one. (Linux may also kill a process without any error.)
    """
    if not (isinstance(error, MemoryError | RuntimeError) and is_out_of_memory(error)):
        return None
    return ValueError(
        f"out of memory with batch_size={batch_size}. Try a smaller --batch_size; for training, half of it with "
        "--gradient_accumulation_steps=2 has the same effect. A smaller --image_resize or fewer "
        "--num_parallel_workers also need less."
    )


@contextlib.contextmanager
def memory_explained(batch_size: int) -> Iterator[None]:
    """Replace an out-of-memory error raised within by one with advice."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        explanation = explain_out_of_memory(error, batch_size)
        if explanation:
            raise explanation from error
        raise
