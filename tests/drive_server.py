"""A Google Drive on 127.0.0.1, for an unmodified gdown.

It is an HTTPS proxy that ends TLS itself, as Google's hosts and with a certificate authority of its
own, so the client needs nothing but environment variables. Any other host is refused and recorded.

To rehearse by hand: `python -m tests.drive_server --port 8765 --folder PATH` and export what it
prints.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import html
import http.server
import os
import shlex
import socket
import ssl
import struct
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, urlsplit

import trustme

HOSTS = ("drive.google.com", "drive.usercontent.google.com")
_BLOCK = 16 * 1024

_QUOTA_PAGE = (
    "<html><head><title>Google Drive - Quota exceeded</title></head><body>\n"
    '<p class="uc-error-caption">Sorry, you can\'t view or download this file at this time.</p>\n'
    '<p class="uc-error-subcaption">Too many users have viewed or downloaded this file recently. '
    "Please try accessing the file again later.</p>\n</body></html>"
)
_PRIVATE_PAGE = "<html><head><title>Sign in - Google Accounts</title></head><body></body></html>"


@dataclass
class RemoteFile:
    """A file and how it misbehaves.

    Attributes:
        confirm: ask first, as Drive does when a file is too big for its virus scan.
        refusal: a page in place of the file: over quota, private, or a bare HTTP status.
        cuts: after how many bytes the next transfers are cut, one each; the last one of them for
            ever if `always` is set.
        resets: whether a cut resets the connection, instead of closing it.
        announced: added to the length that is announced.
        stall_after: after how many bytes transfers stall.
        bodies: what the next transfers hold instead of `data`, one each.
        content_type: None leaves the header out.
        ranges: whether `Range` is honoured.
        refused_ranges: how many of the next requests with `Range` are answered with 503.
    """

    id: str
    name: str
    data: bytes
    confirm: bool = False
    refusal: Literal["quota", "private"] | int | None = None
    cuts: list[int] = field(default_factory=list)
    always: bool = False
    resets: bool = False
    announced: int = 0
    stall_after: int | None = None
    bodies: list[bytes] = field(default_factory=list)
    content_type: str | None = "application/octet-stream"
    ranges: bool = True
    refused_ranges: int = 0


@dataclass
class RemoteFolder:
    """A folder: its listing, or the status that it answers with; 200 with `sign_in` set is a page
    that asks to sign in."""

    id: str
    name: str
    entries: list[RemoteFile | RemoteFolder] = field(default_factory=list)
    status: int = 200
    sign_in: bool = False


@dataclass
class Request:
    """A line of the log; `sent` counts the bytes of a file's body that left the server."""

    host: str
    path: str
    file_id: str
    range: str | None
    status: int = 0
    sent: int = 0


