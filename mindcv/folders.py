"""Contents of image folders by names alone: no file is opened. Imports neither MindSpore nor NumPy."""

import os
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from mindcv.files import listed

# Pillow's suffixes of the formats that data/image_file.py reads, except .pfm, whose pixels are floats.
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".bmp", ".webp", ".gif", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
)
# Left by systems and tools, in lower case, beside hidden names (.DS_Store, ._photo.jpg, .ipynb_checkpoints).
_LEFT_BY_TOOLS = {
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "#recycle", "$recycle.bin"),
    *("lost+found", "system volume information", "__pycache__"),
}
# Names of evaluation splits, in order of preference.
EVAL_SPLITS = ("val", "valid", "validation", "test")
# Files that hold or list labelled images: train.csv, val.tar, ...
FILE_KINDS = {".csv": "list of images", ".tar": "archive", ".mindrecord": "MindRecord file"}
_IMAGENET = "ILSVRC2012_img_train.tar"  # an archive of one archive per class; that of val has no classes
# Files of the data sets with their own layouts, of their archives and their pickled versions.
_KNOWN = {
    "cifar10": (*("data_batch_1*", "test_batch*"), "cifar-10-batches-*/*_batch*", "cifar-10-*.tar.gz"),
    "cifar100": (*("train.bin", "cifar-100-binary/*.bin", "cifar-100-python/meta"), "cifar-100-*.tar.gz"),
    "mnist": tuple(
        f"{folder}{part}-images-idx3-ubyte*"
        for folder in ("", "MNIST/", "mnist/", "MNIST/raw/")
        for part in ("train", "t10k")
    ),
}
BUILT_IN = ("digits", "synthetic", *_KNOWN)


def is_of_user(name: str) -> bool:
    """Return whether a file or folder of this name is the user's: not hidden, nor left by a system or a tool."""
    return not name.startswith(".") and name.lower() not in _LEFT_BY_TOOLS


def is_image(name: str) -> bool:
    """Return whether a file of this name is read as an image."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def entries_of(folder: str | os.PathLike[str]) -> list[os.DirEntry[str]]:
    """Return the user's files and folders in `folder`, sorted by name."""
    with os.scandir(folder) as entries:
        return sorted((entry for entry in entries if is_of_user(entry.name)), key=lambda entry: entry.name)


def folders_left_out(folder: str | os.PathLike[str]) -> list[str]:
    """Return the names of the folders in `folder` that are not the user's, sorted."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if not is_of_user(entry.name) and entry.is_dir())


def images_below(folder: str | os.PathLike[str], passed_over: Counter[str]) -> list[str]:
    """Return the paths of the images in and below `folder`, sorted; each linked folder is visited once.

    Args:
        passed_over: receives, by suffix, the number of the user's files that are not images.
    """
    return list(_walk(folder, passed_over, set()))


def _walk(folder: str | os.PathLike[str], passed_over: Counter[str], visited: set[str]) -> Iterator[str]:
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
    """Return the suffix under which a file that is not an image is counted."""
    return os.path.splitext(name)[1].lower() or "without a suffix"


def describe_passed_over(folder: str | os.PathLike[str], passed_over: Counter[str]) -> list[str]:
    """Return a remark on the files that `images_below` passed over; none if there are none."""
    if not passed_over:
        return []
    number = passed_over.total()
    kinds = [f"{count:,} {suffix}" for suffix, count in passed_over.most_common()]
    more = [f"{number - sum(passed_over[s] for s, _ in passed_over.most_common(8)):,} others"] if len(kinds) > 8 else []
    what = "1 file was" if number == 1 else f"{number:,} files were"
    return [f"{folder}: {what} passed over: {', '.join(kinds[:8] + more)}"]


def describe_content(folder: str | os.PathLike[str]) -> str:
    """Return a sentence with the first names in a folder, for messages."""
    names = [entry.name + "/" * entry.is_dir() for entry in entries_of(folder)]
    return f"Found in {folder}: {listed(names, none='nothing')}."


def has_folders(folder: str | os.PathLike[str]) -> bool:
    """Return whether a folder contains folders of the user."""
    return any(entry.is_dir() for entry in entries_of(folder))


def split_in(folder: str | os.PathLike[str], split: str) -> Path | None:
    """Return what holds a split: the folder `split` with class folders, or a file such as `split.csv`; None if nothing.

    Raises:
        ValueError: if there is no such folder, but several files.
    """
    if _is_split_folder(Path(folder, split)):
        return Path(folder, split)
    files = split_files(folder, split)
    if len(files) > 1:
        raise ValueError(f"{folder} holds {' and '.join(file.name for file in files)}: leave one of them there.")
    return files[0] if files else None


def _is_split_folder(path: str | os.PathLike[str]) -> bool:
    return os.path.isdir(path) and has_folders(path)


def split_files(folder: str | os.PathLike[str], split: str) -> list[Path]:
    """Return the files in `folder` that hold or list the images of a split."""
    paths = [Path(folder, split + suffix) for suffix in FILE_KINDS] + [Path(folder, _IMAGENET)] * (split == "train")
    return [path for path in paths if os.path.isfile(path)]


def is_collection(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is a file that by its name holds or lists labelled images."""
    return Path(path).suffix.lower() in FILE_KINDS and os.path.isfile(path)


