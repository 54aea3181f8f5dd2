"""A small HTTP/1.1 server for simulators: keep-alive, raw paths, TLS, a journal of every request, faults on demand.

It binds 127.0.0.1 only. A simulator hands in one function, Request -> Reply, and starts it::

    def answer(request: Request) -> Reply:
        if request.decoded == "/api/v2/health":
            return Reply.json(200, {"status": "normal"})
        request.effect = "nothing: no such page"  # what the journal says that the request did
        return Reply.json(404, {"error": "not found"})

    with WireServer(answer, latency=0.04) as server:
        requests.get(server.url + "/api/v2/health")
        assert [r.method for r in server.journal] == ["GET"] and server.journal[0].status == 200

        # the next two PUTs under /api/ are carried out, but the answer is lost in a connection reset
        server.faults.add(Fault("lost answer", effect=True, reset=True), method="PUT", path="/api/*", times=2)

`answer` runs in one thread for each connection, so it guards its own state. An exception in it is a defect of the
simulator: the client sees a 500 and `stop` raises it. Several servers may share one journal and one Faults.
Pass `tls=` a server-side `ssl.SSLContext` for https. `stop` ends every open connection and waits for its thread.
"""

import os
import selectors
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from email.utils import format_datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from socketserver import TCPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, unquote

from illumio_azsql_enforcer.clock import Clock, SystemClock
from illumio_azsql_enforcer.sandbox.exchange import (
    CONTROL,
    NOT_SHOWN,
    SECRET_HEADERS,
    Fault,
    Faults,
    PlannedFault,
    Reply,
    Request,
)
from illumio_azsql_enforcer.secret import Secret

__all__ = ["CONTROL", "NOT_SHOWN", "Fault", "Faults", "PlannedFault", "Reply", "Request", "WireServer"]


class _Reset(Exception):
    """The connection ends here, with no answer."""


class WireServer:
    """A server on a free port of 127.0.0.1; a context manager. See the module's text for its use.

    `dress` gets each reply that a fault sends, to add the headers that the simulated service puts on everything.
    `latency` is real seconds before each request is looked at.
    """

    def __init__(  # noqa: PLR0913 - independent options, each with a default
        self,
        answer: Callable[[Request], Reply],
        *,
        name: str = "http",
        tls: ssl.SSLContext | None = None,
        clock: Clock | None = None,
        latency: float = 0.0,
        journal: list[Request] | None = None,
        faults: Faults | None = None,
        dress: Callable[[Request, Reply], Reply] = lambda _request, reply: reply,
        port: int = 0,
    ) -> None:
        self.name, self.tls, self.latency = name, tls, latency
        self.clock = clock or SystemClock()
        self.journal: list[Request] = [] if journal is None else journal
        self.faults = faults or Faults()
        self.failures: list[Exception] = []
        self._answer, self._dress = answer, dress
        self._stopping = threading.Event()
        self._port = port
        self._listener: _Listener | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Scheme, host and port, without a slash at the end. Raises RuntimeError when not started."""
        if self._listener is None:
            raise RuntimeError(f"The {self.name} server is not started.")
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self._listener.server_address[1]}"

    def start(self) -> Self:
        """Listen. Raises OSError when the port is taken."""
        self._listener = _Listener(self, self._port)
        self._thread = threading.Thread(target=self._listener.listen, name=f"sandbox-{self.name}", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close everything and wait for it. Raises the first exception that `answer` raised."""
        self._stopping.set()
        listener, self._listener = self._listener, None
        if listener is not None and self._thread is not None:
            listener.wake()
            self._thread.join()
            listener.server_close()
            listener.drop_connections()
        if self.failures:
            raise self.failures.pop(0)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def handle(self, request: Request) -> tuple[Reply, bool]:
        """The reply to send, and whether to cut it short. Raises _Reset when there is to be none."""
        if request.path.startswith(CONTROL):
            return self._guarded(request), False
        self.journal.append(request)
        self._wait(self.latency)
        fault = self.faults.take(request)
        reply = self._play(request, fault) if fault else self._guarded(request)
        request.status = reply.status
        return reply, fault is not None and fault.truncate

    def _play(self, request: Request, fault: Fault) -> Reply:
        request.fault = fault.name
        if fault.act is not None:
            fault.act(request)
        reply = self._guarded(request) if fault.effect else None
        self._wait(fault.stall)
        if fault.reset:
            raise _Reset
        if fault.reply is not None:
            return self._dress(request, fault.reply(request) if callable(fault.reply) else fault.reply)
        return reply or self._guarded(request)

    def _guarded(self, request: Request) -> Reply:
        try:
            return self._answer(request)
        except Exception as failure:  # noqa: BLE001 - kept, and raised again by stop
            self.failures.append(failure)
            return Reply(500, f"defect of the simulator: {failure!r}".encode())

    def _wait(self, seconds: float) -> None:
        if seconds > 0 and self._stopping.wait(seconds):
            raise _Reset


