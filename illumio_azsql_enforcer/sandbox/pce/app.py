"""The PCE's side of HTTP: credentials, rate limit, routes, and the headers that every answer carries."""

import base64
import hmac
from collections import deque
from collections.abc import Callable
from urllib.parse import unquote

from illumio_azsql_enforcer.sandbox.pce.behaviour import Behaviour
from illumio_azsql_enforcer.sandbox.pce.org import PCE_FQDN, Org
from illumio_azsql_enforcer.sandbox.pce.refusals import Refused
from illumio_azsql_enforcer.sandbox.pce.replies import NO_SUCH_PAGE, dressed, error, reply, too_many_requests
from illumio_azsql_enforcer.sandbox.pce.routes import Routes
from illumio_azsql_enforcer.sandbox.pce.shapes import Json
from illumio_azsql_enforcer.sandbox.wire import Reply, Request

API = "/api/v2/"


class App:
    """Answers requests. One lock guards the organization, so that each answer is of one moment."""

    def __init__(self, org: Org, behaviour: Behaviour, routes: Routes, credentials: tuple[str, str]) -> None:
        self._org, self._behaviour, self._routes = org, behaviour, routes
        self._credentials = ":".join(credentials).encode()
        self._served: deque[float] = deque()

    def answer(self, request: Request) -> Reply:
        """The PCE's answer to a request, with its headers."""
        with self._org.lock:
            try:
                answer = self._answer(request)
            except Refused as refused:
                answer = reply(refused.status, refused.errors)
        return dressed(request, answer)

    def _answer(self, request: Request) -> Reply:
        if not request.path.startswith(API):
            return NO_SUCH_PAGE
        parts = [unquote(part) for part in request.path.removeprefix(API).split("/")]
        if parts == ["node_available"]:
            return Reply(200)
        if not self._known(request):
            return error(401, "authentication_error", "Authentication failed")
        return self._throttled() or self._global(request, parts) or self._of_org(request, parts)

    def _known(self, request: Request) -> bool:
        header = request.authorization.reveal() if request.authorization else ""
        scheme, _, encoded = header.partition(" ")
        try:
            given = base64.b64decode(encoded, validate=True)
        except ValueError:
            return False
        return scheme.lower() == "basic" and hmac.compare_digest(given, self._credentials)

    def _throttled(self) -> Reply | None:
        now = self._org.clock.monotonic()
        while self._served and self._served[0] <= now - 60:
            self._served.popleft()
        if len(self._served) >= self._behaviour.requests_per_minute:
            return too_many_requests(self._behaviour.throttle_wait)
        self._served.append(now)
        return None

    def _global(self, request: Request, parts: list[str]) -> Reply | None:
        pages: dict[str, Callable[[], object]] = {
            "noop": dict,
            "health": self._health,
            "product_version": self._product_version,
        }
        if len(parts) != 1 or parts[0] not in pages:
            return None
        if request.method != "GET":
            raise Refused(405, "method_not_allowed_error", "Method not allowed")
        return reply(200, pages[parts[0]]())

    def _of_org(self, request: Request, parts: list[str]) -> Reply:
        if parts[0] != "orgs" or len(parts) < 3 or not parts[1].isdecimal():
            return NO_SUCH_PAGE
        if int(parts[1]) != self._org.org_id:
            raise Refused(403, "forbidden_error", "Forbidden")
        return self._routes.answer(request, parts[2:]) or NO_SUCH_PAGE

    def _health(self) -> list[Json]:
        node: Json = {
            "hostname": PCE_FQDN,
            "ip_address": "127.0.0.1",
            "runlevel": 5,
            "uptime_seconds": 86400,
            "services": {"status": "running", "running": [], "not_running": [], "partial": [], "optional": []},
            "generated_at": self._org.stamp(),
        }
        shown: Json = {"status": "normal", "fqdn": PCE_FQDN, "type": "standalone", "available_seconds": 86400}
        return [{**shown, "notifications": [], "nodes": [node], "generated_at": self._org.stamp()}]

    def _product_version(self) -> Json:
        text = self._org.release.text
        shown: Json = {
            "version": text,
            "build": 117,
            "product_name": "asp",
            "long_display": f"{text}-117",
            "short_display": text,
            "release_info": "",
            "engineering_info": "",
        }
        return {"product_version": shown} if self._behaviour.wrap_product_version else shown
