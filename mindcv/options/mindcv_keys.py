"""Settings of MindCV's recipes that are not options here: an error unless off, or accepted with a notice."""

from collections.abc import Iterable
from typing import Any

from mindcv.options.option import as_text, brief, convert, show
from mindcv.options.yaml_file import Setting

# Settings of MindCV that this version lacks: the values that mean "off", which are accepted, and what is lacking.
UNAVAILABLE: dict[str, tuple[tuple[Any, ...], str]] = {
    "amp_cast_list": ((None,), "amp_level decides which layers run in low precision"),
    "eval_shuffle": ((False,), "validation reads in order"),
}
# Settings of MindCV that cannot change a result here: accepted, with a notice unless they are off.
WITHOUT_EFFECT = {
    "distribute": "--processes=N or msrun starts several processes",
    "dataset_sink_mode": "data is always fed batch by batch",
}


def check_foreign(settings: Iterable[Setting]) -> list[str]:
    """Reject MindCV's unsupported settings unless they are off.

    Args:
        settings: settings whose keys are in one of the tables above.

    Returns:
        A notice for each setting without effect that is not off.

    Raises:
        ValueError: if anything unavailable is not off; names all of it.
    """
    notices, refusals = [], []
    for key, value, where, _ in settings:
        if key in WITHOUT_EFFECT:
            if not _means(value, False):
                notices.append(f"{where}: {key} has no effect here: {WITHOUT_EFFECT[key]}")
            continue
        off_values, reason = UNAVAILABLE[key]
        if not any(_means(value, off) for off in off_values):
            refusals.append(
                f"{where}: {key}: {brief(value)} is not available in this version ({reason}); "
                f"remove the key or set it to {show(off_values[0])}"
            )
    if refusals:
        raise ValueError("\n".join(refusals))
    return notices


def _means(value: Any, off: Any) -> bool:
    try:
        meant = convert(float if type(off) is int else type(off), as_text(value))
    except ValueError:
        return False
    return meant == off or (isinstance(off, str) and meant.strip().lower() == off.lower())
