"""What to do when memory runs out."""

import contextlib
import re
from collections.abc import Iterator

# What MindSpore 2.10 says: its allocators for the three devices, in Graph and in Pynative mode, MindData, CUDA and CANN
# (207001 is its number). std::bad_alloc reaches Python as MemoryError, or in the text of another error.
_TEXTS = re.compile(
    r"memory (not|isn't|is not) enough|out of memory|bad_?alloc|cannot allocate memory|207001|alloc_failed|"
    r"(al|mal)loc\w* ([\w.]+ ){0,2}mem(ory)? fail|(al|mal)loc for kernel (in|out)put failed|"
    r"fail(ed)? to (al|mal)loc\w* ([\w.]+ ){0,2}memory|memory m?alloc(ation|ate)? (fail|error)|"
    r"alloc\w* (\w+ )?(workspace|output|input) (memory )?failed",
    re.IGNORECASE,
)


def explain_out_of_memory(error: BaseException, batch_size: int) -> ValueError | None:
    """What to tell the user if `error` means that memory ran out, of the machine or of its accelerator.

    Args:
        error: what a step, an evaluation or the loader raised.
        batch_size: examples per batch.
    Returns:
        An error whose text says what to try, or None if `error` is another one. On Linux the kernel may end a process
        that takes too much memory without any error: nobody can explain that one.
    """
    if not (isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _TEXTS.search(str(error)))):
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
