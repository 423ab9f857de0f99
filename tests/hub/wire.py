"""What passes over the socket: requests, answers, the log of both, and faults on the way."""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import socket
import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from .server import HubServer

_BLOCK = 64 * 1024

Kind = Literal["api", "commit", "upload", "download", "unknown"]


@dataclass
class Record:
    """A line of the log.

    `sent` and `received` count the bytes of bodies as the client sees them, and only those that
    passed: half an upload counts as half. `status` is 0 where no answer was sent.
    """

    method: str
    path: str
    kind: Kind
    status: int = 0
    sent: int = 0
    received: int = 0


@dataclass(frozen=True)
class Request:
    """What a route gets; `path` is as it was sent, `query` percent-decoded."""

    path: str
    query: Mapping[str, list[str]]
    headers: Message
    body: bytes

    @property
    def token(self) -> str | None:
        """The bearer token; None is an anonymous request."""
        header = self.headers.get("Authorization")
        return None if header is None else header.removeprefix("Bearer ")

    def json(self) -> Any:
        """The body as JSON; an empty one is an empty object."""
        return json.loads(self.body or b"{}")

    def flag(self, name: str) -> bool:
        """Whether the query sets a flag."""
        return self.query.get(name, [""])[-1].lower() in ("1", "true")


@dataclass
class Answer:
    """What a route returns."""

    status: int = 200
    body: bytes | memoryview = b""
    headers: dict[str, str] = field(default_factory=dict)


