"""Downloads of published weights from the hub or a plain URL, checked against the published hash.

Environment variables, read when a file is fetched:
    MINDCV_CACHE: folder for files from plain URLs and files that the user puts there.
    HF_HOME, HF_HUB_CACHE: the hub's own cache.
    HF_ENDPOINT: mirror of the hub.
    MINDCV_WEIGHTS_MIRROR: URL of a folder with the files at plain URLs; it has precedence over the hub.
    HF_HUB_OFFLINE=1: do not connect to the hub.
"""

import logging
import os
import re
from pathlib import Path

from mindcv import console
from mindcv.files import file_sha256
from mindcv.weights.catalog import WeightRecord

CACHE_VARIABLE = "MINDCV_CACHE"
MIRROR_VARIABLE = "MINDCV_WEIGHTS_MIRROR"
TIMEOUT_S = 30  # without a byte from the server
_ATTEMPTS = 20  # connections for one file, as long as each receives something
_CHUNK = 1 << 16
_LOG = logging.getLogger("mindcv")


def fetch_weights(record: WeightRecord) -> Path:
    """Return the path of published weights, downloading them if necessary.

    Only the first source that applies is used: a file in the cache folder, `MINDCV_WEIGHTS_MIRROR`, the hub, the plain
    URL.

    Raises:
        ValueError: if the file is not available or does not have the published hash. The message says where to put
            the file by hand and which variables name mirrors.
    """
    for path, sha256 in _places_by_hand(record):
        if path.is_file():
            _check(path, sha256)
            return path
    mirror = os.environ.get(MIRROR_VARIABLE)
    if mirror and record.url:
        return _from_url(record, f"{mirror.rstrip('/')}/{record.url_file}")
    if record.hub:
        return _from_hub(record, record.hub)
    assert record.url, "a record has a hub or a URL"
    return _from_url(record, record.url)


def cache_folder() -> Path:
    """Return the folder for files from plain URLs: `MINDCV_CACHE`, or the platform's cache folder of the user."""
    import pooch  # here: only downloads need it

    return Path(os.path.expanduser(os.environ.get(CACHE_VARIABLE) or pooch.os_cache("mindcv"))).absolute()


def _places_by_hand(record: WeightRecord) -> list[tuple[Path, str | None]]:
    """Return the files in the cache folder that may be used for `record`, and the start of their sha256."""
    places = [(record.url_file, record.url_sha256)] if record.url else []
    if record.hub:  # all its files have the same name
        places.append((f"{record.hub.rsplit('/', 1)[1]}.safetensors", record.hub_sha256))
    return [(cache_folder() / name, sha256) for name, sha256 in places]


def _check(path: Path, sha256: str | None) -> None:
    """Compare a local file with the published hash, or with its first digits."""
    if not sha256:
        _LOG.warning(f"{path} is used unchecked: its published hash is not known here.")
        return
    found = file_sha256(path)
    if not found.startswith(sha256):
        raise ValueError(
            f"{path.resolve()} is damaged or another file: its sha256 is {found}, that of the published weights "
            f"{_digits(sha256)}. Delete it, and it will be downloaded again."
        )


def _digits(sha256: str) -> str:
    return f"is {sha256}" if len(sha256) == 64 else f"begins with {sha256}"


def _title(record: WeightRecord) -> str:
    return f"the weights {record.name!r} of {record.model}"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".")


def _from_url(record: WeightRecord, url: str) -> Path:
    """Download the file at a plain URL into the cache folder."""
    import pooch
    import requests
    from filelock import FileLock

    name, sha256 = record.url_file, record.url_sha256
    assert sha256, "every URL has its hash"
    target = cache_folder() / name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{name}.lock")):  # a second process waits and then finds the file
            downloader = _ResumingDownloader(target.with_name(f"{name}.part"), sha256)
            # pooch compares complete hashes only: it gets none, and the downloader compares.
            pooch.create(target.parent, "", registry={name: None}, urls={name: url}).fetch(name, downloader=downloader)
    except (requests.RequestException, OSError, ValueError) as error:
        raise ValueError(
            f"could not download {name}, {_title(record)}, from {url}: {_one_line(error)}. Put the file into "
            f"{target.parent} by hand (its sha256 {_digits(sha256)}), or set {MIRROR_VARIABLE} to the URL of a folder "
            f"that holds it, or {CACHE_VARIABLE} to another folder of yours."
        ) from error
    return target


