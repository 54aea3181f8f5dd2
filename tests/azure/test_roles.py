"""The roles in docs/roles are enough for what they are for, and not for more."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from illumio_azsql_enforcer.addresses import Range
from illumio_azsql_enforcer.azure.access import AzureAccess
from illumio_azsql_enforcer.azure.firewall import FirewallReader, FirewallWriter
from illumio_azsql_enforcer.azure.servers import discover
from illumio_azsql_enforcer.errors import ArmForbidden
from illumio_azsql_enforcer.model.firewall import FirewallRule, Neighbours, Server
from illumio_azsql_enforcer.model.settings import ServerSettings
from illumio_azsql_enforcer.retrying import Deadline
from illumio_azsql_enforcer.sandbox.arm import ArmSimulator

ROLES = Path(__file__).parents[2] / "docs" / "roles"
RULE = FirewallRule("illumio-192.0.2.1-192.0.2.1", Range.parse("192.0.2.1", "192.0.2.1"))


class Role(msgspec.Struct, rename="pascal", forbid_unknown_fields=True):
    """A role definition as `az role definition create` takes it."""

    name: str
    is_custom: bool
    description: str
    actions: list[str]
    not_actions: list[str]
    data_actions: list[str]
    not_data_actions: list[str]
    assignable_scopes: list[str]


def role(name: str) -> Role:
    return msgspec.json.decode((ROLES / f"{name}.json").read_bytes(), type=Role)


@pytest.fixture(params=["enforce", "observe"])
def granted(request: pytest.FixtureRequest, azure: ArmSimulator) -> str:
    """The name of the role that the identity has, and nothing else."""
    azure.switches.filter_lists = False
    azure.state.grants.only(*role(request.param).actions)
    return str(request.param)


def test_what_a_role_can_do(
    granted: str, open_access: Callable[..., AzureAccess], server: Server, deadline: Deadline
) -> None:
    access = open_access(subscriptions=None)
    assert discover(access, ServerSettings(), deadline).servers == (server,)
    reader, writer = FirewallReader(access), FirewallWriter(access)
    assert reader.rules(server, deadline) == ()
    assert reader.neighbours(server, deadline) == Neighbours((), ())
    if granted == "enforce":
        writer.put(server, RULE, deadline)
        writer.delete(server, RULE.name, deadline)
        return
    with pytest.raises(ArmForbidden, match="firewallRules/write"):
        writer.put(server, RULE, deadline)
    with pytest.raises(ArmForbidden, match="firewallRules/delete"):
        writer.delete(server, RULE.name, deadline)


@pytest.mark.parametrize("name", ["enforce", "observe"])
def test_no_role_can_touch_a_server(name: str) -> None:
    actions = role(name).actions
    assert [a for a in actions if "*" in a] == []
    assert {a for a in actions if not a.endswith("/read")} == (
        {"Microsoft.Sql/servers/firewallRules/write", "Microsoft.Sql/servers/firewallRules/delete"}
        if name == "enforce"
        else set()
    )
