"""ARM's front door: the checks that every request passes, in their order, and the way to who answers it.

Order: api-version, authentication, subscription, provider registration, authorization, throttling, locks (writes),
resource group and parent, then the resource provider.
"""

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from illumio_azsql_enforcer.sandbox.arm import errors, versions
from illumio_azsql_enforcer.sandbox.arm.chance import Chance
from illumio_azsql_enforcer.sandbox.arm.records import Subscription
from illumio_azsql_enforcer.sandbox.arm.routes import Kind, Route, route
from illumio_azsql_enforcer.sandbox.arm.state import ArmState
from illumio_azsql_enforcer.sandbox.arm.switches import Switches
from illumio_azsql_enforcer.sandbox.arm.throttle import Buckets
from illumio_azsql_enforcer.sandbox.arm.tokens import Token, TokenStore, normal_resource
from illumio_azsql_enforcer.sandbox.wire import Reply, Request

Operation = Literal["read", "write", "delete", "action"]
OPERATIONS: dict[str, Operation] = {"GET": "read", "HEAD": "read", "DELETE": "delete", "POST": "action"}
BUCKETS: dict[Operation, str] = {"read": "reads", "delete": "deletes", "write": "writes", "action": "writes"}
_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(-[a-z]+)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Call:
    """A request that stands at the door, with what is known of it so far."""

    request: Request
    route: Route
    operation: Operation
    version: str
    token: Token
    correlation: str

    @property
    def action(self) -> str:
        """The permission that the call needs."""
        match self.route.kind:
            case Kind.SUBSCRIPTION | Kind.SUBSCRIPTIONS:
                return f"Microsoft.Resources/subscriptions/{self.operation}"
            case Kind.GROUP | Kind.GROUPS:
                return f"Microsoft.Resources/subscriptions/resourceGroups/{self.operation}"
            case Kind.PROVIDER:
                return f"Microsoft.Resources/subscriptions/providers/{self.operation}"
            case Kind.REGISTER:
                return "Microsoft.Sql/register/action"
            case Kind.PERMISSIONS:
                return f"Microsoft.Authorization/permissions/{self.operation}"
        return f"Microsoft.Sql/{self.route.type}/{self.operation}"


Handler = Callable[[Call], Reply]


