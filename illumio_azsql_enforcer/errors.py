"""The small tree of errors that the outside world can cause.

The text of each is one sentence that an operator can act on: it is what the log and the report show. Anything else
that is raised is a defect of this program; it is caught at the cycle boundary alone, and nothing is written after it.
"""

from dataclasses import dataclass

_SHOWN_PROBLEMS = 100


class EnforcerError(Exception):
    """Something outside this program went wrong; `str()` is a sentence for an operator."""


class Stopped(EnforcerError):
    """The program was asked to stop while it was waiting."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a config file: where, which key, what is wrong and what would be right."""

    file: str
    line: int
    key: str  # dotted, `pce.url`; empty for what concerns the file as a whole
    message: str

    def __str__(self) -> str:
        return ": ".join(filter(None, (f"{self.file}:{self.line}", self.key, self.message)))


class ConfigError(EnforcerError):
    """The configuration is missing, unreadable or invalid (exit code 78).

    Attributes:
        problems: what is wrong, in the order of the file; empty when the file could not be read at all.
    """

    def __init__(self, message: str = "", *, problems: tuple[Problem, ...] = ()) -> None:
        more = [f"… and {len(problems) - _SHOWN_PROBLEMS} more"] if len(problems) > _SHOWN_PROBLEMS else []
        super().__init__(message or "\n".join([*map(str, problems[:_SHOWN_PROBLEMS]), *more]))
        self.problems = problems


class StateUnwritable(EnforcerError):
    """The journal or the lock in the state directory cannot be written."""


class LockHeld(EnforcerError):
    """Another process of this program is writing."""


class ListenFailed(EnforcerError):
    """The address of `http.listen` cannot be listened on."""


# --- the PCE


class PceError(EnforcerError):
    """A request to the PCE did not give a usable answer.

    Attributes:
        status: HTTP status, or None when there was no answer at all.
        token: the PCE's own error token (`input_validation_error`, …), or None.
        request_id: the `X-Request-Id` of the answer, or None.
    """

    def __init__(
        self, message: str, *, status: int | None = None, token: str | None = None, request_id: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.token = token
        self.request_id = request_id


class PceUnreachable(PceError):
    """No connection, a reset, a time-out, a TLS failure: there is no HTTP answer."""


class PceUnauthorized(PceError):
    """401: the key is wrong, expired or revoked."""


class PceForbidden(PceError):
    """403: the role lacks the permission, or the org id is not the key's."""


class PceNotFound(PceError):
    """404: no such object, or a route that this release does not have."""


class PceThrottled(PceError):
    """429: too many requests a minute for this key."""


class PceUnavailable(PceError):
    """5xx: restart, failover, overload."""


class PceRejected(PceError):
    """Any other 4xx: the request itself is refused."""


class PceInvalidAnswer(PceError):
    """An answer that cannot be read: HTML, a cut body, wrong types, an answer that is too large."""


class SnapshotIncomplete(PceError):
    """The policy could not be read whole: truncated, filtered, of mixed versions, or not within the deadline."""


# --- the policy


class PolicyUnresolvable(EnforcerError):
    """The policy for a server cannot be told; the server keeps the firewall it has."""


# --- Azure


class ArmError(EnforcerError):
    """A call to Azure Resource Manager, Resource Graph or the token service failed.

    Attributes:
        status: HTTP status, or None when there was no answer.
        code: ARM's error code (`AuthorizationFailed`, `TooManyFirewallRules`, …), or None.
        correlation_id: `x-ms-correlation-request-id` of the answer, or None.
        retry_after: seconds that the answer asked to wait, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        correlation_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.correlation_id = correlation_id
        self.retry_after = retry_after


class ArmUnreachable(ArmError):
    """No connection, a reset, a time-out: whether a write took effect is not known."""


class ArmUnauthenticated(ArmError):
    """The token service gave no token, or ARM did not take it. May pass by itself."""


class ArmForbidden(ArmError):
    """403: the identity lacks an action, or Azure Policy forbids it."""


class ArmNotFound(ArmError):
    """404: subscription, resource group, server or rule is not there, or not visible."""


class ArmConflict(ArmError):
    """409: a lock, a disabled subscription, or another operation under way."""


class ArmThrottled(ArmError):
    """429: a request bucket is empty."""


class ArmUnavailable(ArmError):
    """5xx of the gateway or the resource provider."""


class ArmRejected(ArmError):
    """Any other 4xx: the request itself is refused."""


class ArmInvalidAnswer(ArmError):
    """An answer that cannot be read, or a success that is none (202 for a rule, an empty body)."""


class RuleLimitReached(ArmRejected):
    """400 `TooManyFirewallRules`: the server holds as many rules as it can."""


class PublicAccessDisabled(ArmRejected):
    """400 `DenyPublicEndpointEnabled`: rules cannot be edited while public network access is disabled."""


class UnsafeName(EnforcerError):
    """A name that must never be put into a request path (it could address another resource)."""
