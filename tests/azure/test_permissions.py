"""What the identity may do, told without trying."""

import pytest

from illumio_azsql_enforcer.azure.access import AzureAccess
from illumio_azsql_enforcer.azure.permissions import Permission, allowed, needed, permissions_at
from illumio_azsql_enforcer.errors import ArmForbidden, ArmInvalidAnswer
from illumio_azsql_enforcer.model.firewall import Server
from illumio_azsql_enforcer.model.settings import Mode
from illumio_azsql_enforcer.retrying import Deadline
from illumio_azsql_enforcer.sandbox.arm import ArmSimulator
from illumio_azsql_enforcer.sandbox.wire import Fault, Reply

READ, WRITE, DELETE = (f"Microsoft.Sql/servers/firewallRules/{verb}" for verb in ("read", "write", "delete"))
ALL = ("Microsoft.Sql/servers/read", READ, WRITE, DELETE)


@pytest.mark.parametrize(
    ("actions", "without", "expected"),
    [
        (ALL, (), ALL),
        (("*",), (), ALL),
        (("*/read",), (), ALL[:2]),
        (("microsoft.sql/SERVERS/firewallrules/*",), (), ALL[1:]),
        (("Microsoft.Sql/servers/*/delete",), (), (DELETE,)),
        (("*",), ("Microsoft.Sql/servers/firewallRules/*",), ALL[:1]),
        (("*",), ("*/WRITE",), (ALL[0], READ, DELETE)),
        (("Microsoft.Sql/servers/rea", "Microsoft.Sql/servers/reads", "Microsoft.Sql.servers.read", ""), (), ()),
        ((), (), ()),
    ],
)
def test_patterns(actions: tuple[str, ...], without: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert allowed([Permission(list(actions), list(without))], ALL) == list(expected)


def test_what_one_role_leaves_out_another_may_allow() -> None:
    roles = [Permission(["*"], [WRITE]), Permission([WRITE])]
    assert allowed(roles, ALL) == list(ALL)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [(Mode.OBSERVE, ALL[:2]), (Mode.UPSERT, ALL[:3]), (Mode.SYNC, ALL), (Mode.AUTHORITATIVE, ALL)],
)
def test_what_a_mode_needs(mode: Mode, expected: tuple[str, ...]) -> None:
    assert needed(mode) == expected


def test_the_roles_at_the_server(azure: ArmSimulator, access: AzureAccess, server: Server, deadline: Deadline) -> None:
    assert allowed(permissions_at(access, server, deadline), ALL) == list(ALL)
    azure.state.grants.deny(DELETE, scope=server.id)
    azure.state.grants.allow("Microsoft.Sql/*", scope="/subscriptions/somewhere-else")
    assert allowed(permissions_at(access, server, deadline), ALL) == list(ALL[:3])
    azure.state.grants.allow("Microsoft.Sql/servers/*", scope="/")
    assert allowed(permissions_at(access, server, deadline), [DELETE]) == [DELETE]
    assert access.writes == 0


def test_permissions_that_may_not_be_read(
    azure: ArmSimulator, access: AzureAccess, server: Server, deadline: Deadline
) -> None:
    azure.state.grants.deny("Microsoft.Authorization/*")
    with pytest.raises(ArmForbidden, match=r"lacks the action Microsoft.Authorization/permissions/read"):
        permissions_at(access, server, deadline)


def test_an_answer_that_makes_no_sense(
    azure: ArmSimulator, access: AzureAccess, server: Server, deadline: Deadline
) -> None:
    azure.faults.add(Fault("odd", reply=Reply.json(200, {"value": [{"actions": None}]})), path="*/permissions")
    with pytest.raises(ArmInvalidAnswer):
        permissions_at(access, server, deadline)
