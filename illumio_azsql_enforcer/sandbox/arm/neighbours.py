"""The children of a server: firewall rules go to their own room; IPv6 and virtual network rules are read only."""

from illumio_azsql_enforcer.sandbox.arm import errors
from illumio_azsql_enforcer.sandbox.arm.frontdoor import Call
from illumio_azsql_enforcer.sandbox.arm.records import IPV6_RULES, NETWORK_RULES, RULES, SqlServer
from illumio_azsql_enforcer.sandbox.arm.rules import FirewallRules
from illumio_azsql_enforcer.sandbox.arm.servers import Pages, Servers
from illumio_azsql_enforcer.sandbox.arm.state import ArmState
from illumio_azsql_enforcer.sandbox.wire import Reply


class Children:
    """Answers for everything below a server."""

    def __init__(self, rules: FirewallRules, state: ArmState, servers: Servers, pages: Pages) -> None:
        self._rules, self._state, self._servers, self._pages = rules, state, servers, pages

    def collection(self, call: Call) -> Reply:
        """`…/servers/{name}/{children}`."""
        if call.route.child == RULES:
            return self._rules.collection(call)
        return self._pages.page(call, list(self._bodies(call).values()), None)

    def item(self, call: Call) -> Reply:
        """`…/servers/{name}/{children}/{child}`."""
        if call.route.child == RULES:
            return self._rules.item(call)
        found = self._bodies(call).get(call.route.name.casefold())
        if found is None:
            raise errors.resource_unknown(f"Microsoft.Sql/{call.route.type}", call.route.name)
        return Reply.json(200, found)

    def _bodies(self, call: Call) -> dict[str, dict[str, object]]:
        if call.route.child not in (IPV6_RULES, NETWORK_RULES):
            raise errors.type_unknown(call.route.type, call.version)
        if call.request.method not in ("GET", "HEAD"):
            raise errors.method_not_allowed(call.request.method)
        with self._state.mutex:
            server = self._servers.need_parent(call)
            return _ipv6_bodies(server) if call.route.child == IPV6_RULES else _network_bodies(server)


def _ipv6_bodies(server: SqlServer) -> dict[str, dict[str, object]]:
    return {
        key: {
            "properties": {"startIPv6Address": rule.start, "endIPv6Address": rule.end},
            **_own(server, IPV6_RULES, rule.name),
        }
        for key, rule in sorted(server.ipv6_rules.items())
    }


def _network_bodies(server: SqlServer) -> dict[str, dict[str, object]]:
    return {
        key: {
            "properties": {
                "virtualNetworkSubnetId": rule.subnet,
                "ignoreMissingVnetServiceEndpoint": False,
                "state": rule.state,
            },
            **_own(server, NETWORK_RULES, rule.name),
        }
        for key, rule in sorted(server.network_rules.items())
    }


def _own(server: SqlServer, child: str, name: str) -> dict[str, object]:
    return {"id": f"{server.id}/{child}/{name}", "name": name, "type": f"Microsoft.Sql/servers/{child}"}
