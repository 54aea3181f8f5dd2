"""Discovery of logical servers."""

from collections.abc import Callable

import pytest

from illumio_azsql_enforcer.azure.access import AzureAccess
from illumio_azsql_enforcer.azure.servers import discover, is_candidate
from illumio_azsql_enforcer.errors import ArmError, ArmForbidden, ArmInvalidAnswer, ArmNotFound, ArmUnavailable
from illumio_azsql_enforcer.model.firewall import PublicAccess, Server
from illumio_azsql_enforcer.model.settings import ServerSettings
from illumio_azsql_enforcer.retrying import Deadline
from illumio_azsql_enforcer.sandbox.arm import ArmSimulator
from illumio_azsql_enforcer.sandbox.wire import Fault, Reply
from tests.azure.conftest import OTHER_SUBSCRIPTION, SUBSCRIPTION

Access = Callable[..., AzureAccess]
SERVERS = "*/Microsoft.Sql/servers"
BOTH = (SUBSCRIPTION, OTHER_SUBSCRIPTION)


def names(servers: tuple[Server, ...]) -> list[str]:
    return [server.name for server in servers]


def test_a_server_is_described(azure: ArmSimulator, access: AzureAccess, server: Server, deadline: Deadline) -> None:
    azure.state.add_server(
        "bills-sql",
        subscription=SUBSCRIPTION,
        resource_group="Ünicode (1)",
        tags={"role": "db"},
        public_access="Disabled",
    )
    found = discover(access, ServerSettings(), deadline)
    assert found.failures == ()
    assert found.servers[0] == server
    assert found.servers[1] == Server(
        id=f"/subscriptions/{SUBSCRIPTION}/resourceGroups/Ünicode (1)/providers/Microsoft.Sql/servers/bills-sql",
        name="bills-sql",
        subscription_id=SUBSCRIPTION,
        resource_group="Ünicode (1)",
        fqdn="bills-sql.database.windows.net",
        public_access=PublicAccess.DISABLED,
        tags={"role": "db"},
    )


def test_servers_of_synapse_are_left_out(azure: ArmSimulator, access: AzureAccess, deadline: Deadline) -> None:
    group = "synapseworkspace-managedrg-1"
    for name, kind in (("synapse", "v12.0,analytics"), ("other", "V12.0,Analytics,x"), ("dw", "v12.0,user")):
        azure.state.add_server(name, subscription=SUBSCRIPTION, resource_group=group, kind=kind)
    assert names(discover(access, ServerSettings(), deadline).servers) == ["orders-sql", "dw"]


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (("*",), (), True),
        (("orders-*",), (), True),
        (("ORDERS-sql",), (), True),
        (("bills-*",), (), False),
        (("bills-*", "orders-*"), (), True),
        (("*",), ("*-SQL",), False),
        (("[!o]*",), (), False),
        ((), (), False),
    ],
)
def test_include_and_exclude(*, include: tuple[str, ...], exclude: tuple[str, ...], expected: bool) -> None:
    assert is_candidate("Orders-SQL", ServerSettings(include=include, exclude=exclude)) is expected


def test_patterns_decide_about_candidates(azure: ArmSimulator, access: AzureAccess, deadline: Deadline) -> None:
    azure.state.add_server("bills-sql", subscription=SUBSCRIPTION, resource_group="Data")
    assert names(discover(access, ServerSettings(exclude=("orders*",)), deadline).servers) == ["bills-sql"]


def test_every_page_of_every_subscription(azure: ArmSimulator, open_access: Access, deadline: Deadline) -> None:
    azure.state.add_subscription(OTHER_SUBSCRIPTION)
    azure.switches.page_size = 2
    for n in range(5):
        azure.state.add_server(f"b{n}", subscription=OTHER_SUBSCRIPTION, resource_group="Data")
        azure.state.add_server(f"a{n}", subscription=SUBSCRIPTION, resource_group="Data")
    found = discover(open_access(subscriptions=BOTH), ServerSettings(), deadline)
    assert names(found.servers) == [*(f"a{n}" for n in range(5)), "orders-sql", *(f"b{n}" for n in range(5))]


def test_a_subscription_that_fails_leaves_the_others_alone(
    azure: ArmSimulator, open_access: Access, deadline: Deadline
) -> None:
    found = discover(open_access(subscriptions=BOTH), ServerSettings(), deadline)
    assert names(found.servers) == ["orders-sql"]
    (failure,) = found.failures
    assert failure.subscription_id == OTHER_SUBSCRIPTION
    assert isinstance(failure.error, ArmNotFound)
    assert f"subscription {OTHER_SUBSCRIPTION} is not there or this identity cannot see it" in str(failure.error)


def test_a_list_that_may_not_be_read(azure: ArmSimulator, access: AzureAccess, deadline: Deadline) -> None:
    azure.switches.filter_lists = False
    azure.state.grants.deny("Microsoft.Sql/servers/read")
    (failure,) = discover(access, ServerSettings(), deadline).failures
    assert isinstance(failure.error, ArmForbidden)
    assert "lacks the action Microsoft.Sql/servers/read on /subscriptions/" in str(failure.error)


def test_a_subscription_that_is_no_guid(azure: ArmSimulator, open_access: Access, deadline: Deadline) -> None:
    found = discover(open_access(subscriptions=("../x", SUBSCRIPTION)), ServerSettings(), deadline)
    assert names(found.servers) == ["orders-sql"]
    assert "is not a GUID" in str(found.failures[0].error)
    assert len(azure.requests()) == 1


