"""Connections that look at a deadline before every receive, bodies inflated within bounds, and whom TLS trusts.

A socket's time-out starts anew with every byte. A peer that sends one now and then, in a header or in a body, would
hold the program for ever; so each receive asks first.
"""

import io
import os
import ssl
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from http.client import HTTPResponse
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast

from urllib3 import BaseHTTPResponse, HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

CHUNK = 1 << 16  # bytes

Look = Callable[[], None]  # raises DeadlinePassed
Pools = dict[str, type[HTTPConnectionPool]]


class DeadlinePassed(Exception):
    """Not an OSError: the HTTP libraries let it through."""


class _Watched(io.RawIOBase):
    """A socket's stream that looks first."""

    def __init__(self, raw: io.RawIOBase, look: Look) -> None:
        super().__init__()
        self._raw = raw
        self._look = look

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 - a writable buffer of any kind
        self._look()
        return cast("int | None", self._raw.readinto(buffer))

    def close(self) -> None:
        self._raw.close()
        super().close()


class _WatchedResponse(HTTPResponse):
    def __init__(self, *args: Any, look: Look, **kwargs: Any) -> None:  # noqa: ANN401 - passed on
        super().__init__(*args, **kwargs)
        self.fp = io.BufferedReader(_Watched(self.fp.detach(), look))


def watched_pools(look: Look) -> Pools:
    """The connection pools of urllib3, with `look` before every receive, by URL scheme."""
    response_class = partial(_WatchedResponse, look=look)
    plain = type("WatchedConnection", (HTTPConnection,), {"response_class": response_class})
    secure = type("WatchedTlsConnection", (HTTPSConnection,), {"response_class": response_class})
    return {
        "http": type("WatchedPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("WatchedTlsPool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
    }


def pieces(raw: BaseHTTPResponse, limit: int) -> Iterator[bytes]:
    """The decompressed body as it comes in, at most about `limit` bytes a piece.

    A small body that inflates without end is so stopped by whoever counts. Raises EOFError (cut), zlib.error
    (damaged), NotImplementedError (an encoding that was not asked for).
    """
    encoding = raw.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in {"", "identity", "gzip", "x-gzip"}:
        raise NotImplementedError(encoding)
    received = _received(raw)
    yield from _inflated(received, limit) if "gzip" in encoding else received


def _received(raw: BaseHTTPResponse) -> Iterator[bytes]:
    while piece := raw.read1(CHUNK, decode_content=False):
        yield piece


def _inflated(received: Iterator[bytes], limit: int) -> Iterator[bytes]:
    engine = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    anything = False
    for piece in received:
        anything = True
        yield engine.decompress(piece, limit + 1)
        if engine.unused_data:
            raise EOFError
    if anything and not engine.eof:
        raise EOFError


def trusted(ca_file: Path | None = None) -> str | bool:
    """The CA certificates that count, as requests takes them.

    The given file, else what the environment names, else the system's; True: the bundle that requests brings along.
    """
    if ca_file:
        return str(ca_file)
    named = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    system = ssl.get_default_verify_paths()
    return named or system.cafile or _filled(system.capath) or True


def _filled(folder: str | None) -> str | None:
    return folder if folder and any(Path(folder).iterdir()) else None


def is_loopback(host: str | None) -> bool:
    """Whether what is sent to this host stays on this machine."""
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False
