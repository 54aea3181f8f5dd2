"""Turns what went wrong with a call to Azure into a typed error with a sentence for an operator, and judges retries.

ARM's error codes, and which of two layers gives them (the gateway or the resource provider), come from the error lists
of the Microsoft.Sql REST specification and from the documentation of Azure Resource Manager. Only codes are matched;
the text of an answer is quoted, made printable and short.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import msgspec
from azure.core.exceptions import AzureError, ServiceRequestTimeoutError, ServiceResponseTimeoutError

from illumio_azsql_enforcer.errors import (
    ArmConflict,
    ArmError,
    ArmForbidden,
    ArmInvalidAnswer,
    ArmNotFound,
    ArmRejected,
    ArmThrottled,
    ArmUnauthenticated,
    ArmUnavailable,
    ArmUnreachable,
    PublicAccessDisabled,
    RuleLimitReached,
)
from illumio_azsql_enforcer.retrying import Again
from illumio_azsql_enforcer.text import printable, sentence

QUOTED = 400  # characters of foreign text in one sentence
LASTING_CONFLICTS = frozenset({"ScopeLocked", "ReadOnlyDisabledSubscription", "MissingSubscriptionRegistration"})
THROTTLES = frozenset({"TooManyRequests", "SubscriptionTooManyRequests", "SubscriptionTooManyCreateUpdateRequests"})
GONE = frozenset(
    {
        "ResourceGroupNotFound",
        "ParentResourceNotFound",
        "SubscriptionDoesNotHaveServer",
        "ServerNotInSubscriptionResourceGroup",
    }
)
REASONS = {  # by ARM's error code
    "RequestDisallowedByPolicy": "Azure Policy forbids it: {message}",
    "ScopeLocked": "a resource lock forbids it: {message}",
    "ReadOnlyDisabledSubscription": "the subscription is disabled, nothing in it can be changed: {message}",
    "MissingSubscriptionRegistration": "the subscription is not registered for Microsoft.Sql; an owner of it does that "
    "with `az provider register --namespace Microsoft.Sql`",
    "TooManyFirewallRules": "the server holds as many firewall rules as it can: {message}",
    "DenyPublicEndpointEnabled": "public network access of the server is disabled, so that its firewall rules cannot "
    "be edited",
}


@dataclass(frozen=True, slots=True)
class Operation:
    """What is being done, for sentences: 'Cannot {doing}: ...'."""

    doing: str
    action: str  # the RBAC action that it takes
    scope: str  # the resource id on which the action is needed


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; header names compare without case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class TokenServiceDown(ArmUnauthenticated):
    """The token service was asked and gave no usable answer; it may give one soon."""


class UntrustedCertificate(ArmUnreachable):
    """The other side's TLS certificate is not signed by an authority that is trusted here."""


class _Detail(msgspec.Struct):
    code: str | None = None
    message: str | None = None


class _Envelope(msgspec.Struct):
    error: _Detail | None = None


def told(text: str) -> str:
    """Text of the other side, on one line, printable and short."""
    return printable(" ".join(text.split()), QUOTED)


def failure(operation: Operation, answer: Answer) -> ArmError:
    """The error that an answer other than the expected one stands for."""
    detail = _detail(answer.body)
    retry_after = asked_wait(answer.headers)
    kind = _kind(answer.status, detail.code)
    correlation = answer.headers.get("x-ms-correlation-request-id")
    reason = _reason(operation, answer.status, detail, retry_after)
    trace = f" (correlation id {printable(correlation, 64)})" if correlation else ""
    return kind(
        sentence(f"Cannot {operation.doing}: {reason}{trace}"),
        status=answer.status,
        code=detail.code,
        correlation_id=correlation,
        retry_after=retry_after,
    )


def error_code(answer: Answer) -> str | None:
    """ARM's error code in an answer."""
    return _detail(answer.body).code


def unreachable(operation: Operation, error: AzureError) -> ArmUnreachable:
    """The error for a request that got no answer, or half of one."""
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return UntrustedCertificate(
            f"Cannot {operation.doing}: the TLS certificate of the other side is not trusted here; "
            "`azure.ca_file` names the authority to trust."
        )
    return ArmUnreachable(f"Cannot {operation.doing}: no answer from Azure ({no_answer_because(error)}).")


def invalid(operation: Operation, why: str, answer: Answer | None = None) -> ArmInvalidAnswer:
    """The error for a success that cannot be read, or that is none."""
    headers = answer.headers if answer else {}
    return ArmInvalidAnswer(
        sentence(f"Cannot {operation.doing}: Azure's answer cannot be used: {told(why)}"),
        status=answer.status if answer else None,
        correlation_id=headers.get("x-ms-correlation-request-id"),
    )


