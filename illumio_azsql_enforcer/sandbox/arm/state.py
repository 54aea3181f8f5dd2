"""The state of the simulated Azure, and what people do to it behind ARM's back: by T-SQL or other tools."""

import threading
from collections.abc import Callable, Mapping
from typing import Literal
from uuid import UUID

from illumio_azsql_enforcer.addresses import Range as AddressRange
from illumio_azsql_enforcer.clock import Clock
from illumio_azsql_enforcer.sandbox.arm.access import Grants, LockLevel, Policy, Restrictions
from illumio_azsql_enforcer.sandbox.arm.records import (
    LOCATIONS,
    Activity,
    NetworkRule,
    Range,
    Rule,
    Rules,
    SqlServer,
    Subscription,
)

PublicAccess = Literal["Enabled", "Disabled", "SecuredByPerimeter"]
Monitor = Callable[[str, dict[str, Range], dict[str, Range]], None]  # server id, rules before, rules after
GraphRow = Mapping[str, object]


class ArmState:
    """Subscriptions, logical servers and their rules. Every operation is atomic.

    A server is named by its logical server name or by its resource id; an unknown one raises KeyError. What is done
    here leaves no activity record, as with T-SQL; writes through ARM go through `commit`.
    """

    def __init__(self, clock: Clock, *, tenant: str) -> None:
        self.clock, self.tenant = clock, tenant
        self.mutex = threading.RLock()
        self.subscriptions: dict[str, Subscription] = {}  # by lower-case id
        self.servers: dict[str, SqlServer] = {}  # by name, which is unique in the world
        self.grants = Grants(clock)
        self.restrictions = Restrictions()
        self.activity: list[Activity] = []
        self.monitor: Monitor | None = None
        self.graph_history: dict[str, list[tuple[float, SqlServer, GraphRow | None]]] = {}  # by server id

    # --- subscriptions and groups

    def add_subscription(self, subscription: str, *, name: str = "Sandbox") -> None:
        """A new subscription. Raises ValueError when the id is no GUID."""
        with self.mutex:
            key = str(UUID(subscription))
            self.subscriptions.setdefault(key, Subscription(key, name, self.tenant))

    def remove_subscription(self, subscription: str) -> None:
        """Nobody sees the subscription or its servers any more."""
        with self.mutex:
            for server in [s for s in self.servers.values() if s.subscription == subscription.lower()]:
                self.remove_server(server.id)
            del self.subscriptions[subscription.lower()]

    def disable_subscription(self, subscription: str, *, disabled: bool = True) -> None:
        """A disabled subscription can be read only."""
        with self.mutex:
            self.subscriptions[subscription.lower()].disabled = disabled

    def register_provider(self, subscription: str, *, registered: bool = True) -> None:
        """Whether the subscription is registered for Microsoft.Sql."""
        with self.mutex:
            self.subscriptions[subscription.lower()].registered = registered

    def add_group(self, subscription: str, resource_group: str) -> None:
        """A resource group; `add_server` makes the one it needs."""
        with self.mutex:
            groups = self.subscriptions[subscription.lower()].groups
            groups.setdefault(resource_group.casefold(), resource_group)

    def remove_group(self, subscription: str, resource_group: str) -> None:
        """Delete a group and the servers in it."""
        with self.mutex:
            for server in self.servers_in(subscription, resource_group):
                self.remove_server(server.id)
            del self.subscriptions[subscription.lower()].groups[resource_group.casefold()]

    # --- servers

    def add_server(  # noqa: PLR0913 - the properties of a server
        self,
        name: str,
        *,
        subscription: str,
        resource_group: str,
        fqdn: str | None = None,
        kind: str = "v12.0",
        tags: Mapping[str, str] | None = None,
        public_access: PublicAccess = "Enabled",
        location: str = "westeurope",
    ) -> str:
        """A new server; its resource id. Makes the group. Raises ValueError when the name is taken in all of Azure."""
        with self.mutex:
            if name.casefold() in self.servers:
                raise ValueError(f"The server name {name!r} is taken.")
            if location not in LOCATIONS:
                raise ValueError(f"{location!r} is none of {', '.join(LOCATIONS)}.")
            self.add_group(subscription, resource_group)
            home = self.subscriptions[subscription.lower()].id
            address = fqdn or f"{name}.database.windows.net"
            server = SqlServer(name, home, resource_group, location, kind, address, dict(tags or {}), public_access)
            self.servers[name.casefold()] = server
            self._index(server)
            return server.id

    def remove_server(self, server: str) -> None:
        """Delete a server with all its rules."""
        with self.mutex:
            gone = self.servers.pop(self.server(server).name.casefold())
            self._index(gone, gone=True)

    def move_server(self, server: str, resource_group: str) -> str:
        """Move a server into another group of its subscription; its new resource id."""
        with self.mutex:
            moved = self.server(server)
            self._index(moved, gone=True)
            self.add_group(moved.subscription, resource_group)
            moved.resource_group = resource_group
            self._index(moved)
            return moved.id

    def set_server_state(self, server: str, state: str) -> None:
        """`Ready`; in any other state (`Creating`, `Dropping`) the server's children answer 404."""
        with self.mutex:
            self.server(server).state = state
            self._index(self.server(server))

    def set_public_access(self, server: str, access: PublicAccess) -> None:
        """Public network access of a server."""
        with self.mutex:
            changed = self.server(server)
            if access == "Enabled" != changed.public_access:
                changed.enabled_at = self.clock.monotonic()
            changed.public_access = access
            self._index(changed)

    def set_tags(self, server: str, tags: Mapping[str, str]) -> None:
        """Replace a server's tags."""
        with self.mutex:
            self.server(server).tags = dict(tags)
            self._index(self.server(server))

    def set_rule_limit(self, server: str, limit: int | None) -> None:
        """The most rules that this one server can hold; None: as the switch says."""
        with self.mutex:
            self.server(server).rule_limit = limit

    def server(self, name_or_id: str) -> SqlServer:
        """The record of a server. Raises KeyError."""
        with self.mutex:
            found = self.servers[name_or_id.rpartition("/")[2].casefold()]
            if name_or_id.startswith("/") and found.id.casefold() != name_or_id.casefold():
                raise KeyError(name_or_id)
            return found

    def servers_in(self, subscription: str, resource_group: str | None = None) -> list[SqlServer]:
        """The servers of a subscription, or of one of its groups, by name."""
        group = None if resource_group is None else resource_group.casefold()
        with self.mutex:
            here = [s for s in self.servers.values() if s.subscription == subscription.lower()]
            return sorted((s for s in here if group in (None, s.resource_group.casefold())), key=lambda s: s.name)

    # --- rules

    def rules(self, server: str) -> dict[str, Range]:
        """Name -> (start, end) of every IPv4 firewall rule, by name."""
        with self.mutex:
            return plain(self.server(server).rules)

    def set_rule(self, server: str, name: str, start: str, end: str) -> None:
        """Add or change a rule, as `sp_set_firewall_rule` does: any name. Raises ValueError for a bad range."""
        AddressRange.parse(start, end)
        with self.mutex:
            target = self.server(server)
            known = target.rules.get(name.casefold())
            self.replace_rules(
                target, target.rules | {name.casefold(): Rule(known.name if known else name, start, end)}
            )

    def delete_rule(self, server: str, name: str) -> None:
        """Delete a rule, as `sp_delete_firewall_rule` does. Raises KeyError when there is none."""
        with self.mutex:
            target = self.server(server)
            rest = dict(target.rules)
            del rest[name.casefold()]
            self.replace_rules(target, rest)

    def replace_rules(self, server: SqlServer, rules: Rules) -> None:
        """Set all rules of a server and remember when; the caller holds the mutex."""
        server.rules = rules
        server.history.append((self.clock.monotonic(), rules))
        del server.history[:-512]

    def commit(self, server: SqlServer, rules: Rules, activity: Activity) -> None:
        """A write through ARM: set the rules, record it, and let the monitor judge, all under the mutex."""
        with self.mutex:
            before = plain(server.rules)
            self.replace_rules(server, rules)
            self.activity.append(activity)
            if self.monitor is not None:
                self.monitor(server.id, before, plain(rules))

    def rules_as_of(self, server: SqlServer, lag: float) -> Rules:
        """The rules of `lag` seconds ago, as far as they are remembered."""
        with self.mutex:
            if lag <= 0 or not server.history:
                return server.rules
            then = self.clock.monotonic() - lag
            known = [rules for since, rules in server.history if since <= then]
            return known[-1] if known else {}

    # --- neighbours

    def set_ipv6_rule(self, server: str, name: str, start: str, end: str) -> None:
        """Add or change an IPv6 firewall rule."""
        with self.mutex:
            self.server(server).ipv6_rules[name.casefold()] = Rule(name, start, end)

    def set_network_rule(self, server: str, name: str, subnet: str, state: str = "Ready") -> None:
        """Add or change a virtual network rule; `subnet` is a resource id."""
        with self.mutex:
            self.server(server).network_rules[name.casefold()] = NetworkRule(name, subnet, state)

    # --- restrictions

    def lock(self, scope: str, level: LockLevel = "CanNotDelete") -> None:
        """Lock a server, a group or a subscription (a resource id, or a server's name)."""
        with self.mutex:
            self.restrictions.locks[self._scope(scope)] = level

    def unlock(self, scope: str) -> None:
        """Take a lock away. Raises KeyError when there is none."""
        with self.mutex:
            del self.restrictions.locks[self._scope(scope)]

    def add_policy(
        self,
        name: str = "deny-allow-azure-services",
        *,
        scope: str = "/",
        denies: Callable[[str, str], bool] = lambda start, end: start == end == "0.0.0.0",  # noqa: S104 - a range
    ) -> None:
        """Azure Policy that denies the rules of which `denies(start, end)` is true; by default 0.0.0.0-0.0.0.0."""
        with self.mutex:
            self.restrictions.policies.append(Policy(name, self._scope(scope), denies))

    def remove_policies(self) -> None:
        """No policy denies anything."""
        with self.mutex:
            self.restrictions.policies.clear()

    def _scope(self, scope: str) -> str:
        return scope if scope.startswith("/") else self.server(scope).id

    def _index(self, server: SqlServer, *, gone: bool = False) -> None:
        """What Resource Graph will know of the server, from now on."""
        entry = (self.clock.monotonic(), server, None if gone else server.body())
        self.graph_history.setdefault(server.id.casefold(), []).append(entry)


def plain(rules: Rules) -> dict[str, Range]:
    """Name -> (start, end), by name without case."""
    return {rules[key].name: rules[key].range for key in sorted(rules)}
