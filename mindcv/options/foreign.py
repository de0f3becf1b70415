"""Settings of MindCV's recipes that are no options here: refused unless off, or accepted with a notice."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mindcv.options.option import as_text, brief, convert, show
from mindcv.options.yaml_file import Setting


def check_foreign(
    settings: Iterable[Setting],
    unavailable: Mapping[str, tuple[Sequence[Any], str]],
    without_effect: Mapping[str, str],
) -> list[str]:
    """Refuses what MindCV has and this version has not, unless it is off.

    Args:
        settings: settings whose keys are in one of the tables.
        unavailable: key -> the values that mean "off", and what is lacking.
        without_effect: key that cannot change a result -> why.

    Returns:
        A notice for each setting without effect.

    Raises:
        ValueError: if anything unavailable is not off; names all of it.
    """
    notices, refusals = [], []
    for key, value, where, _ in settings:
        if key in without_effect:
            notices.append(f"{where}: {key} has no effect here: {without_effect[key]}")
            continue
        off_values, reason = unavailable[key]
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