def judge(raised: BaseException) -> Again | None:
    """Whether a failure may pass by itself within the deadline; see `with_retries`."""
    match raised:
        case ArmThrottled():
            return Again(tries=None, wait=raised.retry_after)
        case ArmUnauthenticated() if raised.status == 401:
            return Again(tries=2, wait=0.0)  # once more, with a new token
        case ArmError() if _may_pass(raised):
            return Again(wait=raised.retry_after)
    return None


def _may_pass(error: ArmError) -> bool:
    match error:
        case ArmUnreachable():
            return not isinstance(error, UntrustedCertificate)
        case ArmConflict():
            return error.code not in LASTING_CONFLICTS
    return isinstance(error, ArmUnavailable | TokenServiceDown) or error.status == 408


def asked_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that an answer asks to wait: milliseconds, seconds, or an HTTP date, which is taken from its own Date.

    Resource Graph says in each answer, in hours, minutes and seconds, when its quota is whole again.
    """
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        milliseconds = _number(headers.get(name))
        if milliseconds is not None:
            return milliseconds / 1000
    said = headers.get("retry-after")
    seconds = _number(said)
    if seconds is not None:
        return seconds
    until = _until(said, headers.get("date"))
    return until if until is not None else _clock_time(headers.get("x-ms-user-quota-resets-after"))


def no_answer_because(error: AzureError) -> str:
    """A short reason for a connection failure."""
    if isinstance(error, (ServiceRequestTimeoutError, ServiceResponseTimeoutError)):
        return "time-out"
    text = str(error)
    system = re.search(r"\[Errno -?\d+\] [\w ,.'-]+", text)
    if system:
        return system.group()
    if "RemoteDisconnected" in text:
        return "the connection was closed"
    return told(text)


def _number(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text.strip()) else None


def _until(said: str | None, date: str | None) -> float | None:
    try:
        return max(0.0, (parsedate_to_datetime(said or "") - parsedate_to_datetime(date or "")).total_seconds())
    except (ValueError, TypeError):  # no date, or one with a zone and one without
        return None


def _clock_time(text: str | None) -> float | None:
    found = re.fullmatch(r"(\d\d):(\d\d):(\d\d)(\.\d+)?", text or "")
    return 3600.0 * int(found[1]) + 60.0 * int(found[2]) + int(found[3]) if found else None


def _detail(body: bytes) -> _Detail:
    """Code and message of ARM's error envelope; empty where the body is something else (HTML, nothing, OData)."""
    try:
        return msgspec.json.decode(body, type=_Envelope).error or _Detail()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Detail()


def _kind(status: int, code: str | None) -> type[ArmError]:
    by_code = {"TooManyFirewallRules": RuleLimitReached, "DenyPublicEndpointEnabled": PublicAccessDisabled}
    by_status = {
        401: ArmUnauthenticated,
        403: ArmForbidden,
        404: ArmNotFound,
        409: ArmConflict,
        429: ArmThrottled,
    }
    if code in THROTTLES:
        return ArmThrottled
    if status < 400:
        return ArmInvalidAnswer
    if status >= 500:
        return ArmUnavailable
    return by_code.get(code or "") or by_status.get(status, ArmRejected)


def _reason(operation: Operation, status: int, detail: _Detail, retry_after: float | None) -> str:
    known = _known_reason(operation, detail)
    if known:
        return known
    if status in {429, 503} and retry_after is not None:
        return f"too many requests, Azure asks to wait {retry_after:g} seconds ({_quoted(status, detail)})"
    if status == 401:
        return f"Azure does not take the identity's token ({_quoted(status, detail)})"
    if status < 400:
        return f"Azure answered {status}, which says nothing about the result"
    return _quoted(status, detail)


def _known_reason(operation: Operation, detail: _Detail) -> str | None:
    """What to do about the codes that an operator can do something about."""
    message = told(detail.message or "no reason given")
    if detail.code == "AuthorizationFailed":
        return _missing_action(operation, detail.message or "")
    if detail.code == "SubscriptionNotFound":
        return f"{_subscription(operation.scope)} is not there or this identity cannot see it"
    if detail.code in GONE:
        return f"the server is not there any more, has moved, or is just being made ({detail.code}: {message})"
    known = REASONS.get(detail.code or "")
    return known and known.format(message=message)


def _subscription(scope: str) -> str:
    named = re.match(r"/subscriptions/([^/]+)", scope)
    return f"subscription {printable(named.group(1))}" if named else "a subscription"


def _missing_action(operation: Operation, message: str) -> str:
    named = re.search(r"perform action '([\w./*-]{1,200})' over scope '([^']{1,500})'", message)
    action, scope = named.groups() if named else (operation.action, operation.scope)
    return (
        f"the identity lacks the action {action} on {printable(scope)}; assign it a role that has it "
        "(docs/azure-permissions.md). A new assignment takes some minutes to act"
    )


def _quoted(status: int, detail: _Detail) -> str:
    code = f" {told(detail.code)}" if detail.code else ""
    return f"{status}{code}: {told(detail.message)}" if detail.message else f"{status}{code}"
