"""Sentences for a process that ran out of memory."""


def explain_out_of_memory(error: BaseException, batch_size: int) -> ValueError | None:
    return None
