"""HTTP servers on the loopback interface: a folder of files, and a mirror of the Hugging Face hub.

Both are context managers. They record requests, and can simulate the failures of servers.
"""

import contextlib
import hashlib
import re
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NOTHING_LISTENS = "http://127.0.0.1:9"  # the discard port


def isolate(monkeypatch, folder) -> None:
    """Set the environment so that downloads of this process and its children use `folder`, and no proxy."""
    for variable in (
        *("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
        *("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN", "MINDCV_WEIGHTS_MIRROR"),
    ):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HF_HOME", str(folder / "hf"))
    monkeypatch.setenv("MINDCV_CACHE", str(folder / "cache"))
    monkeypatch.setenv("HF_ENDPOINT", NOTHING_LISTENS)


@dataclass(frozen=True)
class Request:
    """One request: `name` is the path without its first slash, `sent` the bytes of the body that left."""

    method: str
    name: str
    range: str | None
    if_range: str | None
    status: int
    sent: int


class FileServer:
    """Serves `files` by name below `url`, with entity tags and byte ranges.

    Attributes:
        files: name -> content; change it at any time.
        instead: name -> what GET sends, with its length, instead of the content that HEAD describes.
        status: name -> a status to answer with.
        cuts: name -> bytes after which to drop the connection, one for each of the next GETs.
        ranges: whether Range headers are supported.
        delay: seconds to wait before each 64 KiB of a body.
        requests: all requests, in the order of their completion.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.instead: dict[str, bytes] = {}
        self.status: dict[str, int] = {}
        self.cuts: dict[str, list[int]] = {}
        self.ranges = True
        self.delay = 0.0
        self.requests: list[Request] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer._answer(self)

            do_HEAD = do_GET

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def gets(self, name: str) -> list[Request]:
        """The GET requests for `name`."""
        return [request for request in self.requests if request.method == "GET" and request.name == name]

    def etag(self, name: str) -> str:
        """The entity tag of a file: here, the sha256 of its content."""
        return f'"{hashlib.sha256(self.files[name]).hexdigest()}"'

    def name_of(self, path: str) -> str:
        """The key in `files` of a request's path."""
        return path.lstrip("/")

    def headers_of(self, name: str, body: bytes) -> dict[str, str]:
        """The headers of a file."""
        return {"ETag": self.etag(name), "Accept-Ranges": "bytes" if self.ranges else "none"}

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        name = self.name_of(handler.path)
        asked, if_range = handler.headers.get("Range"), handler.headers.get("If-Range")
        status = self.status.get(name, 200 if name in self.files else 404)
        body = self.files.get(name, b"") if status == 200 else b""
        headers = self.headers_of(name, body) if status == 200 else {}
        if handler.command == "GET" and status == 200:
            body = self.instead.get(name, body)
            start = int(re.match(r"bytes=(\d+)-", asked)[1]) if asked and self.ranges else None
            if start is not None and if_range in (None, headers["ETag"]):
                total = len(body)
                status = 206 if start < total else 416
                headers["Content-Range"] = f"bytes {start}-{total - 1}/{total}" if status == 206 else f"bytes */{total}"
                body = body[start:] if status == 206 else b""
        headers["Content-Length"] = str(len(body))
        cuts = self.cuts.get(name)
        if handler.command == "HEAD":
            body = b""
        elif cuts and status in (200, 206):
            body = body[: cuts.pop(0)]
        # Before anything is sent: a client that needs no body may look at the requests at once.
        self.requests.append(Request(handler.command, name, asked, if_range, status, len(body)))
        handler.send_response(status)
        for key, value in headers.items():
            handler.send_header(key, value)
        handler.end_headers()
        for begin in range(0, len(body), 1 << 16):
            time.sleep(self.delay)
            with contextlib.suppress(ConnectionError):  # a client may leave, or be killed, in the middle
                handler.wfile.write(body[begin : begin + (1 << 16)])
        handler.close_connection = True


class HubServer(FileServer):
    """Serves repositories as the Hugging Face hub does: `add` a file, and make `url` the HF_ENDPOINT."""

    commit = "0123456789abcdef0123456789abcdef01234567"

    def add(self, repository: str, file: str, content: bytes) -> str:
        """Put a file into a repository; returns its name here."""
        name = f"{repository}/{file}"
        self.files[name] = content
        return name

    def name_of(self, path: str) -> str:
        return re.sub(r"^/([^/]+/[^/]+)/resolve/[^/]+/", r"\1/", path).lstrip("/")

    def headers_of(self, name: str, body: bytes) -> dict[str, str]:
        linked = {"X-Linked-Etag": self.etag(name), "X-Linked-Size": str(len(body)), "X-Repo-Commit": self.commit}
        return {**super().headers_of(name, body), **linked}