def reply(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer in JSON."""
    return Answer(
        status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})}
    )


def ranged(request: Request, data: bytes, headers: Mapping[str, str]) -> Answer:
    """An answer with the part of `data` that the request's `Range` names."""
    known = {"Accept-Ranges": "bytes", **headers}
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("Range") or "")
    if match is None or match.group() == "bytes=-":
        return Answer(200, data, known)
    first, last = match.groups()
    start = int(first) if first else max(0, len(data) - int(last))
    end = min(int(last) + 1, len(data)) if first and last else len(data)
    if start >= end:
        return Answer(416, b"", {**known, "Content-Range": f"bytes */{len(data)}"})
    known["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
    return Answer(206, memoryview(data)[start:end], known)


class RefusedError(Exception):
    """An error as the Hub words it; `code` is what clients turn into an exception class."""

    def __init__(
        self, status: int, message: str, code: str | None = None, **details: object
    ) -> None:
        super().__init__(message)
        headers = {"X-Error-Message": message}
        if code is not None:
            headers["X-Error-Code"] = code
        self.answer = reply({"error": message, **details}, status, headers)


@dataclass(frozen=True)
class Route:
    """A path of the API and the function behind it."""

    method: str
    pattern: re.Pattern[str]
    function: Callable[..., Answer]
    kind: Kind


_PLACEHOLDERS = {"repo": "[^/]+/[^/]+", "path": ".+"}


class Routes(list[Route]):
    """The paths that a module serves; calling it gives the decorator that adds one.

    What stands in braces becomes an argument: `{repo}` holds one slash, `{path}` any number,
    everything else none.
    """

    def __call__(
        self, method: str, template: str, kind: Kind = "api"
    ) -> Callable[[Callable[..., Answer]], Callable[..., Answer]]:
        def expression(match: re.Match[str]) -> str:
            name = match.group(1)
            return f"(?P<{name}>{_PLACEHOLDERS.get(name, '[^/]+')})"

        pattern = re.compile(re.sub(r"{(\w+)}", expression, template.replace(".", r"\.")))

        def add(function: Callable[..., Answer]) -> Callable[..., Answer]:
            self.append(Route(method, pattern, function, kind))
            return function

        return add

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """The route of a request with its arguments, percent-decoded."""
        method = "GET" if method == "HEAD" else method
        for route in self:
            match = route.pattern.fullmatch(path) if route.method == method else None
            if match is not None:
                return route, {name: unquote(text) for name, text in match.groupdict().items()}
        return None


@dataclass
class Rule:
    """Which requests are meant: those with this method whose path and query hold the pattern.

    Attributes:
        skip: how many of them pass before the rule applies.
        times: to how many it applies then; None is all.
    """

    method: str
    pattern: str
    skip: int = field(default=0, kw_only=True)
    times: int | None = field(default=1, kw_only=True)

    def claims(self, record: Record) -> bool:
        """Whether the rule applies to this request; asking counts as one."""
        if self.method != record.method or re.search(self.pattern, record.path) is None:
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
            return self.times >= 0
        return True


@dataclass
class Hook(Rule):
    """Code that runs when a request arrives, before its body is read."""

    action: Callable[[], object]


@dataclass
class Fault(Rule):
    """How a request goes wrong. What is set applies from top to bottom.

    Attributes:
        delay: seconds that pass first.
        hang_up: "before" resets the connection once `hang_up_after` bytes of the request's body
            were read, and does nothing; "after" does what was asked and closes without an answer.
            A client that was still writing may take a reset for such a close.
        status: the answer, with `body`, `retry_after` and the error `code`; nothing was done.
        body: alone, what replaces the true answer's body; what was asked is done.
        truncate: after how many bytes of the answer's body the connection is closed.
    """

    delay: float = field(default=0, kw_only=True)
    hang_up: Literal["before", "after"] | None = field(default=None, kw_only=True)
    hang_up_after: int = field(default=0, kw_only=True)
    status: int | None = field(default=None, kw_only=True)
    retry_after: int | None = field(default=None, kw_only=True)
    code: str | None = field(default=None, kw_only=True)
    body: bytes | None = field(default=None, kw_only=True)
    truncate: int | None = field(default=None, kw_only=True)

    def refusal(self) -> Answer:
        """The answer that takes the place of doing anything."""
        assert self.status is not None
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        if self.code is not None:
            headers["X-Error-Code"] = self.code
        if self.body is not None:
            return Answer(self.status, self.body, headers)
        return reply({"error": "The server was told to fail"}, self.status, headers)


class Server(http.server.ThreadingHTTPServer):
    """The socket of a HubServer."""

    hub: HubServer
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep what went wrong here; stay silent where a client hangs up."""
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, OSError):
            self.hub.errors.append(error)
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _LeftError(ConnectionError):
    """Leave the connection."""


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        del format, args

    def setup(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().setup()

    def _serve(self) -> None:
        with self.server.hub.serving():
            self._serve_request()

    def _serve_request(self) -> None:
        hub = self.server.hub
        address = urlsplit(self.path)
        found = hub.routes.find(self.command, address.path)
        record = Record(self.command, self.path, "unknown" if found is None else found[0].kind)
        with hub.lock:
            hub.requests.append(record)
            hooks = [hook for hook in hub.hooks if hook.claims(record)]
            fault = next((fault for fault in hub.faults if fault.claims(record)), None)
        for hook in hooks:
            hook.action()
        if fault is not None:
            hub.stopping.wait(fault.delay)
            if fault.hang_up == "before":
                self._read_body(record, fault.hang_up_after)
                self._reset()
        body = self._read_body(record)
        if fault is not None and fault.status is not None:
            self._send(record, fault.refusal(), fault)
            return
        query = parse_qs(address.query, keep_blank_values=True)
        request = Request(address.path, query, self.headers, body)
        answer = hub.answer(request, found)
        if fault is not None and fault.hang_up == "after":
            raise _LeftError
        if fault is not None and fault.body is not None:
            answer.body = fault.body
        self._send(record, answer, fault)

    do_DELETE = do_GET = do_HEAD = do_POST = do_PUT = _serve  # noqa: N815

    def _read_body(self, record: Record, limit: int = sys.maxsize) -> bytes:
        """The body, or as much of it as the limit allows; a client that leaves ends it all."""
        if "Transfer-Encoding" in self.headers:
            raise NotImplementedError("No client so far sent a body in chunks")
        body = bytearray()
        left = min(int(self.headers["Content-Length"] or 0), limit)
        while left:
            block = self.rfile.read1(min(left, _BLOCK))
            if not block:
                raise _LeftError
            body += block
            left -= len(block)
            record.sent += len(block)
        return bytes(body)

    def _send(self, record: Record, answer: Answer, fault: Fault | None) -> None:
        record.status = answer.status
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("X-Request-Id", f"loopback-{len(self.server.hub.requests)}")
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        end = len(answer.body) if fault is None or fault.truncate is None else fault.truncate
        for offset in range(0, min(end, len(answer.body)), _BLOCK):
            block = answer.body[offset : min(offset + _BLOCK, end)]
            # Counted first, or a client might look before it is.
            record.received += len(block)
            try:
                self.wfile.write(block)
            except OSError:
                record.received -= len(block)
                raise
        if end < len(answer.body):
            raise _LeftError

    def _reset(self) -> None:
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        with contextlib.suppress(OSError):
            self.rfile.close()
            self.wfile.close()
            # `shutdown`, which the server would call, ends in peace; only `close` resets.
            self.connection.close()
        raise _LeftError
