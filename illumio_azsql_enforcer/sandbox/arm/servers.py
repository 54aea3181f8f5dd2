"""Subscriptions, groups and Microsoft.Sql servers: read only. Writes of a server are refused, whatever the rights."""

from collections.abc import Callable, Sequence
from urllib.parse import quote

from illumio_azsql_enforcer.sandbox.arm import errors
from illumio_azsql_enforcer.sandbox.arm.frontdoor import Call
from illumio_azsql_enforcer.sandbox.arm.records import SqlServer, Subscription
from illumio_azsql_enforcer.sandbox.arm.routes import Kind
from illumio_azsql_enforcer.sandbox.arm.state import ArmState
from illumio_azsql_enforcer.sandbox.arm.switches import Switches
from illumio_azsql_enforcer.sandbox.wire import Reply

SKIP = "$skiptoken"


class Pages:
    """Cuts lists into pages with absolute nextLinks. `url` gives the base URL of ARM."""

    def __init__(self, url: Callable[[], str], switches: Switches) -> None:
        self.url, self._switches = url, switches

    def page(self, call: Call, items: Sequence[object], size: int | None) -> Reply:
        """The page that the request asks for. Raises Refusal for a skip token that was never given out."""
        start = self._start(call.request.query)
        if size is None:
            return Reply.json(200, {"value": items[start:]})
        body: dict[str, object] = {"value": items[start : start + size]}
        if start + size < len(items):
            body["nextLink"] = self._link(call, start + size)
        return Reply.json(200, body)

    def _start(self, query: dict[str, str]) -> int:
        token = {name.lower(): value for name, value in query.items()}.get(SKIP)
        if token is None:
            return 0
        head, _, tail = token.partition("/")
        if not head.isdigit() or tail != _TAIL:
            raise errors.by_gateway(400, "InvalidSkipToken", f"The skip token '{token}' is not valid.")
        return int(head)

    def _link(self, call: Call, start: int) -> str:
        base = self._switches.foreign_next_link or self.url()
        return f"{base}{call.request.path}?api-version={call.version}&{SKIP}={quote(f'{start}/{_TAIL}', safe='')}"


_TAIL = "a+b%2Fc=="  # what clients like to get wrong when they encode it again