def test_a_foreign_next_page_is_not_followed(azure: ArmSimulator, access: AzureAccess, deadline: Deadline) -> None:
    azure.state.add_server("bills-sql", subscription=SUBSCRIPTION, resource_group="Data")
    azure.switches.page_size, azure.switches.foreign_next_link = 1, "https://evil.example"
    found = discover(access, ServerSettings(), deadline)
    assert found.servers == ()
    assert isinstance(found.failures[0].error, ArmInvalidAnswer)


def listed(**changes: object) -> dict[str, object]:
    resource_id = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/g/providers/Microsoft.Sql/servers/x"
    return {"id": resource_id, "name": "x", "kind": "v12.0", "properties": {}} | changes


@pytest.mark.parametrize(
    "item",
    [
        listed(id=None),
        listed(id="/subscriptions/x"),
        listed(id=f"/subscriptions/{SUBSCRIPTION}/resourceGroups/../providers/Microsoft.Sql/servers/x"),
        listed(id=f"/subscriptions/{SUBSCRIPTION}/resourceGroups/g/providers/Microsoft.Sql/servers/x/firewallRules/y"),
        listed(id=f"/subscriptions/{OTHER_SUBSCRIPTION}/resourceGroups/g/providers/Microsoft.Sql/servers/x"),
        listed(id=f"/subscriptions/{SUBSCRIPTION}/resourceGroups/g/providers/Microsoft.Sql/servers/x\n"),
        listed(name="y"),
        listed(name=None),
        listed(tags=[]),
    ],
)
def test_an_item_that_is_no_server(
    azure: ArmSimulator, access: AzureAccess, deadline: Deadline, item: dict[str, object]
) -> None:
    azure.faults.add(Fault("odd", reply=Reply.json(200, {"value": [item]})), path=SERVERS)
    found = discover(access, ServerSettings(), deadline)
    assert found.servers == ()
    assert isinstance(found.failures[0].error, ArmInvalidAnswer)
    assert str(found.failures[0].error).isprintable()


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("securedbyperimeter", PublicAccess.SECURED_BY_PERIMETER),
        ("Disabled", PublicAccess.DISABLED),
        ("SomethingNew", PublicAccess.ENABLED),
        (None, PublicAccess.ENABLED),
    ],
)
def test_public_network_access(
    azure: ArmSimulator, access: AzureAccess, deadline: Deadline, said: str | None, meant: PublicAccess
) -> None:
    item = listed(properties={"publicNetworkAccess": said}, tags={"a": None, "b": "c"})
    azure.faults.add(Fault("one", reply=Reply.json(200, {"value": [item]})), path=SERVERS)
    (server,) = discover(access, ServerSettings(), deadline).servers
    assert (server.public_access, server.fqdn, server.tags) == (meant, "", {"b": "c"})


def test_all_subscriptions_that_are_seen(azure: ArmSimulator, open_access: Access, deadline: Deadline) -> None:
    azure.state.add_subscription(OTHER_SUBSCRIPTION)
    azure.state.add_server("bills-sql", subscription=OTHER_SUBSCRIPTION, resource_group="Data")
    access = open_access(subscriptions=None)
    assert access.subscriptions(deadline) == BOTH
    assert names(discover(access, ServerSettings(), deadline).servers) == ["orders-sql", "bills-sql"]


def test_subscriptions_come_in_pages_and_deleted_ones_do_not_count(
    azure: ArmSimulator, open_access: Access, deadline: Deadline
) -> None:
    first = {"value": [{"subscriptionId": "b", "state": "Warned"}, {"subscriptionId": "c", "state": "Deleted"}]}
    link = {"nextLink": f"{azure.url}/subscriptions?api-version=2022-12-01&$skiptoken=x"}
    azure.faults.add(Fault("one", reply=Reply.json(200, first | link)), path="/subscriptions")
    azure.faults.add(Fault("two", reply=Reply.json(200, {"value": [{"subscriptionId": "a"}]})), path="/subscriptions")
    assert open_access(subscriptions=None).subscriptions(deadline) == ("a", "b")


def test_seeing_no_subscription_is_an_error(azure: ArmSimulator, open_access: Access, deadline: Deadline) -> None:
    azure.state.remove_subscription(SUBSCRIPTION)
    with pytest.raises(ArmForbidden, match="sees none"):
        discover(open_access(subscriptions=None), ServerSettings(), deadline)


def test_subscriptions_that_cannot_be_told_fail_the_discovery(
    azure: ArmSimulator, open_access: Access, deadline: Deadline
) -> None:
    azure.faults.add(Fault("down", reply=Reply(500)), path="/subscriptions", times=9)
    with pytest.raises(ArmUnavailable, match="Cannot list the subscriptions"):
        discover(open_access(subscriptions=None), ServerSettings(), deadline)


def test_one_token_serves_every_subscription(azure: ArmSimulator, open_access: Access, deadline: Deadline) -> None:
    many = tuple(f"6f1b3a52-0c7e-4d1b-9a55-3f2f0d1c7e{n:02}" for n in range(16))
    for subscription in many:
        azure.state.add_subscription(subscription)
    assert discover(open_access(subscriptions=many), ServerSettings(), deadline).failures == ()
    assert azure.tokens.issued == 1


def test_no_token_at_all_fails_every_subscription(azure: ArmSimulator, open_access: Access, deadline: Deadline) -> None:
    azure.faults.add(Fault("no", reply=Reply.json(400, {"error": "invalid_request"})), path="/metadata/*", times=99)
    found = discover(open_access(subscriptions=BOTH), ServerSettings(), deadline)
    assert [str(f.error).startswith("No token for Azure: ") for f in found.failures] == [True, True]
    assert all(isinstance(f.error, ArmError) for f in found.failures)
