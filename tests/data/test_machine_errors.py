"""If the machine fails, no image or data file is called bad: the run ends and reports the reason."""

import errno
import gzip
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import fixtures_data
import numpy as np
import pytest
from PIL import Image

from mindcv.data import ImageFiles, check_dataset, create_dataset, create_transforms
from mindcv.data.image_file import read_image_file
from mindcv.faults import is_machine_error, is_out_of_memory

FAILURES = {
    "memory": MemoryError(),
    "memory of the system": OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
    "file descriptors": OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
    "the disk": OSError(errno.EIO, os.strerror(errno.EIO)),
    "the file server": OSError(errno.ESTALE, os.strerror(errno.ESTALE)),
}


@pytest.fixture(params=FAILURES)
def failing(request, tmp_path, monkeypatch):
    """An image that the machine fails to read, and the expected error."""
    fixtures_data.write_image_folder(tmp_path, "train", 2, 3, size=16)
    bad, read = tmp_path / "train" / "class1" / "001.png", np.fromfile
    error = FAILURES[request.param]

    def fail(path, dtype):
        if os.fspath(path) == str(bad):
            raise error
        return read(path, dtype)

    monkeypatch.setattr(np, "fromfile", fail)
    reason = "not enough memory to read" if isinstance(error, MemoryError) else rf"cannot read .*: {error.strerror}"
    return bad, pytest.raises(MemoryError if isinstance(error, MemoryError) else OSError, match=reason)


def test_reading_an_image_reports_the_failure_and_the_file(failing):
    bad, raises = failing
    with raises as caught:
        read_image_file(bad)
    assert str(bad) in str(caught.value)


@pytest.mark.parametrize("is_training", [True, False])
def test_skipping_bad_images_does_not_skip_machine_errors(failing, tmp_path, is_training):
    dataset = create_dataset("own", tmp_path, "train")
    loader = fixtures_data.open_loader(
        dataset, is_training=is_training, on_bad_image="skip", batch_size=2, image_resize=16
    )
    with failing[1]:
        list(loader.epoch(0))
    assert loader.bad_images == {}


def test_check_data_does_not_list_machine_errors(failing, tmp_path):
    with failing[1]:
        check_dataset(create_dataset("own", tmp_path, "train"), 1)


def test_prediction_does_not_count_machine_errors_as_unreadable(failing, tmp_path):
    paths = sorted(tmp_path.rglob("*.png"))
    files = ImageFiles(paths, create_transforms(is_training=False, image_resize=16), 2, 1)
    with failing[1]:
        list(files)
    assert files.unreadable == {}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the limit is set by what Linux reports")
def test_an_image_too_large_for_the_memory_left_is_not_called_damaged(tmp_path):
    (tmp_path / "train" / "a").mkdir(parents=True)
    Image.new("RGB", (5000, 5000)).save(tmp_path / "train" / "a" / "large.png")
    code = """
        import resource, sys
        from pathlib import Path
        import mindcv
        from mindcv.data import check_dataset, create_dataset

        dataset = create_dataset("own", sys.argv[1], "train")
        assert check_dataset(dataset, 1) == []
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (20 << 20), resource.RLIM_INFINITY))
        try:
            print(check_dataset(dataset, 1))
        except MemoryError as error:
            print("MemoryError:", error)
    """
    argv = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    run = subprocess.run(argv, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=120)
    assert run.stdout == "MemoryError: not enough memory to decode an image\n", run.stdout + run.stderr


def test_a_failing_disk_is_not_reported_as_an_incomplete_archive(tmp_path, monkeypatch):
    fixtures_data.write_mnist(tmp_path, compress=True)

    def fail(self, *_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(gzip.GzipFile, "read", fail)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        create_dataset("mnist", tmp_path, "train")


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES, errno.EISDIR, errno.ELOOP])
def test_errors_of_one_file_are_not_machine_errors(number):
    assert not is_machine_error(OSError(number, os.strerror(number)))


@pytest.mark.parametrize("error", [OSError("image file is truncated"), ValueError("out of memory"), KeyError("x")])
def test_errors_from_broken_images_are_not_machine_errors(error):
    assert not is_machine_error(error)


@pytest.mark.parametrize(
    "error",
    [MemoryError(), OSError("out of memory error when reading image file"), RuntimeError("(-4:Insufficient memory) x")],
)
def test_out_of_memory_is_recognised_in_every_form(error):
    assert is_out_of_memory(error) and is_machine_error(error)
