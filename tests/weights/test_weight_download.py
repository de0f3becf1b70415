"""Published weights fetched from servers in this process: success, every failure, and no partial file accepted."""

import fcntl
import gc
import hashlib
import logging
import os
import random
import struct
import subprocess
import sys
import termios
import warnings
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
from loopback import NOTHING_LISTENS, FileServer, HubServer, isolate

from mindcv.weights import download
from mindcv.weights.catalog import find_weights
from mindcv.weights.download import fetch_weights

ROOT = Path(__file__).parent.parent.parent
CONTENT = random.Random(7).randbytes(300_000)
OTHER = random.Random(8).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FILE = f"resnet18-{SHA256[:8]}.ckpt"
REPOSITORY = "timm/resnet18.a1_in1k"
HUB_FILE = f"{REPOSITORY}/model.safetensors"


@pytest.fixture(autouse=True)
def isolated(monkeypatch, tmp_path):
    isolate(monkeypatch, tmp_path)
    yield
    getattr(huggingface_hub, "close_session", lambda: None)()  # versions from 1 on keep connections open
    with warnings.catch_warnings():  # from objects in the frames of expected errors
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def files():
    with FileServer() as server:
        server.files[FILE] = CONTENT
        yield server


@pytest.fixture
def hub(monkeypatch):
    with HubServer() as server:
        server.add(REPOSITORY, "model.safetensors", CONTENT)
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.fixture
def plain(files):
    """Weights at a plain URL only, with the first digits of their hash."""
    record = find_weights("resnet18", "mindcv")
    return replace(record, url=f"{files.url}/{FILE}", url_sha256=SHA256[:8])


@pytest.fixture
def hosted(files):
    """Weights on the hub, and at a plain URL too."""
    return replace(find_weights("resnet18", "a1_in1k"), url=f"{files.url}/{FILE}", url_sha256=SHA256[:8])


def message_of(record) -> str:
    with pytest.raises(ValueError) as caught:
        fetch_weights(record)
    assert "\n" not in str(caught.value)
    return str(caught.value)


PROGRAM = """
import sys, types
sys.path.insert(0, {root!r})
sys.modules["mindcv.weights"] = package = types.ModuleType("mindcv.weights")  # whose own imports need MindSpore
package.__path__ = [{root!r} + "/mindcv/weights"]
from mindcv.weights.catalog import WeightRecord
from mindcv.weights.download import fetch_weights
print(fetch_weights({record!r}))
assert "mindspore" not in sys.modules
"""
# Root writes anywhere by a capability, which this drops for the next exec.
AS_ANYONE = """
import ctypes, os, sys
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1
if os.geteuid() == 0 and ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0):
    sys.exit(77)
os.execv(sys.executable, [sys.executable, "-W", "error", "-c", sys.argv[1]])
"""


def fetch_elsewhere(record, *before, stderr=subprocess.PIPE) -> subprocess.Popen:
    """Fetch in a separate process without MindSpore."""
    command = [sys.executable, "-W", "error", "-c", *before, PROGRAM.format(root=str(ROOT), record=record)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)


# --- plain URLs


def test_a_file_is_fetched_once(files, plain, tmp_path):
    path = fetch_weights(plain)
    assert path == tmp_path / "cache" / FILE
    assert path.read_bytes() == CONTENT
    assert fetch_weights(plain) == path
    assert len(files.requests) == 1
    assert not [other for other in path.parent.iterdir() if other != path and not other.name.endswith(".lock")]


