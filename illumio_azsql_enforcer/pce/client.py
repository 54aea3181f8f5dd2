"""HTTP to one PCE: key, TLS, proxies, retries, bounds on size and time. Nothing about meaning.

The only module of this room that imports requests (and urllib3 below it).
"""

import threading
import zlib
from collections import Counter, deque
from collections.abc import Callable, Mapping
from http.client import HTTPException
from http.cookiejar import DefaultCookiePolicy
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
import structlog
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth
from requests.utils import get_environ_proxies, select_proxy
from urllib3.exceptions import HTTPError

from illumio_azsql_enforcer import __version__
from illumio_azsql_enforcer.clock import Clock
from illumio_azsql_enforcer.connections import DeadlinePassed, Look, is_loopback, pieces, trusted, watched_pools
from illumio_azsql_enforcer.errors import PceInvalidAnswer
from illumio_azsql_enforcer.model.settings import PceSettings
from illumio_azsql_enforcer.pce.answer import API, Answer, is_path
from illumio_azsql_enforcer.pce.listing import Collection, read_collection
from illumio_azsql_enforcer.pce.wording import CutAnswer, Failure, Wording
from illumio_azsql_enforcer.retrying import Again, Deadline, with_retries
from illumio_azsql_enforcer.secret import Secret

T = TypeVar("T")
_log = structlog.get_logger(__name__)

ERROR_BODY = 1 << 16  # bytes read of an answer that is no success
WINDOW = 60.0  # seconds; the PCE counts requests a minute for each key
WINDOW_REQUESTS = 450  # of the 500 that it allows
ENDPOINTS = frozenset(
    {
        *("product_version", "sec_policy", "labels", "label_groups", "ip_lists", "services", "rule_sets", "sec_rules"),
        *("deny_rules", "virtual_services", "service_bindings", "workloads", "events", "jobs", "datafiles"),
    }
)


class _Key(AuthBase):
    """HTTP Basic; the secret leaves its wrapper for the one header only."""

    def __init__(self, user: str, secret: Secret) -> None:
        self._user = user
        self._secret = secret

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        # Bytes: requests would encode text as Latin-1, and fail on anything else.
        user, password = (each.encode(errors="surrogateescape") for each in (self._user, self._secret.reveal()))
        HTTPBasicAuth(user, password)(request)
        return request


class _Session(requests.Session):
    """A session that knows no redirects: even when it does not follow one, requests would read its whole body."""

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002 - the signature of requests
        return None


class _Adapter(HTTPAdapter):
    """Sends over watched connections, through a proxy too."""

    def __init__(self, look: Look) -> None:
        self._pools = watched_pools(look)
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed on
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager


class _Pace:
    """Keeps below the PCE's own limit of requests a minute."""

    def __init__(self) -> None:
        self._sent: deque[float] = deque(maxlen=WINDOW_REQUESTS)

    def next_slot(self, clock: Clock) -> float:
        """Seconds until another request fits."""
        full = len(self._sent) == WINDOW_REQUESTS
        return max(0.0, self._sent[0] + WINDOW - clock.monotonic()) if full else 0.0

    def take(self, clock: Clock) -> None:
        self._sent.append(clock.monotonic())


