"""Resource ids and request paths: checked before they are used, so that no name can address another resource."""

import re
from typing import NamedTuple
from urllib.parse import quote

from illumio_azsql_enforcer.errors import UnsafeName
from illumio_azsql_enforcer.model.firewall import Server
from illumio_azsql_enforcer.model.names import is_safe_name
from illumio_azsql_enforcer.text import printable

_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SERVER_ID = re.compile(
    r"/subscriptions/([^/]+)/resourceGroups/([^/]+)/providers/Microsoft\.Sql/servers/([^/]+)", re.IGNORECASE
)


class ServerId(NamedTuple):
    """The parts of a logical server's resource id, as Azure spells them."""

    subscription_id: str
    resource_group: str
    name: str


def checked_subscription(subscription_id: str) -> str:
    """The id in lower case. Raises UnsafeName unless it is a GUID."""
    if not _GUID.fullmatch(subscription_id):
        raise UnsafeName(f"Subscription id {printable(subscription_id, 80)!r} is not a GUID.")
    return subscription_id.lower()


def checked_name(name: str, kind: str) -> str:
    """The name itself. Raises UnsafeName for one that could address another resource."""
    if not is_safe_name(name):
        raise UnsafeName(f"The {kind} name {printable(name, 140)!r} cannot safely be put into a request path.")
    return name


def parse_server_id(resource_id: str) -> ServerId:
    """The parts of a server's id. Raises UnsafeName for anything else, also for a child of a server."""
    found = _SERVER_ID.fullmatch(resource_id)
    if found is None:
        raise UnsafeName(f"{printable(resource_id, 200)!r} is not the resource id of a logical server.")
    parts = ServerId(*found.groups())
    checked_subscription(parts.subscription_id)
    checked_name(parts.resource_group, "resource group")
    checked_name(parts.name, "server")
    return parts


def server_path(server: Server) -> str:
    """The request path of a server. Raises UnsafeName."""
    subscription = checked_subscription(server.subscription_id)
    group = quote(checked_name(server.resource_group, "resource group"), safe="")
    name = quote(checked_name(server.name, "server"), safe="")
    return f"/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Sql/servers/{name}"