@pytest.mark.parametrize("failure", ["404", "403", "wrong hash", "truncated", "refused", "silent"])
def test_a_failed_download_says_what_to_do_and_leaves_no_file(failure, files, plain, tmp_path, monkeypatch):
    url = plain.url
    if failure in ("404", "403"):
        files.status[FILE] = int(failure)
    elif failure == "wrong hash":
        files.instead[FILE] = OTHER
    elif failure == "truncated":
        files.ranges, files.cuts[FILE] = False, [100_000] * 5
    elif failure == "refused":
        url = f"{NOTHING_LISTENS}/{FILE}"
    else:
        files.delay = 1.0
        monkeypatch.setattr(download, "TIMEOUT_S", 0.2)
    message = message_of(replace(plain, url=url))
    expected = {"wrong hash": hashlib.sha256(OTHER).hexdigest(), "truncated": "100000", "silent": "timed out"}
    assert expected.get(failure, failure) in message
    assert f"could not download {FILE}, the weights 'mindcv' of resnet18, from {url}: " in message
    assert f"Put the file into {tmp_path / 'cache'} by hand (its sha256 " in message
    assert "or set MINDCV_WEIGHTS_MIRROR" in message
    assert f"its sha256 begins with {SHA256[:8]}" in message
    assert not (tmp_path / "cache" / FILE).exists()
    if failure == "wrong hash":
        assert not list((tmp_path / "cache").glob("*.part*"))
    files.status, files.instead, files.cuts, files.delay = {}, {}, {}, 0.0
    assert fetch_weights(plain).read_bytes() == CONTENT  # despite leftover files


def assert_resumed(first, second):
    assert first.range is None
    start = int(second.range.removeprefix("bytes=").removesuffix("-"))
    assert 0 < start <= first.sent
    assert second.status == 206
    assert start + second.sent == len(CONTENT)


def test_a_broken_connection_is_resumed_in_the_same_run(files, plain):
    files.cuts[FILE] = [150_000]
    assert fetch_weights(plain).read_bytes() == CONTENT
    assert_resumed(*files.requests)


def test_a_failed_download_is_resumed_by_the_next_run(files, plain):
    files.cuts[FILE] = [150_000, 0]
    message_of(plain)
    first, _ = files.requests
    files.requests.clear()
    assert fetch_weights(plain).read_bytes() == CONTENT
    (second,) = files.requests
    assert_resumed(first, second)
    assert second.if_range == files.etag(FILE)


def test_a_file_that_changed_in_between_is_fetched_again(files, plain):
    files.files[FILE], files.cuts[FILE] = OTHER, [150_000, 0]
    message_of(plain)
    files.files[FILE] = CONTENT
    assert fetch_weights(plain).read_bytes() == CONTENT
    assert files.requests[-1].range is not None
    assert files.requests[-1].status == 200


def test_without_ranges_the_whole_file_is_fetched_again(files, plain):
    files.ranges, files.cuts[FILE] = False, [150_000, 200_000]
    assert fetch_weights(plain).read_bytes() == CONTENT
    assert [request.status for request in files.requests] == [200, 200, 200]
    assert files.requests[-1].range is not None


@pytest.mark.parametrize("part", [CONTENT, CONTENT + b"too long"])
def test_a_complete_or_longer_part_is_handled(part, files, plain, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / f"{FILE}.part").write_bytes(part)
    assert fetch_weights(plain).read_bytes() == CONTENT
    assert files.requests[0].status == 416
    assert len(files.requests) == (1 if part == CONTENT else 2)


def test_a_part_of_another_file_is_noticed_and_deleted(files, plain, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / f"{FILE}.part").write_bytes(OTHER[:1000])
    assert "its sha256 is" in message_of(plain)
    assert fetch_weights(plain).read_bytes() == CONTENT


def test_a_damaged_file_in_the_cache_is_an_error_with_its_path(files, plain, tmp_path):
    (tmp_path / "cache").mkdir()
    path = tmp_path / "cache" / FILE
    path.write_bytes(CONTENT[:-1])
    message = message_of(plain)
    assert message.startswith(f"{path} is damaged or another file: its sha256 is ")
    assert "Delete it" in message
    assert path.exists()
    assert not files.requests


def test_the_mirror_variable_names_the_folder(files, plain, monkeypatch):
    monkeypatch.setenv("MINDCV_WEIGHTS_MIRROR", files.url + "/")
    elsewhere = replace(plain, url=f"{NOTHING_LISTENS}/deep/{FILE}")
    assert fetch_weights(elsewhere).read_bytes() == CONTENT