class FrontDoor:
    """Answers ARM requests; `handlers` are the ones behind the door, by what the path addresses."""

    def __init__(
        self,
        state: ArmState,
        switches: Switches,
        tokens: TokenStore,
        buckets: Buckets,
        handlers: Mapping[Kind, Handler],
        audiences: set[str],
        chance: Chance,
    ) -> None:
        self._state, self._switches, self._tokens = state, switches, tokens
        self._buckets, self._handlers, self._audiences, self._chance = buckets, handlers, audiences, chance

    def answer(self, request: Request) -> Reply:
        """The answer with all its headers."""
        notes: dict[str, str] = {}
        try:
            reply = self._admit(request, notes)
        except errors.Refusal as refusal:
            request.effect = request.effect or "refused"
            reply = refusal.reply
        return self.dress(request, Reply(reply.status, reply.body, {**reply.headers, **notes}))

    def dress(self, request: Request, reply: Reply) -> Reply:
        """Add the headers that every answer of ARM carries."""
        identity, chance = self._chance.uuid(), self._chance
        routing = f"WESTEUROPE:{request.at:%Y%m%dT%H%M%SZ}:{chance.uuid()}"
        headers = {
            "Cache-Control": "no-cache",
            "Pragma": "no-cache",
            "Expires": "-1",
            "x-ms-request-id": identity,
            "x-ms-correlation-request-id": request.headers.get("x-ms-correlation-request-id", identity),
            "x-ms-routing-request-id": routing,
            "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
            "X-Content-Type-Options": "nosniff",
            "X-Cache": "CONFIG_NOCACHE",
            "X-MSEdge-Ref": f"Ref A: {chance.hex(16).upper()} Ref B: AMS1 Ref C: {request.at:%Y-%m-%dT%XZ}",
        }
        if request.headers.get("x-ms-return-client-request-id", "").lower() == "true":
            headers["x-ms-client-request-id"] = request.headers.get("x-ms-client-request-id", "")
        return Reply(reply.status, reply.body, {**headers, **reply.headers})

    def _admit(self, request: Request, notes: dict[str, str]) -> Reply:
        target = self._route(request)
        handler = self._handlers.get(target.kind)
        if target.kind is Kind.ENDPOINTS and handler is not None:  # the one page that needs no token
            return handler(Call(request, target, "read", "", _NOBODY, ""))
        version = self._version(request, target)
        token = self._authenticate(request)
        operation = OPERATIONS.get(request.method, "write")
        correlation = request.headers.get("x-ms-correlation-request-id") or self._chance.uuid()
        call = Call(request, target, operation, version, token, correlation)
        subscription = self._subscription(call)
        self._pass_checks(call, subscription, notes)
        if handler is None:
            raise errors.route_unknown(request.path)
        return handler(call)

    def _route(self, request: Request) -> Route:
        if request.path.endswith("/") and not self._switches.trailing_slash:
            raise errors.route_unknown(request.path)
        return route(request.path)

    def _version(self, request: Request, target: Route) -> str:
        version = {name.lower(): value for name, value in request.query.items()}.get("api-version", "")
        if not version:
            raise errors.version_missing()
        supported = versions.supported(target, retired=self._switches.retired_version)
        if not _VERSION.fullmatch(version):
            raise errors.version_malformed(version, supported)
        if supported and version.lower() not in supported:
            if target.kind in versions.OF_RESOURCES:
                raise errors.version_malformed(version, supported)
            kind = "servers" if target.kind is Kind.SERVERS else target.type
            raise errors.version_unknown(kind, version, supported, "westeurope", self._switches.unknown_version_status)
        return version.lower()

    def _authenticate(self, request: Request) -> Token:
        tenant = self._state.tenant
        if request.authorization is None:
            message = "Authentication failed. The 'Authorization' header is missing."
            raise errors.unauthenticated("AuthenticationFailed", message, tenant)
        scheme, _, text = request.authorization.reveal().partition(" ")
        token = self._tokens.find(text.strip()) if scheme.lower() == "bearer" else None
        if token is None:
            raise errors.unauthenticated("InvalidAuthenticationToken", "The access token is invalid.", tenant)
        self._check_token(token, tenant)
        return token

    def _check_token(self, token: Token, tenant: str) -> None:
        if token.resource not in {normal_resource(a) for a in self._audiences}:
            message = f"The access token has been obtained for wrong audience or resource '{token.resource}'."
            raise errors.unauthenticated("InvalidAuthenticationToken", message, tenant)
        now = self._state.clock.now()
        if token.expires_at <= now:
            message = f"The access token expiry UTC time '{token.expires_at}' is earlier than current UTC time '{now}'."
            raise errors.unauthenticated("ExpiredAuthenticationToken", message, tenant)
        if token.issued < self._tokens.challenge_before:
            claims = base64.b64encode(b'{"access_token":{"nbf":{"essential":true,"value":"1"}}}').decode()
            message = "Continuous access evaluation resulted in challenge with result: InteractionRequired"
            raise errors.unauthenticated(
                "InvalidAuthenticationToken", message, tenant, error="insufficient_claims", claims=claims
            )

    def _subscription(self, call: Call) -> Subscription | None:
        given = call.route.subscription
        if not given:
            return None
        try:
            known = self._state.subscriptions.get(str(UUID(given))) if len(given) == 36 else None
        except ValueError:
            raise errors.subscription_malformed(given) from None
        if len(given) != 36:
            raise errors.subscription_malformed(given)
        if known is None or not self._state.grants.touches(f"/subscriptions/{known.id}", call.token.principal):
            raise errors.subscription_unknown(given)
        return known

    def _pass_checks(self, call: Call, subscription: Subscription | None, notes: dict[str, str]) -> None:
        needs_provider = call.route.kind in (Kind.SERVERS, Kind.SERVER, Kind.CHILDREN, Kind.CHILD)
        if subscription is not None and needs_provider and not subscription.registered:
            raise errors.not_registered()
        checks = [self._throttle, self._authorize]
        for check in checks if self._switches.throttle.before_authorization else reversed(checks):
            check(call, notes)
        if subscription is not None and call.operation != "read":
            self._check_writable(call, subscription)

    def _authorize(self, call: Call, _notes: dict[str, str]) -> None:
        if call.route.kind in (Kind.SUBSCRIPTIONS, Kind.TENANTS, Kind.GRAPH, Kind.UNKNOWN):
            return
        filtered = call.route.kind is Kind.SERVERS and self._switches.filter_lists
        scope = f"/subscriptions/{call.route.subscription}" if filtered else call.route.scope
        principal, grants = call.token.principal, self._state.grants
        if not ((filtered and grants.touches(scope, principal)) or grants.allowed(call.action, scope, principal)):
            raise errors.not_authorized(call.token.client_id, principal, call.action, scope)

    def _throttle(self, call: Call, notes: dict[str, str]) -> None:
        if call.route.kind is Kind.GRAPH:
            return  # it has a quota of its own
        subscription, principal = call.route.subscription, call.token.principal
        verdict = self._buckets.take(subscription, principal, BUCKETS[call.operation])
        notes.update(verdict.headers)
        if verdict.wait:
            word = {"action": "write"}.get(call.operation, call.operation)
            raise errors.throttled(
                word, subscription, principal, verdict.wait, header=self._switches.throttle_retry_after
            )

    def _check_writable(self, call: Call, subscription: Subscription) -> None:
        if subscription.disabled:
            raise errors.subscription_disabled(subscription.id, self._switches.disabled_subscription_status)
        operation: Literal["write", "delete"] = "delete" if call.operation == "delete" else "write"
        lock = self._state.restrictions.lock_against(operation, call.route.scope)
        if lock is not None:
            raise errors.locked(call.route.scope, operation, lock)


_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_NOBODY = Token("", "", "", 0.0, _LONG_AGO, _LONG_AGO)
