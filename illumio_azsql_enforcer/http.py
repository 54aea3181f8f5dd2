"""The read-only HTTP server: health, metrics, the report, the status page.

It runs in threads of its own and shares nothing with the loop but finished reports, so that no client can hold the loop
up. What a client may cost is bounded: connections, seconds for each, and every view of a report is drawn only once.
"""

import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from socketserver import TCPServer
from typing import Any
from urllib.parse import urlsplit

import structlog

from illumio_azsql_enforcer.errors import ListenFailed
from illumio_azsql_enforcer.health import Health, Verdict
from illumio_azsql_enforcer.report import Report, to_json
from illumio_azsql_enforcer.status_page import STYLE_HASH, last_cycle, page
from illumio_azsql_enforcer.text import printable

MOST_CONNECTIONS = 32  # when one more comes, the oldest has to go
PATIENCE = 5.0  # seconds that a client may stay silent, or not read
LIFETIME = 60.0  # seconds that a connection may last in all
PIECE = 1 << 16  # bytes that must be read within PATIENCE
POLL = 0.5  # seconds between two looks at the clock

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": f"default-src 'none'; style-src '{STYLE_HASH}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Connection": "close",
}
TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
HTML = "text/html; charset=utf-8"
METRICS = "text/plain; version=0.0.4; charset=utf-8"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, and a body with its type."""

    status: HTTPStatus
    kind: str
    body: bytes


class Site:
    """What there is to see. `show` is called by the loop, all else by the threads of the server."""

    def __init__(self, health: Health, metrics: Callable[[], bytes]) -> None:
        self._health = health
        self._metrics = metrics
        self._drawn = _Drawn(None)
        self._pages: dict[str, Callable[[], Answer]] = {
            "/": self._page,
            "/livez": lambda: _verdict(self._health.live()),
            "/readyz": lambda: _verdict(self._health.ready()),
            "/metrics": lambda: Answer(HTTPStatus.OK, METRICS, self._drawn.once("metrics", lambda _: self._metrics())),
            "/api/report": self._report,
        }

    def show(self, report: Report) -> None:
        """The report of the last cycle; the metrics must know it already."""
        self._drawn = _Drawn(report)

    def answer(self, path: str) -> Answer:
        """What is at this path."""
        found = self._pages.get(path)
        return found() if found else said(HTTPStatus.NOT_FOUND)

    def _page(self) -> Answer:
        cycle = self._drawn.once("page", lambda report: last_cycle(report).encode()).decode()
        return Answer(HTTPStatus.OK, HTML, page(cycle, self._health.live(), self._health.ready()).encode())

    def _report(self) -> Answer:
        drawn = self._drawn
        if drawn.report is None:
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE, JSON, b'{"error": "No cycle has ended yet."}\n')
        return Answer(HTTPStatus.OK, JSON, drawn.once("report", lambda _: b"".join(_pieces(drawn.report))))


class _Drawn:
    """The views of one report, each drawn when it is asked for first, by one thread at a time."""

    def __init__(self, report: Report | None) -> None:
        self.report = report
        self._lock = threading.Lock()
        self._made: dict[str, bytes] = {}

    def once(self, name: str, draw: Callable[[Report | None], bytes]) -> bytes:
        with self._lock:
            if name not in self._made:
                self._made[name] = draw(self.report)
            return self._made[name]


def said(status: HTTPStatus) -> Answer:
    """The status in words."""
    return Answer(status, TEXT, f"{status.phrase}\n".encode())


def _verdict(verdict: Verdict) -> Answer:
    status = HTTPStatus.OK if verdict.ok else HTTPStatus.SERVICE_UNAVAILABLE
    return Answer(status, TEXT, f"{'ok' if verdict.ok else 'not ok'}: {printable(verdict.reason)}\n".encode())


def _pieces(report: Report | None) -> Iterator[bytes]:
    """The report's JSON, made one server at a time: between two servers, other threads get their turn."""
    if report is None:
        return
    head = json.dumps(to_json(replace(report, servers=())))
    yield head.removesuffix("]}").encode()
    for number, server in enumerate(report.servers):
        (told,) = to_json(replace(report, servers=(server,)))["servers"]
        yield (", " if number else "").encode() + json.dumps(told).encode()
    yield b"]}\n"