def test_a_cache_that_is_not_writable_is_an_error_with_its_path(plain, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINDCV_CACHE", str(tmp_path / "file" / "cache"))  # stops root as well
    message = message_of(plain)
    assert str(tmp_path / "file") in message
    assert "MINDCV_CACHE" in message


@pytest.mark.parametrize("is_there", [True, False])
def test_a_read_only_cache_serves_the_files_it_has(is_there, plain, tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir()
    if is_there:
        (folder / FILE).write_bytes(CONTENT)
    folder.chmod(0o555)
    process = fetch_elsewhere(plain, AS_ANYONE)
    out, err = process.communicate(timeout=30)
    folder.chmod(0o755)
    if process.returncode == 77:
        pytest.skip("root may write anywhere here, and may not give that up")
    assert process.returncode == (0 if is_there else 1), err
    assert out.strip() == str(folder / FILE) if is_there else f"Put the file into {folder}" in err
    assert is_there or "Permission denied" in err


def test_two_processes_at_once_share_one_download(files, plain, tmp_path):
    files.delay = 0.2
    processes = [fetch_elsewhere(plain) for _ in range(2)]
    for process in processes:
        out, err = process.communicate(timeout=30)
        assert process.returncode == 0, err
        assert out.strip() == str(tmp_path / "cache" / FILE)
        assert "%|" not in err, "a progress bar where there is no terminal"
    assert (tmp_path / "cache" / FILE).read_bytes() == CONTENT
    assert len(files.requests) == 1


# --- the hub


def test_a_hub_file_is_fetched_once(hub, hosted, files, tmp_path):
    path = fetch_weights(hosted)
    assert path.read_bytes() == CONTENT
    assert tmp_path / "hf" / "hub" in path.parents
    seen = len(hub.requests)
    assert len(hub.gets(HUB_FILE)) == 1
    assert fetch_weights(hosted) == path
    assert len(hub.requests) == seen
    assert not files.requests


@pytest.mark.parametrize("failure", ["404", "403", "truncated", "refused", "offline", "no hash"])
def test_a_failed_hub_download_reports_both_sources_and_uses_neither(
    failure, hub, hosted, files, tmp_path, monkeypatch
):
    endpoint = hub.url
    if failure in ("404", "403"):
        hub.status[HUB_FILE] = int(failure)
    elif failure == "truncated":
        hub.instead[HUB_FILE] = CONTENT[:100_000]
    elif failure == "refused":
        endpoint = NOTHING_LISTENS
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
    elif failure == "offline":
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    else:
        monkeypatch.setattr(hub, "etag", lambda _: '"d0d0"')
    message = message_of(hosted)
    expected = {"truncated": "has size 100000", "offline": "HF_HUB_OFFLINE is set", "no hash": "sha256"}
    assert expected.get(failure, failure) in message
    assert f"could not download model.safetensors of {REPOSITORY}, the weights 'a1_in1k' of resnet18" in message
    by_hand = tmp_path / "cache" / "resnet18.a1_in1k.safetensors"
    assert f"{endpoint}/{REPOSITORY}/resolve/main/model.safetensors as {by_hand}, or" in message
    assert f"{hosted.url} as {tmp_path / 'cache' / FILE}" in message
    assert "HF_ENDPOINT to a mirror of the hub or MINDCV_WEIGHTS_MIRROR" in message
    kept = [path for path in (tmp_path / "hf").rglob("*") if path.is_file() and path.stat().st_size > 1000]
    assert all(path.suffix == ".incomplete" for path in kept)  # resumed by versions before 2 in the next run
    assert not files.requests
    if failure == "offline":
        assert not hub.requests


def test_a_hub_file_with_wrong_content_is_an_error_until_deleted(hub, hosted):
    hub.instead[HUB_FILE] = OTHER
    message = message_of(hosted)
    assert f"its sha256 is {hashlib.sha256(OTHER).hexdigest()}, that of the published weights is {SHA256}" in message
    damaged = Path(message.split(" is damaged")[0])
    assert damaged.read_bytes() == OTHER
    hub.instead.clear()
    assert message_of(hosted) == message
    damaged.unlink()
    assert fetch_weights(hosted).read_bytes() == CONTENT


def test_a_corrupted_hub_file_in_the_cache_is_noticed_offline_too(hub, hosted, monkeypatch):
    fetch_weights(hosted).resolve().write_bytes(CONTENT[:-1])
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "is damaged or another file" in message_of(hosted)


def test_a_hub_cache_without_links_is_checked_with_the_hubs_hash(hub, hosted, monkeypatch, caplog):
    path = fetch_weights(hosted)
    path.unlink()
    path.write_bytes(OTHER)  # as where links are not allowed
    assert "is damaged or another file" in message_of(hosted)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetch_weights(hosted) == path
    assert "is used unchecked" in caplog.text


def test_a_broken_hub_connection_is_resumed(hub, hosted, monkeypatch):
    # The library resumes at multiples of its chunk size, by default larger than the file.
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 1 << 16)
    hub.cuts[HUB_FILE] = [150_000]
    if int(huggingface_hub.__version__.split(".")[0]) < 2:  # resumes in the next run
        message_of(hosted)
    assert fetch_weights(hosted).read_bytes() == CONTENT
    assert_resumed(*hub.gets(HUB_FILE))


def test_the_hubs_cache_is_used_offline(hub, hosted, monkeypatch):
    path = fetch_weights(hosted)
    hub.requests.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetch_weights(hosted) == path
    assert not hub.requests


def test_the_environment_sets_the_hubs_cache(hub, hosted, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "elsewhere"))
    assert tmp_path / "elsewhere" in fetch_weights(hosted).parents
    assert not (tmp_path / "hf").exists()


