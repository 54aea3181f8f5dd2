"""The policies that every request to Azure Resource Manager passes, outermost first.

The SDK's own list is left out on purpose: its automatic registration of resource providers writes, its redirects carry
the token along, its retries know no deadline, and its logging can print tokens.
"""

import re
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import HTTPPolicy, RequestIdPolicy, SansIOHTTPPolicy, UserAgentPolicy
from azure.core.rest import HttpRequest, HttpResponse
from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy

from illumio_azsql_enforcer import __version__
from illumio_azsql_enforcer.azure.pacing import Pace, Pacing
from illumio_azsql_enforcer.azure.tokens import TokenSource
from illumio_azsql_enforcer.errors import UnsafeName
from illumio_azsql_enforcer.text import printable

USER_AGENT = f"illumio-azsql-enforcer/{__version__}"
NO_ANSWER = "none"

GRAPH = "/providers/Microsoft.ResourceGraph/resources"  # a query, although it is a POST
_RULE = re.compile(
    r"/subscriptions/[0-9a-f-]{36}/resourceGroups/([^/]+)/providers/Microsoft\.Sql/servers/([^/]+)/firewallRules/([^/]+)",
    re.IGNORECASE,
)


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of a URL, the port filled in. Raises ValueError."""
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    return parts.scheme, (parts.hostname or "").lower(), port


class Requests:
    """Counts requests on the wire, and says so. Thread-safe."""

    def __init__(self, beat: Callable[[], None] = lambda: None) -> None:
        self._beat = beat
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, method: str, code: str) -> None:
        with self._lock:
            self._counts[method, code] += 1
        self._beat()

    def counts(self) -> dict[tuple[str, str], int]:
        """(method, status code or `none`) -> number of requests."""
        with self._lock:
            return dict(self._counts)


class Authentication(ARMChallengeAuthenticationPolicy):
    """Adds the token; answers a challenge for claims once (continuous access evaluation)."""

    def __init__(self, tokens: TokenSource) -> None:
        super().__init__(tokens, "")  # type: ignore[arg-type]  # only on_challenge of the base class is used
        self._tokens = tokens

    def on_request(self, request: PipelineRequest[Any]) -> None:
        self.authorize_request(request)

    def authorize_request(self, request: PipelineRequest[Any], *_scopes: str, **kwargs: Any) -> None:  # noqa: ANN401
        request.http_request.headers["Authorization"] = f"Bearer {self._tokens.token(kwargs.get('claims'))}"

    def on_response(self, request: PipelineRequest[Any], response: PipelineResponse[Any, Any]) -> None:
        if response.http_response.status_code == 401:
            self._tokens.forget(request.http_request.headers["Authorization"].removeprefix("Bearer "))

    def on_challenge(self, request: PipelineRequest[Any], response: PipelineResponse[Any, Any]) -> bool:
        try:
            return super().on_challenge(request, response)
        except ValueError:  # claims that cannot be read: a plain 401
            return False


class OnlyRules(SansIOHTTPPolicy[HttpRequest, HttpResponse]):
    """The last gate: nothing leaves for another host, and nothing is written but one named firewall rule.

    The only POST is a query of Resource Graph, which has no operation that writes.
    """

    def __init__(self, resource_manager: str) -> None:
        super().__init__()
        self._origin = origin(resource_manager)

    def on_request(self, request: PipelineRequest[HttpRequest]) -> None:
        """Raises UnsafeName for a request that this program never makes."""
        asked = request.http_request
        if origin(asked.url) != self._origin:
            raise UnsafeName(f"A request to {printable(asked.url, 200)} is not made: that is not Azure's address.")
        if not _is_let_through(asked.method, urlsplit(asked.url).path):
            raise UnsafeName(f"{asked.method} {printable(asked.url, 200)} is not made: it does not name one rule.")


class Counting(HTTPPolicy[HttpRequest, HttpResponse]):
    """Innermost: sees every request that goes onto the wire."""

    def __init__(self, requests: Requests) -> None:
        super().__init__()
        self._requests = requests

    def send(self, request: PipelineRequest[HttpRequest]) -> PipelineResponse[HttpRequest, HttpResponse]:
        code = NO_ANSWER
        try:
            response = self.next.send(request)
            code = str(response.http_response.status_code)
            return response
        finally:
            self._requests.add(request.http_request.method, code)


def policies(resource_manager: str, tokens: TokenSource, pace: Pace, requests: Requests) -> list[object]:
    """A new list for one client."""
    return [
        RequestIdPolicy(),
        UserAgentPolicy(base_user_agent=USER_AGENT),
        OnlyRules(resource_manager),
        Pacing(pace),
        Authentication(tokens),
        Counting(requests),
    ]


def _is_let_through(method: str, path: str) -> bool:
    match method:
        case "GET":
            return True
        case "POST":
            return path == GRAPH
    return method in {"PUT", "DELETE"} and _is_rule(path)


def _is_rule(path: str) -> bool:
    """A path of one firewall rule, whose names survive the clean-up of dot segments."""
    found = _RULE.fullmatch(path)
    return found is not None and all(unquote(name).strip(". ") for name in found.groups())
