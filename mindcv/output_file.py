"""Files that a script is asked to write: an existing one is replaced only if the user says so."""

import os


def check_overwrite(path: str | os.PathLike, overwrite: bool) -> None:
    """Raise ValueError if something exists at `path` and is not to be replaced; for finding out before the work."""
    if os.path.lexists(path) and not overwrite:
        raise ValueError(f"{os.fspath(path)} exists already: give another --output, or --overwrite to replace it.")
