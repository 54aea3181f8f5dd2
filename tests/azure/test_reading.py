"""Reading firewalls through the real SDK from the simulated ARM."""

from dataclasses import replace

import pytest

from illumio_azsql_enforcer.addresses import Range
from illumio_azsql_enforcer.azure.firewall import FirewallReader
from illumio_azsql_enforcer.errors import (
    ArmError,
    ArmForbidden,
    ArmInvalidAnswer,
    ArmNotFound,
    ArmUnavailable,
    UnsafeName,
)
from illumio_azsql_enforcer.model.firewall import FirewallRule, Neighbours, Server
from illumio_azsql_enforcer.retrying import Deadline
from illumio_azsql_enforcer.sandbox.arm import ArmSimulator
from illumio_azsql_enforcer.sandbox.wire import Fault, Reply
from tests.azure.conftest import OTHER_SUBSCRIPTION, SUBSCRIPTION

RULES = "*/firewallRules"


def test_rules_are_read_as_they_are(
    azure: ArmSimulator, reader: FirewallReader, server: Server, deadline: Deadline
) -> None:
    azure.state.set_rule("orders-sql", "AllowAllWindowsAzureIps", "0.0.0.0", "0.0.0.0")
    azure.state.set_rule("orders-sql", "Büro (1)", "192.0.2.1", "192.0.2.9")
    assert set(reader.rules(server, deadline)) == {
        FirewallRule("AllowAllWindowsAzureIps", Range(0, 0)),
        FirewallRule("Büro (1)", Range.parse("192.0.2.1", "192.0.2.9")),
    }
    (request,) = azure.requests()
    assert request.query == {"api-version": "2025-01-01"}
    assert request.headers["user-agent"].startswith("illumio-azsql-enforcer/")


def test_no_rules(reader: FirewallReader, server: Server, deadline: Deadline) -> None:
    assert reader.rules(server, deadline) == ()


@pytest.mark.parametrize("shuffled", [False, True])
def test_every_page_is_read(
    azure: ArmSimulator, reader: FirewallReader, server: Server, deadline: Deadline, *, shuffled: bool
) -> None:
    names = {f"rule-{n}" for n in range(7)}
    for name in names:
        azure.state.set_rule("orders-sql", name, "192.0.2.1", "192.0.2.1")
    azure.switches.rules_page_size = 3
    if not shuffled:
        assert {rule.name for rule in reader.rules(server, deadline)} == names
        assert len(azure.requests("GET")) == 3
    else:
        azure.switches.rules_page_size, azure.switches.shuffled = None, True
        assert {rule.name for rule in reader.rules(server, deadline)} == names


def test_a_failing_later_page_gives_no_rules_at_all(
    azure: ArmSimulator, reader: FirewallReader, server: Server, deadline: Deadline
) -> None:
    azure.switches.rules_page_size = 1
    for name in ("a", "b"):
        azure.state.set_rule("orders-sql", name, "192.0.2.1", "192.0.2.1")
    azure.faults.add(Fault("gone", reply=Reply(500)), path=RULES, skip=1, times=99)
    with pytest.raises(ArmUnavailable):
        reader.rules(server, deadline)


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example",
        "http://127.0.0.1:1",
        "http://127.0.0.1@evil.example",
        "http://evil.example\\@127.0.0.1",
        "//evil.example",
    ],
)
def test_a_next_page_elsewhere_is_never_asked_for(
    azure: ArmSimulator, reader: FirewallReader, server: Server, deadline: Deadline, link: str
) -> None:
    azure.switches.rules_page_size, azure.switches.foreign_next_link = 1, link
    for name in ("a", "b"):
        azure.state.set_rule("orders-sql", name, "192.0.2.1", "192.0.2.1")
    with pytest.raises(ArmInvalidAnswer, match="not Azure's address"):
        reader.rules(server, deadline)
    assert len(azure.requests()) == 1


def test_pages_that_go_round_in_a_circle(
    azure: ArmSimulator, reader: FirewallReader, server: Server, deadline: Deadline
) -> None:
    again = f"{azure.url}{server.id}/firewallRules?api-version=2025-01-01&x={{y}}"
    azure.faults.add(Fault("circle", reply=Reply.json(200, {"value": [], "nextLink": again})), path=RULES, times=99)
    with pytest.raises(ArmInvalidAnswer, match="do not end"):
        reader.rules(server, deadline)
    assert len(azure.requests()) == 2