class _ResumingDownloader:
    """A downloader for pooch that resumes broken downloads, in the same run or a later one.

    Args:
        part: file with the bytes received so far.
        sha256: start of the expected hash.
    """

    def __init__(self, part: Path, sha256: str) -> None:
        self.part = part
        self.etag = part.with_name(f"{part.name}.etag")  # the server's version of the file
        self.sha256 = sha256

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        import requests

        broken = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
        for attempt in range(_ATTEMPTS):
            before = self._received()
            try:
                self._receive(url)
                break
            except broken:
                if self._received() <= before or attempt == _ATTEMPTS - 1:
                    raise
        found = file_sha256(self.part)
        if not found.startswith(self.sha256):
            self._forget()
            raise ValueError(
                f"its sha256 is {found}, that of the published file {_digits(self.sha256)}; it was deleted"
            )
        self.part.replace(output_file)
        self._forget()

    def _received(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.etag.unlink(missing_ok=True)

    def _receive(self, url: str) -> None:
        """Append the missing bytes to the part in one request, or start again if the server cannot resume."""
        import requests

        start = self._received()
        headers = {"Accept-Encoding": "identity"}  # a compressed response cannot be resumed
        if start:
            headers["Range"] = f"bytes={start}-"
            if self.etag.exists():
                headers["If-Range"] = self.etag.read_text()
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
            given = response.headers.get("Content-Range", "")
            if response.status_code == 416 and given == f"bytes */{start}":
                return  # the part is complete
            is_other_range = response.status_code == 206 and not given.startswith(f"bytes {start}-")
            if start and (response.status_code == 416 or is_other_range):  # the part is of another file
                self._forget()
                return self._receive(url)
            response.raise_for_status()
            if response.status_code != 206:  # the whole file, requested or not
                start = 0
                self._remember(response.headers.get("ETag", ""))
            length = response.headers.get("Content-Length")
            with (
                self.part.open("ab" if start else "wb") as file,
                console.byte_bar(self.part.stem, start + int(length or 0), start) as bar,
            ):
                for chunk in response.iter_content(_CHUNK):
                    file.write(chunk)
                    bar.update(len(chunk))

    def _remember(self, etag: str) -> None:
        """Keep a strong tag; a weak one does not identify the bytes (RFC 9110, section 13.1.5)."""
        if etag.startswith('"'):
            self.etag.write_text(etag)
        else:
            self.etag.unlink(missing_ok=True)


def _from_hub(record: WeightRecord, hub: str) -> Path:
    """Download a file of the hub into the hub's own cache, unless it is there already."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError

    endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"
    cache = _hub_cache()
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    cached = try_to_load_from_cache(hub, record.file, cache_dir=cache)
    path = Path(cached) if isinstance(cached, str) else None
    # In the cache, a file's name is a link to its content, whose name is its hash. Without links, ask the hub for it.
    if path and (path.is_symlink() or offline):
        _check(path, record.hub_sha256 or _as_sha256(path.readlink().name if path.is_symlink() else ""))
        return path
    # The base class of connection errors depends on the library's version; HfHubHTTPError has the same.
    errors = (OSError, RuntimeError, ValueError, HfHubHTTPError.__bases__[0])
    try:
        if offline:
            raise OSError("HF_HUB_OFFLINE is set, and the file is not in the hub's cache")
        # Checked first: without a network hf_hub_download would try for half a minute.
        url = hf_hub_url(hub, record.file, endpoint=endpoint)
        published = record.hub_sha256 or _as_sha256(get_hf_file_metadata(url, timeout=TIMEOUT_S).etag or "")
        if not published:
            raise OSError("the server does not report its sha256")
        path = Path(hf_hub_download(hub, record.file, endpoint=endpoint, cache_dir=cache))
    except errors as error:
        raise ValueError(_hub_message(record, endpoint, cache, error)) from error
    _check(path, published)
    return path


def _as_sha256(etag: str) -> str | None:
    """Return the sha256 in an etag of the hub, which has it for large files, else None."""
    return etag if re.fullmatch("[0-9a-f]{64}", etag) else None


def _hub_cache() -> Path:
    """Return the hub's cache folder by the rules of huggingface_hub, which reads the environment only once."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    folder = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or Path(home, "hub")
    return Path(os.path.expandvars(folder)).expanduser().absolute()


def _hub_message(record: WeightRecord, endpoint: str, cache: Path, error: Exception) -> str:
    *by_url, (safetensors, _) = _places_by_hand(record)
    files = [f"{endpoint}/{record.hub}/resolve/main/{record.file} as {safetensors}"]
    files += [f"{record.url} as {path}" for path, _ in by_url]
    mirrors = "HF_ENDPOINT to a mirror of the hub"
    if by_url:
        mirrors += f" or {MIRROR_VARIABLE} to the URL of a folder that holds {record.url_file}"
    reason = _one_line(error)
    if error.__cause__ and _one_line(error.__cause__) not in reason:
        reason += f" ({_one_line(error.__cause__)})"
    return (
        f"could not download {record.file} of {record.hub}, {_title(record)}, from {endpoint} into {cache}: {reason}. "
        f"Download it by hand, {', or '.join(files)}, or set {mirrors}."
    )