class DriveServer:
    """The Drive. Start it with `running()`; the log is `requests`, strangers are `refused`."""

    def __init__(self, ca_file: Path, port: int = 0) -> None:
        self.folders: dict[str, RemoteFolder] = {}
        self.files: dict[str, RemoteFile] = {}
        self.requests: list[Request] = []
        self.refused: list[str] = []
        self.stopping = threading.Event()
        self.ca_file = ca_file
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(ca_file))
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*HOSTS).configure_cert(self.tls)
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.drive = self
        self.port: int = self._server.server_address[1]

    @property
    def environment(self) -> dict[str, str]:
        """The variables that send a client here."""
        variables = dict.fromkeys(
            ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"),
            f"http://127.0.0.1:{self.port}",
        )
        variables |= dict.fromkeys(
            ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"), str(self.ca_file)
        )
        return variables | {"NO_PROXY": "", "no_proxy": ""}

    @property
    def transfers(self) -> list[Request]:
        """The requests for a file."""
        return [request for request in self.requests if request.file_id in self.files]

    def add_folder(self, folder_id: str, name: str = "shared") -> RemoteFolder:
        """Publish an empty folder."""
        folder = self.folders[folder_id] = RemoteFolder(folder_id, name)
        return folder

    def add_subfolder(self, parent: RemoteFolder, name: str) -> RemoteFolder:
        """Publish an empty folder inside another."""
        folder = self.add_folder(self._new_id(), name)
        parent.entries.append(folder)
        return folder

    def add_file(self, folder: RemoteFolder, name: str, data: bytes) -> RemoteFile:
        """Publish a file."""
        file = RemoteFile(self._new_id(), name, data)
        folder.entries.append(file)
        self.files[file.id] = file
        return file

    def add_tree(self, folder: RemoteFolder, path: Path) -> None:
        """Publish what a local folder holds."""
        for child in sorted(path.iterdir()):
            if child.is_dir():
                self.add_tree(self.add_subfolder(folder, child.name), child)
            else:
                self.add_file(folder, child.name, child.read_bytes()).confirm = True

    @contextlib.contextmanager
    def running(self) -> Iterator[DriveServer]:
        """Serve in a thread."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.stop()
            thread.join()

    def stop(self) -> None:
        """Stop listening; a second call does nothing."""
        if not self.stopping.is_set():
            self.stopping.set()
            self._server.shutdown()
            self._server.server_close()

    def _new_id(self) -> str:
        return f"1{len(self.files) + len(self.folders):032d}"


class _Server(http.server.ThreadingHTTPServer):
    drive: DriveServer
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Stay silent where a client hangs up, as gdown does before each resumed transfer."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    host = ""

    def log_message(self, format: str, *args: object) -> None:
        del format, args

    def setup(self) -> None:
        # A small buffer, so that few bytes count as sent that nobody has read.
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * _BLOCK)
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().setup()

    def do_CONNECT(self) -> None:
        host = self.path.partition(":")[0]
        if host not in HOSTS:
            self._refuse(host)
            return
        self.send_response(200)
        self.end_headers()
        # Python before 3.12 asks for the tunnel in HTTP/1.0, which would close it at once.
        self.close_connection = False
        self.host = host
        self.connection = self.server.drive.tls.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", 0)

    def do_GET(self) -> None:
        if not self.host:
            self._refuse(urlsplit(self.path).hostname or self.path)
            return
        address = urlsplit(self.path)
        (wanted_id,) = parse_qs(address.query).get("id", [""])
        drive = self.server.drive
        self.entry = Request(self.host, address.path, wanted_id, self.headers["Range"])
        drive.requests.append(self.entry)
        if (self.host, address.path) == (HOSTS[0], "/embeddedfolderview"):
            self._answer_folder(drive.folders.get(wanted_id))
        elif wanted_id in drive.files and address.path in ("/uc", "/download"):
            self._answer_file(drive.files[wanted_id])
        else:
            self._page("<html><title>Not found</title></html>", 404)

    def _refuse(self, host: str) -> None:
        self.server.drive.refused.append(host)
        self.close_connection = True
        self.send_error(403, "Only Google Drive is here")

    def _page(self, text: str, status: int = 200) -> None:
        body = text.encode()
        self.entry.status = status
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _answer_folder(self, folder: RemoteFolder | None) -> None:
        if folder is None or folder.status != 200:
            self._page("<html><title>Error</title></html>", folder.status if folder else 404)
        elif folder.sign_in:
            self._page(_PRIVATE_PAGE)
        else:
            rows = "\n".join(_row(entry) for entry in folder.entries)
            title = html.escape(folder.name)
            self._page(f"<html><head><title>{title}</title></head><body>{rows}</body></html>")

    def _answer_file(self, file: RemoteFile) -> None:
        if file.refusal == "quota":
            self._page(_QUOTA_PAGE)
        elif file.refusal == "private":
            self._page(_PRIVATE_PAGE)
        elif file.refusal is not None:
            self._page("<html><title>Error</title></html>", file.refusal)
        elif self.entry.range and file.refused_ranges:
            file.refused_ranges -= 1
            self._page("<html><title>Error</title></html>", 503)
        elif file.confirm and self.host == HOSTS[0]:
            self._page(_confirm_page(file))
        else:
            self._send_file(file)

    def _send_file(self, file: RemoteFile) -> None:
        data = file.bodies.pop(0) if file.bodies else file.data
        tag = f'"{hashlib.sha256(data).hexdigest()}"'
        start = self._range_start(tag) if file.ranges else 0
        if start and start >= len(data):
            self.entry.status = 416
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(data)}")
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.entry.status = 206 if start else 200
        self.send_response(self.entry.status)
        if file.content_type is not None:
            self.send_header("Content-Type", file.content_type)
        # Latin-1 is all that a header holds; gdown does not look at this name.
        self.send_header("Content-Disposition", 'attachment; filename="file"')
        self.send_header("Content-Length", str(len(data) - start + file.announced))
        self.send_header("ETag", tag)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        self._send_body(file, data, start)

    def _range_start(self, tag: str) -> int:
        if self.entry.range is None or self.headers.get("If-Range", tag) != tag:
            return 0
        return int(self.entry.range.removeprefix("bytes=").partition("-")[0])

    def _send_body(self, file: RemoteFile, data: bytes, start: int) -> None:
        end = len(data)
        cut = bool(file.cuts)
        if cut:
            end = start + (
                file.cuts[0] if file.always and len(file.cuts) == 1 else file.cuts.pop(0)
            )
        elif file.stall_after is not None:
            end = start + file.stall_after
        for offset in range(start, min(end, len(data)), _BLOCK):
            block = data[offset : min(offset + _BLOCK, end)]
            self.wfile.write(block)
            self.entry.sent += len(block)
        if cut and file.resets:
            # Closed with this set, a connection ends in a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            raise ConnectionResetError
        if cut:
            self.close_connection = True
        elif end < len(data):
            self.server.drive.stopping.wait(60)


def _row(entry: RemoteFile | RemoteFolder) -> str:
    kind = "file/d/{}/view" if isinstance(entry, RemoteFile) else "drive/folders/{}"
    address = f"https://drive.google.com/{kind.format(entry.id)}"
    return f'<div><a href="{address}"><span>{html.escape(entry.name)}</span></a></div>'


def _confirm_page(file: RemoteFile) -> str:
    # gdown looks for the whole form on one line.
    return (
        "<html><head><title>Google Drive - Virus scan warning</title></head><body>\n"
        f'<form id="download-form" action="https://{HOSTS[1]}/download" method="get">'
        f'<input type="hidden" name="id" value="{file.id}">'
        '<input type="hidden" name="export" value="download">'
        '<input type="hidden" name="confirm" value="t">'
        '<input type="hidden" name="uuid" value="a-one-time-token"></form>\n</body></html>'
    )


def main() -> None:
    """Serve a local folder as the default folder until interrupted."""
    from builder.sources.drive import DEFAULT_FOLDER

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--folder", type=Path, required=True, help="what the Drive holds")
    parser.add_argument("--id", default=DEFAULT_FOLDER, help="id of the folder on the Drive")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        drive = DriveServer(Path(folder) / "authority.pem", arguments.port)
        drive.add_tree(drive.add_folder(arguments.id, arguments.folder.name), arguments.folder)
        with drive.running(), contextlib.suppress(KeyboardInterrupt):
            # A cache of its own: what is served here must never pass for the real folder.
            variables = {**drive.environment, "HUMAN_SEGMENTATION_CACHE": f"{folder}/cache"}
            for name, value in variables.items():
                print(f"export {name}={shlex.quote(value)}", flush=True)
            print(f"# Serving as process {os.getpid()}; Ctrl-C ends it.", flush=True)
            threading.Event().wait()


if __name__ == "__main__":
    main()
