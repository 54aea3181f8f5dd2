"""Which actions the identity has at a server, as Azure tells it, without trying any of them.

`GET {scope}/providers/Microsoft.Authorization/permissions` gives the actions of all roles that the caller has at the
scope. Deny assignments are not in it.
"""

import re
from collections.abc import Iterable, Sequence

import msgspec

from illumio_azsql_enforcer.azure.access import AzureAccess
from illumio_azsql_enforcer.azure.failures import Operation
from illumio_azsql_enforcer.azure.pages import Page
from illumio_azsql_enforcer.azure.paths import server_path
from illumio_azsql_enforcer.model.firewall import Server
from illumio_azsql_enforcer.model.settings import Mode
from illumio_azsql_enforcer.retrying import Deadline
from illumio_azsql_enforcer.text import printable

API_VERSION = "2022-04-01"
READ_ACTION = "Microsoft.Authorization/permissions/read"

READS = ("Microsoft.Sql/servers/read", "Microsoft.Sql/servers/firewallRules/read")
WRITE = "Microsoft.Sql/servers/firewallRules/write"
DELETE = "Microsoft.Sql/servers/firewallRules/delete"
USEFUL = ("Microsoft.Sql/servers/ipv6FirewallRules/read", "Microsoft.Sql/servers/virtualNetworkRules/read")
TOO_MUCH = ("Microsoft.Sql/servers/write", "Microsoft.Sql/servers/delete", "Microsoft.Sql/register/action")


class Permission(msgspec.Struct, rename="camel"):
    """What one role allows: patterns of actions, and patterns of those among them that it leaves out."""

    actions: list[str]
    not_actions: list[str] = msgspec.field(default_factory=list)


_PERMISSIONS = msgspec.json.Decoder(Page[Permission])


def permissions_at(access: AzureAccess, server: Server, deadline: Deadline) -> list[Permission]:
    """What the identity's roles allow at the server. Raises ArmError, UnsafeName."""
    operation = Operation(
        f"read the identity's own permissions at server {printable(server.name)}", READ_ACTION, server.id
    )
    path = f"{server_path(server)}/providers/Microsoft.Authorization/permissions?api-version={API_VERSION}"
    return access.read(path, _PERMISSIONS, operation, deadline)


def needed(mode: Mode) -> tuple[str, ...]:
    """The actions without which a server in this mode fails."""
    return READS + {Mode.OBSERVE: (), Mode.UPSERT: (WRITE,)}.get(mode, (WRITE, DELETE))


def allowed(permissions: Sequence[Permission], actions: Iterable[str]) -> list[str]:
    """Those of the actions that a role allows; `*` in a pattern stands for anything, and case does not count."""
    return [action for action in actions if any(_allows(one, action) for one in permissions)]


def _allows(permission: Permission, action: str) -> bool:
    return _any_fits(permission.actions, action) and not _any_fits(permission.not_actions, action)


def _any_fits(patterns: Iterable[str], action: str) -> bool:
    return any(_fits(pattern, action) for pattern in patterns)


def _fits(pattern: str, action: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), action, re.IGNORECASE) is not None