def item(name: object = "a", start: object = "192.0.2.1", end: object = "192.0.2.1") -> dict[str, object]:
    return {"name": name, "properties": {"startIpAddress": start, "endIpAddress": end}}


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200),
        Reply(200, b"<html>", {"Content-Type": "text/html"}),
        Reply(200, b'{"value": [', {"Content-Type": "application/json"}),
        Reply(200, b"\xff\xfe"),
        Reply(202),
        Reply(204),
        Reply(302, headers={"Location": "https://evil.example"}),
        Reply.json(200, {}),
        Reply.json(200, []),
        Reply.json(200, {"value": None}),
        Reply.json(200, {"value": [None]}),
        Reply.json(200, {"value": [{"name": "a"}]}),
        Reply.json(200, {"value": [{"name": "a", "properties": None}]}),
        Reply.json(200, {"value": [{"name": "a", "properties": {"startIpAddress": "192.0.2.1"}}]}),
        Reply.json(200, {"value": [{"properties": {"startIpAddress": "192.0.2.1", "endIpAddress": "192.0.2.1"}}]}),
        Reply.json(200, {"value": [item(name="")]}),
        Reply.json(200, {"value": [item(name=None)]}),
        Reply.json(200, {"value": [item(start=None)]}),
        Reply.json(200, {"value": [item()], "nextLink": 7}),
        Reply.json(200, {"value": [item(), item("A", end="192.0.2.2")]}),
    ],
)
def test_an_answer_that_is_none(
    azure: ArmSimulator, reader: FirewallReader, server: Server, deadline: Deadline, reply: Reply
) -> None:
    azure.faults.add(Fault("odd", reply=reply), path=RULES)
    with pytest.raises(ArmInvalidAnswer, match="Cannot read the firewall rules of server orders-sql"):
        reader.rules(server, deadline)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("192.0.2.9", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::2"),
        ("192.0.2.0/24", "x"),
        ("", ""),
        ("01.2.3.4", "1.2.3.4"),
    ],
)
def test_a_range_that_is_none_names_its_rule(
    azure: ArmSimulator, reader: FirewallReader, server: Server, deadline: Deadline, start: str, end: str
) -> None:
    items = [item("sound"), item("odd\x1b[31m", start, end)]
    azure.faults.add(Fault("odd", reply=Reply.json(200, {"value": items})), path=RULES)
    with pytest.raises(ArmInvalidAnswer, match="rule 'odd") as caught:
        reader.rules(server, deadline)
    assert str(caught.value).isprintable()


def test_a_rule_that_is_listed_twice_alike_counts_once(
    azure: ArmSimulator, reader: FirewallReader, server: Server, deadline: Deadline
) -> None:
    azure.faults.add(Fault("twice", reply=Reply.json(200, {"value": [item(), item()]})), path=RULES)
    assert reader.rules(server, deadline) == (FirewallRule("a", Range.parse("192.0.2.1", "192.0.2.1")),)


def test_the_missing_action_and_its_scope_are_named(
    azure: ArmSimulator, reader: FirewallReader, server: Server, deadline: Deadline
) -> None:
    azure.state.grants.deny("Microsoft.Sql/servers/firewallRules/read")
    with pytest.raises(ArmForbidden) as caught:
        reader.rules(server, deadline)
    assert "lacks the action Microsoft.Sql/servers/firewallRules/read on /subscriptions/" in str(caught.value)
    assert caught.value.code == "AuthorizationFailed"
    assert caught.value.correlation_id is not None
    assert caught.value.correlation_id in str(caught.value)
    assert len(azure.requests()) == 1


@pytest.mark.parametrize("by", ["gateway", "provider"])
def test_a_server_that_is_gone(
    azure: ArmSimulator, reader: FirewallReader, server: Server, deadline: Deadline, by: str
) -> None:
    azure.switches.missing_parent = by  # type: ignore[assignment]
    azure.state.remove_server("orders-sql")
    with pytest.raises(ArmNotFound, match="the server is not there any more"):
        reader.rules(server, deadline)


