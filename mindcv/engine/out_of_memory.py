"""What to do when memory runs out."""

import contextlib
from collections.abc import Iterator

from mindcv.faults import is_out_of_memory


def explain_out_of_memory(error: BaseException, batch_size: int) -> ValueError | None:
    """What to tell the user if `error` means that memory ran out, of the machine or of its accelerator.

    Args:
        error: what a step, an evaluation or the loader raised.
        batch_size: examples per batch.
    Returns:
        An error whose text says what to try, or None if `error` is another one. On Linux the kernel may end a process
        that takes too much memory without any error: nobody can explain that one.
    """
    if not (isinstance(error, MemoryError | RuntimeError) and is_out_of_memory(error)):
        return None
    return ValueError(
        f"out of memory with batch_size={batch_size}. Try a smaller --batch_size; for training, "
        "--gradient_accumulation_steps=2 gives half of it the same effect. A smaller --image_resize or fewer "
        "--num_parallel_workers take less, too."
    )


@contextlib.contextmanager
def memory_explained(batch_size: int) -> Iterator[None]:
    """Turn an error within that means a lack of memory into one that says what to try."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        explanation = explain_out_of_memory(error, batch_size)
        if explanation:
            raise explanation from error
        raise
