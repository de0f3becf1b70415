"""What folders of images hold, by names alone: no file is opened. Imports neither MindSpore nor NumPy."""

import os
from collections import Counter
from collections.abc import Iterator

# Pillow's suffixes of the formats that data/image_file.py reads, but for .pfm, whose pixels are no grey levels.
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".bmp", ".webp", ".gif", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
)
# Left by systems and tools, in lower case; hidden names (.DS_Store, ._photo.jpg, .ipynb_checkpoints) are as well.
_LEFT_BY_TOOLS = {
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "#recycle", "$recycle.bin"),
    *("lost+found", "system volume information", "__pycache__"),
}


def is_of_user(name: str) -> bool:
    """Whether a file or folder of this name is the user's, rather than hidden or left by a system or a tool."""
    return not name.startswith(".") and name.lower() not in _LEFT_BY_TOOLS


def is_image(name: str) -> bool:
    """Whether a file of this name is read as an image."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def entries_of(folder: str | os.PathLike) -> list[os.DirEntry]:
    """The user's files and folders in `folder`, sorted by name."""
    with os.scandir(folder) as entries:
        return sorted((entry for entry in entries if is_of_user(entry.name)), key=lambda entry: entry.name)


def folders_left_out(folder: str | os.PathLike) -> list[str]:
    """Names of the folders in `folder` that are not the user's, sorted."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if not is_of_user(entry.name) and entry.is_dir())


def images_below(folder: str | os.PathLike, passed_over: Counter[str]) -> list[str]:
    """Paths of the images in `folder` and below it, sorted; a symbolic link back to a folder above ends there.

    Args:
        passed_over: receives, by suffix, the number of the user's files that are no images.
    """
    return list(_walk(folder, passed_over, set()))


def _walk(folder: str | os.PathLike, passed_over: Counter[str], visited: set[str]) -> Iterator[str]:
    real = os.path.realpath(folder)
    if real in visited:
        return
    visited.add(real)
    for entry in entries_of(folder):
        if entry.is_dir():
            yield from _walk(entry.path, passed_over, visited)
        elif is_image(entry.name):
            yield entry.path
        else:
            passed_over[suffix_of(entry.name)] += 1


def suffix_of(name: str) -> str:
    """The suffix by which a file that is no image is counted."""
    return os.path.splitext(name)[1].lower() or "without a suffix"


def describe_passed_over(folder: str | os.PathLike, passed_over: Counter[str]) -> list[str]:
    """A remark on the files that `images_below` passed over; none if there are none."""
    if not passed_over:
        return []
    number = passed_over.total()
    kinds = [f"{count:,} {suffix}" for suffix, count in passed_over.most_common()]
    more = [f"{number - sum(passed_over[s] for s, _ in passed_over.most_common(8)):,} others"] if len(kinds) > 8 else []
    what = "1 file was" if number == 1 else f"{number:,} files were"
    return [f"{folder}: {what} passed over: {', '.join(kinds[:8] + more)}"]


def describe_content(folder: str | os.PathLike) -> str:
    """A sentence with the first names in a folder, for messages."""
    names = [entry.name + "/" * entry.is_dir() for entry in entries_of(folder)]
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return f"Found in {folder}: {', '.join(names[:8]) or 'nothing'}{more}."