class _Listener(ThreadingHTTPServer):
    """Accepts connections; knows the open ones, so that all of them can be ended."""

    request_queue_size = 256
    timeout = 0.0  # of handle_request: `listen` does the waiting

    def __init__(self, wire: WireServer, port: int) -> None:
        self.wire = wire
        self._open: dict[threading.Thread, socket.socket] = {}
        self._open_lock = threading.Lock()
        self._asleep, self._alarm = os.pipe()
        super().__init__(("127.0.0.1", port), _Handler)

    def listen(self) -> None:
        """Accept connections until `wake` is called. Unlike `serve_forever` it never polls."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.socket, selectors.EVENT_READ)
            selector.register(self._asleep, selectors.EVENT_READ)
            while all(key.fileobj is self.socket for key, _ in selector.select()):
                self.handle_request()

    def wake(self) -> None:
        os.write(self._alarm, b"!")

    def server_close(self) -> None:
        super().server_close()
        os.close(self._asleep)
        os.close(self._alarm)

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer's own would look the host name up

    def get_request(self) -> tuple[socket.socket, object]:
        connection, peer = super().get_request()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.wire.tls is not None:  # the handshake waits for the connection's own thread
            connection = self.wire.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, peer

    def process_request(self, request: Any, client_address: object) -> None:  # noqa: ANN401 - the library's type
        thread = threading.Thread(target=self._converse, args=(request, client_address), daemon=True)
        with self._open_lock:
            self._open[thread] = request
        thread.start()

    def _converse(self, request: socket.socket, client_address: object) -> None:
        self.process_request_thread(request, client_address)
        with self._open_lock:
            self._open.pop(threading.current_thread(), None)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the library's signature
        """A client that went away, did not trust the certificate, or spoke no HTTP, is no news."""
        failure = sys.exc_info()[1]
        if isinstance(failure, Exception) and not isinstance(failure, (OSError, ValueError)):
            self.wire.failures.append(failure)

    def drop_connections(self) -> None:
        with self._open_lock:
            open_now = dict(self._open)
        for connection in open_now.values():
            _shut(connection)
        for thread in open_now:
            thread.join()


def _shut(connection: socket.socket) -> None:
    try:
        # Past the TLS layer, whose own shutdown would drop the session object under a thread that still uses it.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
    except OSError:
        return


class _Handler(BaseHTTPRequestHandler):
    """Reads requests off one connection and writes replies onto it."""

    protocol_version = "HTTP/1.1"
    server: _Listener
    _numbers = count(1)

    def setup(self) -> None:
        if isinstance(self.request, ssl.SSLSocket):
            self.request.do_handshake()
        super().setup()

    def serve(self) -> None:
        request = self._read()
        try:
            reply, cut = self.server.wire.handle(request)
        except _Reset:
            self._reset()
            return
        self._write(reply, cut=cut)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = serve  # noqa: N815 - the library's names

    def _read(self) -> Request:
        target = self.requestline.split(" ")[1]  # self.path has lost double slashes at its start
        path, _, query = target.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Request(
            number=next(self._numbers),
            at=self.server.wire.clock.now(),
            server=self.server.wire.name,
            method=self.command,
            target=target,
            path=path,
            decoded=unquote(path),
            query=dict(parse_qsl(query, keep_blank_values=True)),
            headers={name: NOT_SHOWN if name in SECRET_HEADERS else value for name, value in headers.items()},
            body=self._body(headers),
            secrets={name: Secret(value) for name, value in headers.items() if name in SECRET_HEADERS},
        )

    def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return b"".join(self._chunks())
        return self.rfile.read(int(headers.get("content-length") or 0))

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass

    def _write(self, reply: Reply, *, cut: bool) -> None:
        self.close_connection = self.close_connection or cut
        body = b"" if self.command == "HEAD" else reply.body
        self.wfile.write(self._head(reply))
        self.wfile.write(body[: len(body) // 2] if cut else body)

    def _head(self, reply: Reply) -> bytes:
        headers = {"Date": format_datetime(self.server.wire.clock.now(), usegmt=True), **reply.headers}
        if reply.status not in (204, 304):
            headers["Content-Length"] = str(len(reply.body))
        if self.close_connection:
            headers["Connection"] = "close"
        lines = [f"HTTP/1.1 {reply.status} {_phrase(reply.status)}", *(f"{k}: {v}" for k, v in headers.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        socket.socket.close(self.connection)

    def log_message(self, *_args: object) -> None:
        """The journal is the log."""


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
