"""Downloads and archives from a server in this process: success, every failure, and no files left."""

import gc
import hashlib
import io
import os
import tarfile
import threading
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fixtures_data
import numpy as np
import pytest

from mindcv.data import create_dataset, download
from mindcv.data.cifar import Cifar10
from mindcv.data.download import CIFAR10_ARCHIVE, CIFAR100_ARCHIVE, MIRROR_VARIABLE, MNIST_FILES, RemoteFile

ARCHIVE = CIFAR10_ARCHIVE.name


class Server:
    """Serves `contents` by file name; `cut` names get half of the body they promise; counts requests."""

    def __init__(self):
        self.contents: dict[str, bytes] = {}
        self.cut: set[str] = set()
        self.requests: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.rsplit("/", 1)[1]
                outer.requests.append(name)
                if name not in outer.contents:
                    self.send_response(404)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                body = outer.contents[name]
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if name in outer.cut else body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/files"


@pytest.fixture
def server(monkeypatch):
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    served = Server()
    thread = threading.Thread(target=served.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv(MIRROR_VARIABLE, served.url + "/")
    yield served
    served.server.shutdown()
    served.server.server_close()
    thread.join()


def pin(monkeypatch, content: bytes):
    """Make `content` the expected archive of CIFAR-10."""
    file = RemoteFile("http://127.0.0.1:9/unused", ARCHIVE, hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(Cifar10, "archive", file)


@pytest.fixture
def archive(tmp_path_factory):
    return fixtures_data.cifar_archive(fixtures_data.write_cifar10(tmp_path_factory.mktemp("made"), 10, 4))


def tree(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_archive_is_downloaded_extracted_and_not_fetched_again(server, archive, tmp_path, monkeypatch):
    pin(monkeypatch, archive)
    server.contents[ARCHIVE] = archive
    assert len(create_dataset("cifar10", tmp_path / "new", download=True)) == 10
    assert {path.split("/")[0] for path in tree(tmp_path / "new")} == {fixtures_data.CIFAR10_FOLDER}
    assert len(create_dataset("cifar10", tmp_path / "new", "test", download=True)) == 4
    assert server.requests == [ARCHIVE]


@pytest.mark.parametrize("failure", ["404", "wrong hash", "truncated", "offline"])
def test_a_failed_download_says_what_to_do_and_leaves_no_file(failure, server, archive, tmp_path, monkeypatch):
    pin(monkeypatch, archive)
    server.contents[ARCHIVE] = archive
    url = server.url
    if failure == "404":
        server.contents.clear()
    elif failure == "wrong hash":
        server.contents[ARCHIVE] = archive + b"\0"
    elif failure == "truncated":
        server.cut.add(ARCHIVE)
    else:
        url = "http://127.0.0.1:9"  # the discard port, where nothing listens
        monkeypatch.setenv(MIRROR_VARIABLE, url)
    with pytest.raises(ValueError) as caught:
        create_dataset("cifar10", tmp_path, download=True)
    message = str(caught.value)
    with warnings.catch_warnings():  # pooch does not close the response of an error
        warnings.simplefilter("ignore", ResourceWarning)
        del caught
        gc.collect()
    assert f"could not download {ARCHIVE} from {url}/{ARCHIVE}" in message
    assert f"Put the file into {tmp_path} by hand, or set MINDCV_DATA_MIRROR" in message
    assert {"404": "404", "wrong hash": "wrong hash", "truncated": "bytes", "offline": "refused"}[failure] in message
    assert "\n" not in message
    assert tree(tmp_path) == []


def test_mnist_fetches_only_the_files_that_are_missing(server, tmp_path, monkeypatch):
    made = fixtures_data.write_mnist(tmp_path / "made", 8, 4, compress=True)
    files = []
    for file in MNIST_FILES:
        server.contents[file.name] = (made / file.name).read_bytes()
        files.append(RemoteFile("", file.name, hashlib.sha256(server.contents[file.name]).hexdigest()))
    monkeypatch.setattr("mindcv.data.mnist.MNIST_FILES", tuple(files))
    root = tmp_path / "root"
    (root / "mnist").mkdir(parents=True)
    (root / "mnist" / files[2].name).write_bytes(server.contents[files[2].name])
    assert len(create_dataset("mnist", root, download=True)) == 8
    assert sorted(server.requests) == sorted(file.name for file in files if file != files[2])
    assert len(create_dataset("mnist", root, "test", download=True)) == 4
    assert len(server.requests) == 3


def test_pinned_files_are_fetched_over_https_with_full_hashes(monkeypatch):
    monkeypatch.delenv(MIRROR_VARIABLE, raising=False)
    for file in (CIFAR10_ARCHIVE, CIFAR100_ARCHIVE, *MNIST_FILES):
        assert file.url.startswith("https://")
        assert file.url.endswith("/" + file.name)
        assert len(bytes.fromhex(file.sha256)) == 32


def test_an_archive_placed_by_hand_is_extracted_and_kept(archive, tmp_path, monkeypatch):
    pin(monkeypatch, archive)
    (tmp_path / ARCHIVE).write_bytes(archive)
    assert len(create_dataset("cifar10", tmp_path)) == 10
    assert {path.split("/")[0] for path in tree(tmp_path)} == {fixtures_data.CIFAR10_FOLDER, ARCHIVE}


def test_an_archive_placed_by_hand_is_checked_against_the_published_hash(archive, tmp_path, monkeypatch):
    pin(monkeypatch, archive)
    monkeypatch.setattr(tarfile, "open", lambda *_, **__: pytest.fail("opened"))
    (tmp_path / ARCHIVE).write_bytes(archive + b"\0")
    with pytest.raises(ValueError, match=r"is not the published archive: its sha256 is .*delete it and get it again"):
        create_dataset("cifar10", tmp_path)
    assert tree(tmp_path) == [ARCHIVE]


def evil(member: str, kind: bytes, linkname: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        info = tarfile.TarInfo(member)
        info.type, info.linkname, info.size = kind, linkname, 4 if kind == tarfile.REGTYPE else 0
        tar.addfile(info, io.BytesIO(b"evil") if kind == tarfile.REGTYPE else None)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (evil("../outside", tarfile.REGTYPE), r"member '\.\./outside' would be written outside"),
        (evil("cifar-10-batches-bin/../../outside", tarfile.REGTYPE), "would be written outside"),
        (evil("cifar-10-batches-bin/x.bin", tarfile.SYMTYPE, "/etc/passwd"), "is a link or a device"),
        (evil("cifar-10-batches-bin/x.bin", tarfile.LNKTYPE, "../../x"), "is a link or a device"),
        (evil("cifar-10-batches-bin/null", tarfile.CHRTYPE), "is a link or a device"),
        (evil("other/file", tarfile.REGTYPE), "does not hold the folder cifar-10-batches-bin; it holds: other"),
        (b"no archive", "is broken"),
    ],
)
def test_bad_archive_is_refused_and_writes_nothing(content, message, tmp_path, monkeypatch):
    pin(monkeypatch, content)
    root = tmp_path / "root"
    root.mkdir()
    (root / ARCHIVE).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        create_dataset("cifar10", root)
    assert tree(tmp_path) == ["root", f"root/{ARCHIVE}"]


def test_archive_with_an_absolute_name_is_refused_and_writes_nothing(tmp_path, monkeypatch):
    root = tmp_path / "root"
    root.mkdir()
    content = evil(f"{tmp_path}/outside", tarfile.REGTYPE)
    pin(monkeypatch, content)
    (root / ARCHIVE).write_bytes(content)
    with pytest.raises(ValueError, match="would be written outside"):
        create_dataset("cifar10", root)
    assert tree(tmp_path) == ["root", f"root/{ARCHIVE}"]


def test_cut_archive_is_refused(archive, tmp_path, monkeypatch):
    pin(monkeypatch, archive[: len(archive) // 2])
    (tmp_path / ARCHIVE).write_bytes(archive[: len(archive) // 2])
    with pytest.raises(ValueError, match=r"is broken .*delete it and get it again"):
        create_dataset("cifar10", tmp_path)
    assert tree(tmp_path) == [ARCHIVE]


def test_a_kill_while_extracting_leaves_no_partial_data_set(archive, tmp_path, monkeypatch):
    pin(monkeypatch, archive)
    (tmp_path / ARCHIVE).write_bytes(archive)
    pid = os.fork()
    if pid == 0:  # dies between extraction and rename, without clean-up
        monkeypatch.setattr(Path, "rename", lambda *_: os._exit(9))
        create_dataset("cifar10", tmp_path)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    assert not (tmp_path / fixtures_data.CIFAR10_FOLDER).exists()
    assert len(create_dataset("cifar10", tmp_path)) == 10


def test_extraction_accepts_a_folder_that_another_process_made_first(archive, tmp_path):
    (tmp_path / ARCHIVE).write_bytes(archive)
    theirs = fixtures_data.write_cifar10(tmp_path, 6, 2)
    download.extract_archive(tmp_path / ARCHIVE, tmp_path, theirs.name)
    assert np.fromfile(theirs / "test_batch.bin", np.uint8).size == 2 * 3073