def test_a_hub_cache_that_is_not_writable_is_an_error_with_its_path(hub, hosted, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "file" / "hub"))
    assert f"into {tmp_path / 'file' / 'hub'}: " in message_of(hosted)


def test_two_processes_at_once_get_the_same_hub_file(hub, hosted):
    hub.delay = 0.2
    processes = [fetch_elsewhere(hosted) for _ in range(2)]
    paths = set()
    for process in processes:
        out, err = process.communicate(timeout=30)
        assert process.returncode == 0, err
        assert "%|" not in err, "a progress bar where there is no terminal"
        paths.add(out.strip())
    (path,) = paths
    assert Path(path).read_bytes() == CONTENT


def test_the_mirror_of_plain_files_has_precedence_over_the_hub(hub, files, hosted, monkeypatch):
    monkeypatch.setenv("MINDCV_WEIGHTS_MIRROR", files.url)
    assert fetch_weights(hosted).name == FILE
    assert not hub.requests


def test_a_hub_file_placed_by_hand_is_found(hub, hosted, tmp_path, caplog):
    (tmp_path / "cache").mkdir()
    path = tmp_path / "cache" / "resnet18.a1_in1k.safetensors"
    path.write_bytes(CONTENT)
    with caplog.at_level(logging.WARNING, "mindcv"):
        assert fetch_weights(hosted) == path
    assert f"{path} is used unchecked" in caplog.text
    assert not hub.requests
    with pytest.raises(ValueError, match="is damaged or another file"):
        fetch_weights(replace(hosted, hub_sha256="0" * 64))


@pytest.mark.parametrize("place", ["plain", "hub"])
def test_a_terminal_shows_progress(place, files, hub, plain, hosted):
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
    process = fetch_elsewhere(plain if place == "plain" else hosted, stderr=theirs)
    out, _ = process.communicate(timeout=30)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    os.close(theirs)
    assert out
    assert f"{FILE if place == 'plain' else 'model.safetensors'}: " in shown
    assert "B/s]" in shown
