"""From a raw request path to what it addresses, the way ARM reads it.

Dot segments are resolved, empty segments and a trailing slash are dropped, each segment is decoded once (so that %2F
does not split it), and the fixed words match without case. This leniency is what makes a careless path dangerous.
"""

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote

from illumio_azsql_enforcer.sandbox.arm.records import IPV6_RULES, NETWORK_RULES, RULES
from illumio_azsql_enforcer.sandbox.wire import CONTROL, Request

CHILDREN = {child.casefold(): child for child in (RULES, IPV6_RULES, NETWORK_RULES)}


class Kind(StrEnum):
    """What a path addresses."""

    SUBSCRIPTIONS = "subscriptions"
    SUBSCRIPTION = "subscription"
    GROUPS = "groups"
    GROUP = "group"
    PROVIDER = "provider"
    REGISTER = "register"
    SERVERS = "servers"
    SERVER = "server"
    CHILDREN = "children"
    CHILD = "child"
    PERMISSIONS = "permissions"
    GRAPH = "graph"
    TENANTS = "tenants"
    ENDPOINTS = "endpoints"
    CONTROL = "control"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Route:
    """A path taken apart; parts that it does not have are empty."""

    kind: Kind
    subscription: str = ""
    group: str = ""
    server: str = ""
    child: str = ""  # in its own spelling; any other type as it came
    name: str = ""

    @property
    def scope(self) -> str:
        """The resource id that the request is about, with the names as they came."""
        parts = ["", "subscriptions", self.subscription] if self.subscription else [""]
        parts += ["resourceGroups", self.group] if self.group else []
        parts += ["providers", "Microsoft.Sql", "servers", self.server] if self.server else []
        parts += [self.child] if self.child else []
        return "/".join([*parts, self.name] if self.name else parts) or "/"

    @property
    def server_id(self) -> str:
        return Route(Kind.SERVER, self.subscription, self.group, self.server).scope

    @property
    def type(self) -> str:
        """The resource type below Microsoft.Sql."""
        return f"servers/{self.child}" if self.child else "servers"


def segments(path: str) -> list[str]:
    """The decoded segments of a raw path."""
    kept: list[str] = []
    for segment in map(unquote, path.split("/")):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    return kept


def route(path: str) -> Route:
    """What a raw path addresses."""
    match segments(path):
        case ["sandbox", *_]:
            return Route(Kind.CONTROL)
        case [one] if one.casefold() in ("subscriptions", "tenants"):
            return Route(Kind(one.casefold()))
        case [one, two] if (one.casefold(), two.casefold()) == ("metadata", "endpoints"):
            return Route(Kind.ENDPOINTS)
        case [one, two, three] if [one.casefold(), two.casefold(), three.casefold()] == _GRAPH:
            return Route(Kind.GRAPH)
        case [one, subscription, *rest] if one.casefold() == "subscriptions":
            return _in_subscription(subscription, rest)
    return Route(Kind.UNKNOWN)


_PERMISSIONS = ["providers", "microsoft.authorization", "permissions"]
_GRAPH = ["providers", "microsoft.resourcegraph", "resources"]


def _in_subscription(subscription: str, rest: list[str]) -> Route:
    match rest:
        case []:
            return Route(Kind.SUBSCRIPTION, subscription)
        case [one] if one.casefold() == "resourcegroups":
            return Route(Kind.GROUPS, subscription)
        case [one, group, *below] if one.casefold() == "resourcegroups":
            return _in_provider(subscription, group, below) if below else Route(Kind.GROUP, subscription, group)
    return _in_provider(subscription, "", rest)


def _in_provider(subscription: str, group: str, rest: list[str]) -> Route:
    match [word.casefold() for word in rest[:3]], rest[3:]:
        case ["providers", "microsoft.sql"], [] if not group:
            return Route(Kind.PROVIDER, subscription)
        case ["providers", "microsoft.sql", "register"], [] if not group:
            return Route(Kind.REGISTER, subscription)
        case ["providers", "microsoft.sql", "servers"], []:
            return Route(Kind.SERVERS, subscription, group)
        case ["providers", "microsoft.sql", "servers"], [server, *below] if group:
            return _in_server(Route(Kind.SERVER, subscription, group, server), below)
    return Route(Kind.UNKNOWN, subscription, group)


def _in_server(server: Route, rest: list[str]) -> Route:
    at = (server.subscription, server.group, server.server)
    if [word.casefold() for word in rest] == _PERMISSIONS:
        return Route(Kind.PERMISSIONS, *at)
    match rest:
        case []:
            return server
        case [child]:
            return Route(Kind.CHILDREN, *at, CHILDREN.get(child.casefold(), child))
        case [child, name]:
            return Route(Kind.CHILD, *at, CHILDREN.get(child.casefold(), child), name)
    return Route(Kind.UNKNOWN, server.subscription, server.group)


def is_catastrophe(request: Request) -> bool:
    """Whether a request is a write that this product must never send, whatever became of it.

    That is every write but the PUT and DELETE of one IPv4 firewall rule and the POST of a Resource Graph query: writes
    of servers, of whole collections (replace), of neighbouring types, and provider registrations.
    """
    if request.method in ("GET", "HEAD", "OPTIONS") or request.path.startswith(CONTROL):
        return False
    target = route(request.path)
    if request.method == "POST":
        return target.kind is not Kind.GRAPH
    return not (request.method in ("PUT", "DELETE") and target.kind is Kind.CHILD and target.child == RULES)