class PceClient:
    """GET requests to the PCE of `settings`. Used by one thread at a time; the counters may be read by any."""

    def __init__(self, settings: PceSettings, clock: Clock, beat: Callable[[], None] = lambda: None) -> None:
        """`beat` is called whenever something was sent or arrived."""
        self._settings = settings
        self._clock = clock
        self._beat = beat
        self._wording = Wording(settings)
        self._pace = _Pace()
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._until: Deadline | None = None  # of the request under way
        self._session = _new_session(settings, self._look)

    def __repr__(self) -> str:
        return f"PceClient({self._settings.url!r}, org {self._settings.org_id})"

    @property
    def clock(self) -> Clock:
        """The clock that waits."""
        return self._clock

    @property
    def requests_made(self) -> int:
        """Requests on the wire since the start, retries included."""
        with self._lock:
            return self._counts.total()

    @property
    def requests_by_endpoint(self) -> Mapping[tuple[str, str], int]:
        """The same by (endpoint, HTTP status or `none`), for instance `("workloads", "200")`."""
        with self._lock:
            return dict(self._counts)

    def get(self, path: str, deadline: Deadline, params: Mapping[str, str] | None = None) -> Answer:
        """The 200 answer to a GET of `path` (`/orgs/7/labels`, as in an href). Raises PceError."""
        return self.fetch(path, lambda answer: answer, deadline, params=params)

    def collection(
        self, path: str, type_: type[T], deadline: Deadline, params: Mapping[str, str] | None = None
    ) -> Collection[T]:
        """Every object of the collection at `path` that `params` ask for, as `type_`, and their number.

        Raises PceError; the list is never truncated.
        """
        return read_collection(self, path, type_, deadline, params)

    def fetch(
        self,
        path: str,
        read: Callable[[Answer], T],
        deadline: Deadline,
        *,
        params: Mapping[str, str] | None = None,
        asynchronous: bool = False,
    ) -> T:
        """`read` of the answer to a GET, tried again while that can help and fits the deadline.

        `asynchronous` asks with `Prefer: respond-async` and takes a 202 too. A CutAnswer that `read` raises is tried
        again like a cut connection. Raises PceError.
        """
        tried = -1

        def once() -> T:
            nonlocal tried
            tried += 1
            return read(self._once(path, params, deadline, tried, asynchronous=asynchronous))

        try:
            return with_retries(once, deadline=deadline, judge=_judge)
        except Failure as failed:
            error = failed.error
        raise error  # outside the handler: no context that holds the request and its headers

    def quote(self, text: str) -> str:
        """Text of the PCE, fit for a sentence to an operator."""
        return self._wording.quote(text)

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def _once(
        self, path: str, params: Mapping[str, str] | None, deadline: Deadline, tried: int, *, asynchronous: bool
    ) -> Answer:
        """One request. Raises Failure, or a PceError that no retry can help."""
        if not is_path(path):
            raise self._wording.unreadable(self.quote(path), "an object whose href is no path of the API")
        self._wait_for_slot(path, deadline)
        self._until = deadline
        headers = {"Prefer": "respond-async"} if asynchronous else {}
        wanted = (200, 202) if asynchronous else (200,)
        code = "none"
        try:
            with self._send(path, params, headers, deadline) as response:
                code = str(response.status_code)
                answer = self._read(response, path, wanted)
        except DeadlinePassed:
            failure = Failure(self._wording.late(path), None)
        except (OSError, HTTPError, HTTPException) as raised:  # of requests, of urllib3 below a stream, of http.client
            # What is left of the deadline bounds the wait: the PCE may be there, and the time was too short.
            late = Failure(self._wording.late(path), None)
            failure = self._wording.unreachable(raised) if deadline.remaining else late
        else:
            if answer.status in wanted:
                return answer
            failure = self._wording.refused(path, answer, self._clock, tried)
        finally:
            self._count(path, code)
        if failure.again:
            _log.debug(
                "a request to the PCE failed; it is tried again", path=path, attempt=tried + 1, reason=str(failure)
            )
        raise failure

    def _wait_for_slot(self, path: str, deadline: Deadline) -> None:
        wait = self._pace.next_slot(self._clock)
        if wait >= deadline.remaining:
            raise self._wording.late(path)
        if wait:
            self._clock.sleep(wait)
        self._pace.take(self._clock)

    def _send(
        self, path: str, params: Mapping[str, str] | None, headers: dict[str, str], deadline: Deadline
    ) -> requests.Response:
        patience = max(0.001, min(self._settings.timeout, deadline.remaining))
        return self._session.get(
            self._settings.url.rstrip("/") + API + path,
            params=params,
            headers=headers,
            timeout=(patience, patience),
            allow_redirects=False,
            proxies=_proxies(self._settings.url),
            stream=True,
            # Given with each request, since requests lets REQUESTS_CA_BUNDLE win over what the session says.
            verify=trusted(self._settings.ca_file),
        )

    def _read(self, response: requests.Response, path: str, wanted: tuple[int, ...]) -> Answer:
        status = response.status_code
        if status in wanted:
            return Answer(status, response.headers, self._body(response, path))
        return Answer(status, response.headers, _error_body(response))

    def _body(self, response: requests.Response, path: str) -> bytearray:
        """The decompressed body; stops at max_response."""
        limit = self._settings.max_response
        body = bytearray()
        damaged: PceInvalidAnswer
        try:
            for piece in pieces(response.raw, limit):
                body += piece
                if len(body) > limit:
                    raise self._wording.too_large(path)
        except (zlib.error, EOFError):
            damaged = self._wording.cut(path)
        except NotImplementedError:
            damaged = self._wording.unreadable(path, "a Content-Encoding that was not asked for")
        else:
            return body
        raise damaged

    def _look(self) -> None:
        """Called before every receive."""
        self._beat()
        if self._until and not self._until.remaining:
            raise DeadlinePassed

    def _count(self, path: str, code: str) -> None:
        endpoint = next((part for part in reversed(path.split("/")) if part in ENDPOINTS), "other")
        with self._lock:
            self._counts[endpoint, code] += 1
        self._beat()


def _new_session(settings: PceSettings, look: Look) -> requests.Session:
    session = _Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, _Adapter(look))
    session.auth = _Key(settings.api_key, settings.api_secret)  # set, so that no .netrc is asked
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))  # none: each request stands on its own key
    session.headers.update(
        {
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "User-Agent": f"illumio-azsql-enforcer/{__version__}",
        }
    )
    return session


def _judge(raised: BaseException) -> Again | None:
    if isinstance(raised, Failure):
        return raised.again
    return Again() if isinstance(raised, CutAnswer) else None


def _proxies(url: str) -> dict[str, str]:
    """What overrules the proxies of the environment: a key in clear text (plain http) stays on this machine."""
    proxy = select_proxy(url, get_environ_proxies(url))
    leaves = proxy and url.startswith("http://") and not is_loopback(urlsplit(proxy).hostname)
    return {"http": ""} if leaves else {}


def _error_body(response: requests.Response) -> bytes:
    """The start of a refusal's body; the status counts even when the body cannot be read."""
    body = b""
    try:
        for piece in pieces(response.raw, ERROR_BODY):
            body += piece
            if len(body) > ERROR_BODY:
                break
    except (OSError, HTTPError, HTTPException, zlib.error, EOFError, NotImplementedError):
        return b""
    return body[:ERROR_BODY]
