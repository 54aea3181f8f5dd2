"""The SDK's transport for requests to Azure: one pool of connections, each answer bounded in size and in time.

The only module of this room that imports requests (and urllib3 below it).
"""

import io
import os
import threading
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from azure.core.exceptions import AzureError
from azure.core.pipeline.transport import RequestsTransport
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from illumio_azsql_enforcer.clock import Clock
from illumio_azsql_enforcer.connections import DeadlinePassed, pieces, watched_pools
from illumio_azsql_enforcer.model.settings import AzureSettings

LARGEST = 16 << 20  # bytes of one answer, decompressed; 256 rules are about 0.1 MiB, 1,000 servers about 1 MiB


class AnswerTooLarge(AzureError):
    """An answer that is larger than any that this program asks for."""


class _Body(io.BytesIO):
    """A body that was read whole, in the place of the stream that it came from."""

    enforce_content_length = True  # set by azure-core on every stream


class _Adapter(HTTPAdapter):
    """Reads each answer whole: at most LARGEST bytes, and within the request's read time-out from its start to its end.

    A time-out alone starts anew with every byte that comes in.
    """

    def __init__(self, clock: Clock, connections: int) -> None:
        self._clock = clock
        self._until = threading.local()
        self._pools = watched_pools(self._look)
        super().__init__(pool_connections=4, pool_maxsize=connections, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed on
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:  # noqa: ANN401
        """Raises AnswerTooLarge, and what requests raises."""
        _, seconds = kwargs["timeout"]
        self._until.moment = self._clock.monotonic() + seconds
        try:
            response = super().send(request, *args, **kwargs)
            response.raw = _Body(_whole(response.raw))
        except DeadlinePassed as passed:
            raise requests.ReadTimeout(passed, request=request) from passed
        return response

    def _look(self) -> None:
        if self._clock.monotonic() >= self._until.moment:
            raise DeadlinePassed


def _whole(raw: BaseHTTPResponse) -> bytes:
    """The decompressed body. Raises DeadlinePassed, AnswerTooLarge, and what requests raises for a bad body."""
    with ExitStack() as unless_whole:
        unless_whole.callback(raw.release_conn)
        unless_whole.callback(raw.close)  # what is left of the answer must not be taken for the next one
        try:
            body = b"".join(_bounded(pieces(raw, LARGEST)))
        except HTTPError as error:
            raise requests.ConnectionError(error) from error
        except (EOFError, zlib.error, NotImplementedError) as error:
            raise requests.exceptions.ContentDecodingError(error) from error
        unless_whole.pop_all()
    return body


def _bounded(parts: Iterable[bytes]) -> Iterator[bytes]:
    size = 0
    for part in parts:
        size += len(part)
        if size > LARGEST:
            raise AnswerTooLarge(f"it is larger than {LARGEST >> 20} MiB")
        yield part


def new_session(base: str, concurrency: int, clock: Clock) -> requests.Session:
    """One pool for all clients. The environment is asked for proxies once, and for nothing else.

    `trust_env` would also look for a .netrc at each request, whose entry would replace the token.
    """
    session = requests.Session()
    session.trust_env = False
    session.proxies = get_environ_proxies(base)
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers["Accept-Encoding"] = "gzip"
    adapter = _Adapter(clock, max(2 * concurrency, 10))  # reads and writes of servers
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def new_transport(session: requests.Session, settings: AzureSettings) -> RequestsTransport:
    """The SDK's transport over the session, which stays its maker's."""
    return RequestsTransport(session=session, session_owner=False, connection_verify=_trusted(settings))


def _trusted(settings: AzureSettings) -> str | bool:
    """The CA bundle: of the settings, else of the environment, else the system's (True)."""
    if settings.ca_file is not None:
        return str(settings.ca_file)
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