def splits_in(folder: str | os.PathLike[str]) -> list[str]:
    """Return which of train, val, valid, validation and test are in `folder`: class folders or files."""
    names = ("train", *EVAL_SPLITS)
    return [name for name in names if _is_split_folder(os.path.join(folder, name)) or split_files(folder, name)]


def find_undivided(root: Path, name: str, *, only_train: bool) -> Path | None:
    """Return the file of a data set without splits, `root`, or the folder with its class folders: `root/name`, `root`.

    Args:
        only_train: whether a folder or file `train` counts as undivided if it is the only split.
    Returns:
        None if there is none. There must be two or more class folders with images; neighbouring data sets are not
        classes.
    """
    if is_collection(root):
        return root
    for folder in (root / name, root):
        if not folder.is_dir():
            continue
        splits = splits_in(folder)
        if splits == ["train"] and only_train:
            return split_in(folder, "train")
        inner = [entry for entry in entries_of(folder) if entry.is_dir()]
        if splits or any(_is_no_class(entry) for entry in inner):
            continue
        with_images = (entry for entry in inner if next(_walk(entry.path, Counter(), set()), None))
        if len(list(islice(with_images, 2))) == 2:
            return folder
    return None


def _is_no_class(folder: os.DirEntry) -> bool:
    """Return whether a folder looks like a split with another name (Train, test_set), or like a data set."""
    named_so = folder.name.lower().startswith(("train", "val", "test", "eval"))
    return (named_so and has_folders(folder.path)) or bool(splits_in(folder.path))


def data_set_in(folder: str) -> tuple[str, str]:
    """Return the name of the data set in a folder or file, and a description in words.

    A known layout has its own name; other images are named after their folder or file. No file is opened.
    """
    root = Path(folder).expanduser()
    if is_collection(root):
        return root.stem + "_images" * (root.stem in BUILT_IN), f"the {FILE_KINDS[root.suffix.lower()]} {folder}"
    try:
        inner = [entry.name for entry in entries_of(root) if entry.is_dir() and splits_in(entry.path)]
        known = [] if splits_in(root) else _known_in(root)
    except OSError:  # reported when it is opened
        inner, known = [], []
    if len(known) == 1 and not inner:
        return known[0], f"{known[0]}, which {folder} holds"
    name = inner[0] if len(inner) == 1 and not known else os.path.basename(os.path.abspath(root)) or "images"
    return name + "_images" * (name in BUILT_IN), f"{_kind_in(root, name)} in {folder}"


def _kind_in(root: Path, name: str) -> str:
    """Return in words what `split_in` finds for the split train."""
    for folder in (root, root / name):
        files = split_files(folder, "train")
        if files and not _is_split_folder(folder / "train"):
            return f"the {FILE_KINDS[files[0].suffix]} {files[0].name}"
    return "the image folders"


def describe_known(root: Path) -> str:
    """Return a hint at the data sets with their own layouts in a folder, or an empty text."""
    known = _known_in(root)
    return f" It holds {' and '.join(known)}: use --dataset={known[0]}." if known else ""


def _known_in(root: Path) -> list[str]:
    return [name for name, patterns in _KNOWN.items() if any(next(root.glob(p), None) for p in patterns)]
