"""CIFAR-10 and CIFAR-100 in their binary layout.

Source: Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images", and the data sets' home page: each
record is one label byte (CIFAR-100: coarse, then fine), then 32x32 red, green and blue planes.
"""

from pathlib import Path

import numpy as np

from mindcv.data.dataset import ArrayDataset, check_split
from mindcv.data.download import (
    CIFAR10_ARCHIVE,
    CIFAR100_ARCHIVE,
    RemoteFile,
    check_archive,
    download_archive,
    extract_archive,
)
from mindcv.files import listed

PIXELS = 3 * 32 * 32
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class Cifar(ArrayDataset):
    """Reader shared by both CIFARs; the subclasses hold names and sizes."""

    dataset_name: str
    folder: str  # as in the archive
    python_folder: str  # of the pickled version, which is an error
    python_marker: str  # a file of the pickled version
    archive: RemoteFile
    files: dict[str, str]  # split -> glob pattern
    names_file: str
    label_bytes: int  # the last one is the label
    built_in_names: tuple[str, ...]  # class names if there is no names_file

    def __init__(self, root: Path, split: str, download: bool) -> None:
        check_split(self.dataset_name, split, tuple(self.files))
        folder = self._locate(root, download)
        paths = sorted(folder.glob(self.files[split]))
        if not paths:
            raise ValueError(f"no {self.files[split]} in {folder}.\n{self._expected(folder)}")
        records = [self._read(path) for path in paths]
        joined = np.concatenate(records)
        images = joined[:, self.label_bytes :].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)  # planes -> (N, H, W, C)
        sources = [(str(path), len(part)) for path, part in zip(paths, records, strict=True)]
        super().__init__(
            self.dataset_name,
            split,
            self._class_names(folder),
            np.ascontiguousarray(images),
            joined[:, self.label_bytes - 1],
            sources,
        )

    def _locate(self, root: Path, download: bool) -> Path:
        def present() -> Path | None:
            for folder in (root, root / self.folder):
                if any(next(folder.glob(pattern), None) for pattern in self.files.values()):
                    return folder
            return None

        folder = present()
        if folder is None and (root / self.archive.name).is_file():
            check_archive(self.archive, root)
            extract_archive(root / self.archive.name, root, self.folder)
            folder = present()
        if folder is None and download:
            download_archive(self.archive, root, self.folder)
            folder = present()
        if folder is not None:
            return folder
        for pickled in (root, root / self.python_folder):
            if (pickled / self.python_marker).is_file():
                raise ValueError(
                    f"{pickled} holds the Python version of {self.dataset_name}, whose files are pickles: reading them "
                    f"would execute the code in them. Get the binary version, {self.archive.name}."
                )
        raise ValueError(f"{self.dataset_name} is not in {root}.\n{self._expected(root)}")

    def _expected(self, root: Path) -> str:
        found = sorted(entry.name for entry in root.iterdir()) if root.is_dir() else []
        patterns = " and ".join(self.files.values())
        return (
            f"Expected: {patterns} in {root} or in {root / self.folder}, or the archive {root / self.archive.name}; "
            f"--dataset_download fetches it. Found: {listed(found, none='nothing')}."
        )

    def _read(self, path: Path) -> np.ndarray:
        if not path.is_file():  # reading from a pipe would block
            raise ValueError(f"{path} is not a regular file; expected one of {self.dataset_name}'s files.")
        content = np.fromfile(path, np.uint8)
        record = self.label_bytes + PIXELS
        if len(content) == 0 or len(content) % record:
            raise ValueError(
                f"{path} has {len(content)} bytes; a {self.dataset_name} file holds a whole number of records of "
                f"{record} bytes. It is incomplete or another file: delete it and get it again."
            )
        return content.reshape(-1, record)

    def _class_names(self, folder: Path) -> tuple[str, ...]:
        path = folder / self.names_file
        if not path.exists() and not path.is_symlink():
            return self.built_in_names
        try:
            text = path.read_text(encoding="utf-8") if path.is_file() else ""
        except UnicodeDecodeError:
            text = ""
        names = tuple(line.strip() for line in text.splitlines() if line.strip())
        if len(set(names)) != len(names) or len(names) != len(self.built_in_names):
            raise ValueError(
                f"{path} must be a text file with the {len(self.built_in_names)} class names of {self.dataset_name}, "
                "one per line; it is incomplete or another file: get it again, or delete it to do without."
            )
        return names


class Cifar10(Cifar):
    """60,000 colour images of 32x32 in 10 classes, 10,000 of them for test."""

    dataset_name = "cifar10"
    folder = "cifar-10-batches-bin"
    python_folder = "cifar-10-batches-py"
    python_marker = "data_batch_1"
    archive = CIFAR10_ARCHIVE
    files = {"train": "data_batch_[0-9].bin", "test": "test_batch.bin"}  # noqa: RUF012
    names_file = "batches.meta.txt"
    label_bytes = 1
    built_in_names = CIFAR10_CLASSES


class Cifar100(Cifar):
    """60,000 colour images of 32x32 in 100 (fine) classes, 10,000 of them for test."""

    dataset_name = "cifar100"
    folder = "cifar-100-binary"
    python_folder = "cifar-100-python"
    python_marker = "meta"
    archive = CIFAR100_ARCHIVE
    files = {"train": "train.bin", "test": "test.bin"}  # noqa: RUF012
    names_file = "fine_label_names.txt"
    label_bytes = 2
    built_in_names = tuple(f"class{label}" for label in range(100))
