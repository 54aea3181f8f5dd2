"""The usual ways in which one request to a PCE goes wrong; plan them with `pce.faults.add(…)`.

Example: `pce.faults.add(BAD_GATEWAY, path="*/workloads", times=2)`.
"""

from illumio_azsql_enforcer.sandbox.pce.console import Console
from illumio_azsql_enforcer.sandbox.pce.replies import HTML, error, reply, too_many_requests
from illumio_azsql_enforcer.sandbox.wire import Fault, Reply, Request


def throttled(wait: int | None = 1) -> Fault:
    """429, with `Retry-After` in seconds, or without it."""
    return Fault("throttled", reply=too_many_requests(wait))


def slow(seconds: float) -> Fault:
    """The answer comes this much later, in real time."""
    return Fault("slow", stall=seconds)


def version_moves(console: Console) -> Fault:
    """Somebody provisions just before the request is answered."""

    def move(_request: Request) -> None:
        console.move_version()

    return Fault("version moves", act=move)


BAD_GATEWAY = Fault("bad gateway", reply=Reply(502, b"<html><body><h1>502 Bad Gateway</h1></body></html>", HTML))
RESTARTING = Fault("restarting", reply=reply(503, [{"error": "Service unavailable"}]))
UNAUTHORIZED = Fault("unauthorized", reply=error(401, "authentication_error", "Authentication failed"))
FORBIDDEN = Fault("forbidden", reply=error(403, "forbidden_error", "Forbidden"))
NOT_FOUND = Fault("not found", reply=Reply(404, b"<html><body>Not Found</body></html>", HTML))
LOGIN_PAGE = Fault("login page", reply=Reply(200, b"<html><body><form>Log in</form></body></html>", HTML))
CUT = Fault("cut body", truncate=True)
RESET = Fault("reset", reset=True)
LOST = Fault("lost answer", effect=True, reset=True)
BY_NAME = {
    "bad_gateway": BAD_GATEWAY,
    "restarting": RESTARTING,
    "unauthorized": UNAUTHORIZED,
    "forbidden": FORBIDDEN,
    "not_found": NOT_FOUND,
    "login_page": LOGIN_PAGE,
    "cut": CUT,
    "reset": RESET,
    "lost": LOST,
}