class Servers:
    """Answers for subscriptions, groups, servers and the provider registration."""

    def __init__(self, state: ArmState, switches: Switches, pages: Pages) -> None:
        self._state, self._switches, self._pages = state, switches, pages

    def subscriptions(self, call: Call) -> Reply:
        """`GET /subscriptions`: those where the principal has any right."""
        _only_get(call)
        with self._state.mutex:
            seen = [s for s in self._state.subscriptions.values() if self._visible(call, f"/subscriptions/{s.id}")]
        return Reply.json(200, {"value": [s.body() for s in seen], "count": {"type": "Total", "value": len(seen)}})

    def subscription(self, call: Call) -> Reply:
        """`GET /subscriptions/{id}`."""
        _only_get(call)
        return Reply.json(200, self._subscription(call).body())

    def tenants(self, call: Call) -> Reply:
        """`GET /tenants`: the one."""
        _only_get(call)
        tenant = self._state.tenant
        return Reply.json(200, {"value": [{"id": f"/tenants/{tenant}", "tenantId": tenant, "displayName": "Sandbox"}]})

    def groups(self, call: Call) -> Reply:
        """`GET …/resourceGroups`."""
        _only_get(call)
        subscription = self._subscription(call)
        return Reply.json(200, {"value": [_group(subscription, name) for name in subscription.groups.values()]})

    def group(self, call: Call) -> Reply:
        """`GET …/resourceGroups/{name}`."""
        _only_get(call)
        return Reply.json(200, _group(self._subscription(call), self.need_group(call)))

    def list(self, call: Call) -> Reply:
        """`GET …/servers` of a subscription or a group."""
        _only_get(call)
        group = self.need_group(call) if call.route.group else None
        with self._state.mutex:
            found = self._state.servers_in(call.route.subscription, group)
            bodies = [s.body() for s in found if self._readable(call, s)]
        return self._pages.page(call, bodies, self._switches.page_size)

    def one(self, call: Call) -> Reply:
        """`GET …/servers/{name}`; anything else would be a catastrophe and is refused."""
        if call.request.method not in ("GET", "HEAD"):
            raise errors.not_authorized(call.token.client_id, call.token.principal, call.action, call.route.scope)
        group = self.need_group(call)
        with self._state.mutex:
            found = self.find(call)
            if found is None:
                raise errors.server_unknown(call.route.server, group)
            return Reply.json(200, found.body())

    def provider(self, call: Call) -> Reply:
        """`GET …/providers/Microsoft.Sql`."""
        _only_get(call)
        return self._registration(call)

    def register(self, call: Call) -> Reply:
        """`POST …/providers/Microsoft.Sql/register`."""
        if call.request.method != "POST":
            raise errors.method_not_allowed(call.request.method)
        if not self._switches.registration_allowed:
            raise errors.not_authorized(call.token.client_id, call.token.principal, call.action, call.route.scope)
        self._subscription(call).registered = True
        call.request.effect = "provider registered"
        return self._registration(call)

    def find(self, call: Call) -> SqlServer | None:
        """The server that a path names, where it names it."""
        try:
            return self._state.server(call.route.server_id)
        except KeyError:
            return None

    def need_group(self, call: Call) -> str:
        """The stored name of the path's group. Raises Refusal when there is none."""
        name = self._subscription(call).groups.get(call.route.group.casefold())
        if name is None:
            raise errors.group_unknown(call.route.group)
        return name

    def need_parent(self, call: Call) -> SqlServer:
        """The server that is ready to answer for its children. Raises Refusal."""
        self.need_group(call)
        found = self.find(call)
        if found is not None and found.state == "Ready":
            return found
        if self._switches.missing_parent == "gateway":
            raise errors.parent_unknown(call.operation, call.route.type, call.route.server_id)
        elsewhere = call.route.server.casefold() in self._state.servers
        code = "ServerNotInSubscriptionResourceGroup" if elsewhere else "SubscriptionDoesNotHaveServer"
        message = f"Subscription '{call.route.subscription}' does not have the server '{call.route.server}'."
        raise errors.by_provider(404, code, message)

    def _registration(self, call: Call) -> Reply:
        subscription = self._subscription(call)
        state = "Registered" if subscription.registered else "NotRegistered"
        own = f"/subscriptions/{subscription.id}/providers/Microsoft.Sql"
        return Reply.json(200, {"id": own, "namespace": "Microsoft.Sql", "registrationState": state})

    def _subscription(self, call: Call) -> Subscription:
        return self._state.subscriptions[call.route.subscription.lower()]

    def _visible(self, call: Call, scope: str) -> bool:
        return self._state.grants.touches(scope, call.token.principal)

    def _readable(self, call: Call, server: SqlServer) -> bool:
        return self._state.grants.allowed("Microsoft.Sql/servers/read", server.id, call.token.principal)


def _group(subscription: Subscription, name: str) -> dict[str, object]:
    own = f"/subscriptions/{subscription.id}/resourceGroups/{name}"
    kind = {"type": "Microsoft.Resources/resourceGroups", "location": "westeurope"}
    return {"id": own, "name": name, **kind, "properties": {"provisioningState": "Succeeded"}}


def _only_get(call: Call) -> None:
    if call.request.method not in ("GET", "HEAD"):
        kind = {Kind.SERVERS: "servers"}.get(call.route.kind, call.route.kind.value)
        raise errors.by_gateway(
            405, "MethodNotAllowed", f"The method '{call.request.method}' is not allowed on '{kind}'."
        )