class Server:
    """Listens from the start until `close`. Raises ListenFailed."""

    def __init__(self, address: tuple[str, int], site: Site) -> None:
        self.address = address
        try:
            self._listener = _Listener(address, site)
        except OSError as error:
            raise ListenFailed(
                f"Cannot listen on {shown(address)} (http.listen): {error.strerror or error}. "
                "Choose an address of this machine and a port that is free."
            ) from error
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(POLL,), name="http", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._listener.server_address[1])

    def close(self) -> None:
        """Stop listening, and end every connection. May be called again."""
        self._listener.shutdown()
        self._thread.join()
        self._listener.server_close()


def shown(address: tuple[str, int]) -> str:
    """`HOST:PORT`, an IPv6 address in brackets."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Listener(ThreadingHTTPServer):
    """Accepts connections, each for a thread of its own, and ends those that last too long."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], site: Site) -> None:
        self.site = site
        self._open: dict[socket.socket, float] = {}  # connection -> when it was accepted, the oldest first
        self._lock = threading.Lock()
        self.address_family, bound = _resolved(address)
        self.local_only = ip_address(bound[0].partition("%")[0]).is_loopback
        super().__init__(bound, _Handler)

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer's own would look up the host's name

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the library's types
        with self._lock:
            waiting = len(self._open)
            if waiting >= MOST_CONNECTIONS:
                _end(next(iter(self._open)))
            if waiting < 2 * MOST_CONNECTIONS:
                self._open[request] = time.monotonic()
        if waiting < 2 * MOST_CONNECTIONS:
            super().process_request(request, client_address)
        else:  # those that had to go are still on their way out
            self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - the library's type
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        oldest = time.monotonic() - LIFETIME
        with self._lock:
            for connection, since in self._open.items():
                if since < oldest:
                    _end(connection)

    def server_close(self) -> None:
        super().server_close()
        with self._lock:
            for connection in self._open:
                _end(connection)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the library's signature
        """A client that went away is no news; anything else is a defect here, which costs one answer."""
        failure = sys.exception()
        if not isinstance(failure, OSError):
            log.error("an HTTP request could not be answered", error=type(failure).__name__)
            log.debug("unexpected error", exc_info=failure)


def _resolved(address: tuple[str, int]) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """The family and the numeric address to listen on; of a name with several addresses, rather an IPv4 one."""
    found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, bound = min(found, key=lambda info: info[0] is not socket.AF_INET)
    return family, (str(bound[0]), int(bound[1]))


def _end(connection: socket.socket) -> None:
    """Ends the connection under the thread that reads or writes it; that thread closes it."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """One request, one answer, then the connection is closed."""

    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.0"  # so that what cannot be understood gets a status line and headers too
    timeout = PATIENCE
    server: _Listener

    def do_GET(self) -> None:
        """Answer, unless a web page elsewhere sent the browser here under another name (DNS rebinding)."""
        if self.server.local_only and not _is_local(self.headers.get("Host", "")):
            self._send(said(HTTPStatus.MISDIRECTED_REQUEST))
        else:
            self._send(self.server.site.answer(self.path.partition("?")[0]))

    do_HEAD = do_GET  # noqa: N815 - the library's name

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002 - the library's signature
        """What the library refuses; it takes an unknown method for something not implemented yet."""
        allowed = HTTPStatus.METHOD_NOT_ALLOWED if code == HTTPStatus.NOT_IMPLEMENTED else HTTPStatus(code)
        self._send(said(allowed))

    def version_string(self) -> str:
        return "illumio-azsql-enforcer"

    def log_message(self, *_args: object) -> None:
        """Requests are not logged."""

    def _send(self, answer: Answer) -> None:
        self.close_connection = True
        self.send_response(answer.status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        if answer.status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        body = memoryview(b"" if self.command == "HEAD" else answer.body)
        for start in range(0, len(body), PIECE):
            self.wfile.write(body[start : start + PIECE])


def _is_local(host: str) -> bool:
    """Whether the Host header is missing, an IP address or localhost: then no foreign name leads here."""
    try:
        name = urlsplit(f"//{host}").hostname
        return not name or name == "localhost" or bool(ip_address(name))
    except ValueError:
        return False
