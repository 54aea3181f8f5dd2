"""The SDK's transport for requests to Azure: one pool of connections, each answer bounded in size and in time.

It talks to urllib3 itself: requests, which the SDK's own transport goes through, costs as much CPU again, and reads an
answer without bounds. The only module of this room that imports urllib3, and requests, for the proxies of the
environment.
"""

import json
import ssl
import threading
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ServiceRequestError,
    ServiceRequestTimeoutError,
    ServiceResponseError,
    ServiceResponseTimeoutError,
)
from azure.core.pipeline.transport import HttpTransport
from azure.core.rest import HttpRequest, HttpResponse
from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_auth_from_url, get_environ_proxies, select_proxy
from urllib3 import BaseHTTPResponse, PoolManager, ProxyManager, Timeout, make_headers
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util import create_urllib3_context

from illumio_azsql_enforcer.clock import Clock
from illumio_azsql_enforcer.connections import DeadlinePassed, pieces, trusted, watched_pools
from illumio_azsql_enforcer.errors import ConfigError
from illumio_azsql_enforcer.model.settings import AzureSettings
from illumio_azsql_enforcer.text import printable

LARGEST = 16 << 20  # bytes of one answer, decompressed; 256 rules are about 0.1 MiB, 1,000 servers about 1 MiB


class AnswerTooLarge(AzureError):
    """An answer that is larger than any that this program asks for."""


class BoundedTransport(HttpTransport[HttpRequest, HttpResponse]):
    """Sends requests to one host. Thread-safe. Raises ConfigError when CA file or proxy are of no use.

    An answer is read whole: at most LARGEST bytes, and within the request's read time-out from its start to its end; a
    time-out alone starts anew with every byte that comes in. Nothing is retried, and no redirect followed. The
    environment is asked for proxies once, and for nothing else: a .netrc could replace the token.
    """

    def __init__(self, base: str, settings: AzureSettings, clock: Clock) -> None:
        self._clock = clock
        self._timeout = settings.timeout
        self._until = threading.local()
        self._manager = _manager(base, settings)
        self._manager.pool_classes_by_scheme = watched_pools(self._look)

    def send(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:  # noqa: ANN401 - the SDK's signature
        """Takes `connection_timeout` and `read_timeout`, in seconds. Raises AzureError."""
        connect, read = kwargs.get("connection_timeout", self._timeout), kwargs.get("read_timeout", self._timeout)
        self._until.moment = self._clock.monotonic() + read
        try:
            raw = self._manager.urlopen(
                request.method,
                request.url,
                body=request.content,
                headers={**request.headers, "Accept-Encoding": "gzip"},
                timeout=Timeout(connect=connect, read=read),
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
            )
            return _Answer(request, raw, _whole(raw))
        except (HTTPError, DeadlinePassed) as error:
            raise _in_the_sdks_words(error) from error

    def open(self) -> None:
        """Connections are opened when they are needed."""

    def close(self) -> None:
        """End the idle connections."""
        self._manager.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """The pool outlives the clients that use it."""

    def _look(self) -> None:
        if self._clock.monotonic() >= self._until.moment:
            raise DeadlinePassed


class _Answer(HttpResponse):
    """An answer that was read whole."""

    def __init__(self, request: HttpRequest, raw: BaseHTTPResponse, content: bytes) -> None:
        self._request, self._raw, self._content = request, raw, content

    # All that HttpResponse asks for.
    request = property(lambda self: self._request)
    status_code = property(lambda self: self._raw.status)
    headers = property(lambda self: self._raw.headers)
    reason = property(lambda self: self._raw.reason or "")
    content_type = property(lambda self: self._raw.headers.get("Content-Type"))
    url = property(lambda self: self._request.url)
    content = property(lambda self: self._content)
    is_closed = property(lambda _: True)
    is_stream_consumed = property(lambda _: True)
    encoding = property(lambda _: "utf-8", lambda _self, _value: None)

    def read(self) -> bytes:
        return self._content

    def text(self, encoding: str | None = None) -> str:
        return self._content.decode(encoding or "utf-8-sig", "replace")

    def json(self) -> Any:  # noqa: ANN401 - the SDK's signature
        return json.loads(self._content)

    def raise_for_status(self) -> None:
        if self.status_code >= 400:
            raise HttpResponseError(response=self)

    def iter_raw(self, **_: Any) -> Iterator[bytes]:  # noqa: ANN401 - the SDK's signature
        yield self._content

    def iter_bytes(self, **_: Any) -> Iterator[bytes]:  # noqa: ANN401 - the SDK's signature
        yield self._content

    def close(self) -> None:
        """It is."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left open."""


def _whole(raw: BaseHTTPResponse) -> bytes:
    """The decompressed body. Raises DeadlinePassed, AnswerTooLarge, ServiceResponseError for a bad body, HTTPError."""
    with ExitStack() as unless_whole:
        unless_whole.callback(raw.release_conn)
        unless_whole.callback(raw.close)  # what is left of the answer must not be taken for the next one
        try:
            body = b"".join(_bounded(pieces(raw, LARGEST)))
        except (EOFError, zlib.error, NotImplementedError) as error:
            raise ServiceResponseError(f"the body is damaged: {error!r}", error=error) from error
        unless_whole.pop_all()
    return body


def _bounded(parts: Iterable[bytes]) -> Iterator[bytes]:
    size = 0
    for part in parts:
        size += len(part)
        if size > LARGEST:
            raise AnswerTooLarge(f"it is larger than {LARGEST >> 20} MiB")
        yield part


def _in_the_sdks_words(error: Exception) -> AzureError:
    match error:
        case ConnectTimeoutError():
            return ServiceRequestTimeoutError(str(error), error=error)
        case DeadlinePassed() | ReadTimeoutError():
            return ServiceResponseTimeoutError(str(error), error=error)
        case NewConnectionError() | ProxyError() | SSLError():
            return ServiceRequestError(str(error), error=error)
    return ServiceResponseError(str(error), error=error)


def _manager(base: str, settings: AzureSettings) -> PoolManager:
    options: dict[str, Any] = {"maxsize": max(2 * settings.concurrency, 10)}  # reads and writes of servers
    if base.startswith("https:"):
        options["ssl_context"] = _trusting(settings)
    proxy = select_proxy(base, get_environ_proxies(base))
    if not proxy:
        return PoolManager(**options)
    url = proxy if "://" in proxy else f"http://{proxy}"
    user, password = get_auth_from_url(url)
    login = make_headers(proxy_basic_auth=f"{user}:{password}") if user else {}
    try:
        return ProxyManager(url, proxy_headers=login, proxy_ssl_context=options.get("ssl_context"), **options)
    except (HTTPError, ValueError) as error:
        raise ConfigError(f"The proxy of the environment cannot be used: {printable(str(error), 200)}.") from error


def _trusting(settings: AzureSettings) -> ssl.SSLContext:
    """Trusts the CA bundle of the settings, else of the environment, else the system's, else certifi's."""
    said = trusted(settings.ca_file)
    bundle = Path(said if isinstance(said, str) else DEFAULT_CA_BUNDLE_PATH)
    context = create_urllib3_context()
    try:
        context.load_verify_locations(**{"capath" if bundle.is_dir() else "cafile": str(bundle)})
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"The CA bundle {bundle} cannot be used: {printable(str(error), 200)}.") from error
    return context