def test_a_group_that_is_gone(azure: ArmSimulator, reader: FirewallReader, server: Server, deadline: Deadline) -> None:
    azure.state.remove_group(SUBSCRIPTION, "Data")
    with pytest.raises(ArmNotFound) as caught:
        reader.rules(server, deadline)
    assert caught.value.code == "ResourceGroupNotFound"


def test_a_subscription_that_is_not_visible(
    azure: ArmSimulator, reader: FirewallReader, server: Server, deadline: Deadline
) -> None:
    elsewhere = replace(
        server, subscription_id=OTHER_SUBSCRIPTION, id=server.id.replace(SUBSCRIPTION, OTHER_SUBSCRIPTION)
    )
    with pytest.raises(ArmNotFound, match=f"subscription {OTHER_SUBSCRIPTION} is not there or this identity cannot"):
        reader.rules(elsewhere, deadline)


def test_reading_works_where_writing_does_not(
    azure: ArmSimulator, reader: FirewallReader, server: Server, deadline: Deadline
) -> None:
    azure.state.set_public_access("orders-sql", "Disabled")
    azure.state.lock("orders-sql", "ReadOnly")
    azure.state.disable_subscription(SUBSCRIPTION)
    assert reader.rules(server, deadline) == ()


def test_a_provider_that_is_not_registered_is_not_registered_by_reading(
    azure: ArmSimulator, reader: FirewallReader, server: Server, deadline: Deadline
) -> None:
    azure.state.register_provider(SUBSCRIPTION, registered=False)
    with pytest.raises(ArmError, match="not registered for Microsoft"):
        reader.rules(server, deadline)
    assert [r.method for r in azure.requests()] == ["GET"]


@pytest.mark.parametrize(
    "changed",
    [{"name": ".."}, {"name": ""}, {"resource_group": ".."}, {"resource_group": "a/b"}, {"subscription_id": "../x"}],
)
def test_a_server_whose_names_lead_elsewhere(
    azure: ArmSimulator, reader: FirewallReader, server: Server, deadline: Deadline, changed: dict[str, str]
) -> None:
    with pytest.raises(UnsafeName):
        reader.rules(replace(server, **changed), deadline)  # type: ignore[arg-type]
    assert azure.requests() == []


def test_neighbours(azure: ArmSimulator, reader: FirewallReader, server: Server, deadline: Deadline) -> None:
    azure.state.set_ipv6_rule("orders-sql", "six", "2001:db8::1", "2001:db8::2")
    azure.state.set_network_rule("orders-sql", "lan", "/subscriptions/x/subnets/y")
    assert reader.neighbours(server, deadline) == Neighbours(("six",), ("lan",))


def test_neighbours_that_may_not_be_read(
    azure: ArmSimulator, reader: FirewallReader, server: Server, deadline: Deadline
) -> None:
    azure.state.grants.deny("Microsoft.Sql/servers/ipv6FirewallRules/read")
    azure.faults.add(Fault("none", reply=Reply(404)), path="*/virtualNetworkRules")
    assert reader.neighbours(server, deadline) == Neighbours(None, None)


def test_the_same_bytes_give_the_same_rules_and_others_do_not(
    azure: ArmSimulator, reader: FirewallReader, server: Server, deadline: Deadline
) -> None:
    azure.state.set_rule("orders-sql", "a", "192.0.2.1", "192.0.2.1")
    first = reader.rules(server, deadline)
    assert reader.rules(server, deadline) is first
    azure.state.set_rule("orders-sql", "a", "192.0.2.1", "192.0.2.2")
    second = reader.rules(server, deadline)
    assert [rule.range.end for rule in second] == ["192.0.2.2"]
    azure.state.set_rule("orders-sql", "a", "192.0.2.1", "192.0.2.1")
    assert reader.rules(server, deadline) == first


def test_the_rules_of_a_server_that_is_gone_are_forgotten(
    reader: FirewallReader, server: Server, deadline: Deadline
) -> None:
    first = reader.rules(server, deadline)
    reader.keep({server.id})
    assert reader.rules(server, deadline) is first
    reader.keep(set())
    assert not reader._known
