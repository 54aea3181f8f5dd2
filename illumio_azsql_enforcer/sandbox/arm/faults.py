"""What goes wrong at Azure, ready to be planned: `azure.faults.add(throttled(5), method="PUT", path="*/rule1")`.

Without `path` or `server="arm"` a fault may also hit a request for a token. `effect=True` makes the request take effect
although the answer says otherwise or is lost.
"""

from collections.abc import Mapping
from datetime import timedelta
from email.utils import format_datetime
from typing import Literal
from uuid import uuid4

from illumio_azsql_enforcer.sandbox.arm.errors import GATEWAY, INTERNAL_ERROR, error_reply
from illumio_azsql_enforcer.sandbox.wire import Fault, Reply, Request

RetryForm = Literal["seconds", "date", "ms"]


def refused(
    status: int,
    code: str,
    message: str = "Injected.",
    *,
    retry_after: float | None = None,
    form: RetryForm = "seconds",
    gateway: bool = False,
    effect: bool = False,
) -> Fault:
    """Any error in ARM's envelope. `retry_after` is in seconds; `form` says how the header spells it."""

    def reply(request: Request) -> Reply:
        headers = {**(GATEWAY if gateway else {}), **_retry_header(request, retry_after, form)}
        return error_reply(status, code, message, headers=headers)

    return Fault(f"{status} {code}", reply, effect=effect)


def throttled(retry_after: float | None = 1, form: RetryForm = "seconds") -> Fault:
    """ARM's own 429; with None, without a word about when to come back."""
    message = f"Number of 'write' requests exceeded. Please try again after '{retry_after}' seconds."
    return refused(429, "SubscriptionRequestsThrottled", message, retry_after=retry_after, form=form, gateway=True)


def provider_throttled(
    status: Literal[429, 503] = 429, retry_after: float | None = None, form: RetryForm = "seconds"
) -> Fault:
    """The resource provider's 429 or 503."""
    code = "SubscriptionTooManyCreateUpdateRequests" if status == 429 else "TooManyRequests"
    return refused(status, code, "Too many requests have been performed.", retry_after=retry_after, form=form)


def internal_error(*, effect: bool = False) -> Fault:
    """The resource provider's 500."""
    return refused(500, "InternalServerError", INTERNAL_ERROR.format(tracking=uuid4()), effect=effect)


def timed_out() -> Fault:
    """500 `OperationTimedOut`: the write was rolled back."""
    return refused(500, "OperationTimedOut", "The operation timed out and was rolled back. Please retry.")


def conflict(code: str = "OperationInterrupted", retry_after: float | None = None) -> Fault:
    """A 409 that passes."""
    return refused(409, code, "The operation was interrupted by another one.", retry_after=retry_after)


def bad_gateway(*, effect: bool = False) -> Fault:
    """A 502 in HTML, as proxies on the way send it."""
    page = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
    return Fault("502 html", Reply(502, page, {"Content-Type": "text/html", **GATEWAY}), effect=effect)


def empty_success(*, effect: bool = False) -> Fault:
    """A 200 with nothing in it."""
    return Fault("empty 200", Reply(200), effect=effect)


def odd_success(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Fault:
    """A success with a body of your own: `{"value": null}`, half of a rule, something that is no JSON."""
    kind = {"Content-Type": "application/json; charset=utf-8"}
    return Fault("odd success", Reply(status, body, {**kind, **(headers or {})}))


def reset(*, effect: bool = False) -> Fault:
    """The connection breaks: before the request takes effect, or, with `effect`, before its answer arrives."""
    return Fault("lost answer" if effect else "reset", effect=effect, reset=True)


def stalled(seconds: float = 30.0, *, effect: bool = False) -> Fault:
    """The answer comes late. Without `effect` the write itself comes late, even when the client has given up."""
    return Fault("stall", stall=seconds, effect=effect)


def truncated() -> Fault:
    """The answer breaks off in the middle of its body; the request took effect."""
    return Fault("truncated", truncate=True)


def _retry_header(request: Request, seconds: float | None, form: RetryForm) -> dict[str, str]:
    if seconds is None:
        return {}
    match form:
        case "date":
            return {"Retry-After": format_datetime(request.at + timedelta(seconds=seconds), usegmt=True)}
        case "ms":
            return {"x-ms-retry-after-ms": str(int(seconds * 1000))}
    return {"Retry-After": str(int(seconds))}
