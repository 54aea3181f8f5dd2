"""Writing rules through the real SDK to the simulated ARM."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from illumio_azsql_enforcer.addresses import Range
from illumio_azsql_enforcer.azure.firewall import FirewallWriter
from illumio_azsql_enforcer.errors import (
    ArmConflict,
    ArmForbidden,
    ArmInvalidAnswer,
    ArmNotFound,
    ArmRejected,
    PublicAccessDisabled,
    RuleLimitReached,
    UnsafeName,
)
from illumio_azsql_enforcer.model.firewall import FirewallRule, Server
from illumio_azsql_enforcer.retrying import Deadline
from illumio_azsql_enforcer.sandbox.arm import ArmSimulator
from illumio_azsql_enforcer.sandbox.wire import Fault, Reply
from tests.azure.conftest import SUBSCRIPTION

OFFICE = FirewallRule("illumio-192.0.2.1-192.0.2.9", Range.parse("192.0.2.1", "192.0.2.9"))
Write = Callable[[], None]


@pytest.fixture
def put(writer: FirewallWriter, server: Server, deadline: Deadline) -> Write:
    return lambda: writer.put(server, OFFICE, deadline)


@pytest.fixture
def delete(writer: FirewallWriter, server: Server, deadline: Deadline) -> Write:
    return lambda: writer.delete(server, OFFICE.name, deadline)


@pytest.mark.parametrize("status", [200, 201])
def test_a_rule_is_created_changed_and_deleted(
    azure: ArmSimulator, writer: FirewallWriter, server: Server, deadline: Deadline, status: int
) -> None:
    azure.switches.create_status = status  # type: ignore[assignment]
    writer.put(server, OFFICE, deadline)
    writer.put(server, OFFICE, deadline)
    assert azure.state.rules("orders-sql") == {OFFICE.name: ("192.0.2.1", "192.0.2.9")}
    writer.put(server, FirewallRule(OFFICE.name, Range(5, 5)), deadline)
    assert azure.state.rules("orders-sql") == {OFFICE.name: ("0.0.0.5", "0.0.0.5")}
    writer.delete(server, OFFICE.name, deadline)
    assert azure.state.rules("orders-sql") == {}
    assert [(a.operation.rpartition("/")[2], a.status) for a in azure.state.activity] == [
        ("write", 200),
        ("write", 200),
        ("write", 200),
        ("delete", 200),
    ]


def test_a_rule_that_is_not_there_is_deleted_already(azure: ArmSimulator, delete: Write) -> None:
    delete()
    assert [r.status for r in azure.requests()] == [204]


def test_the_body_holds_the_range_alone(azure: ArmSimulator, put: Write) -> None:
    put()
    (request,) = azure.requests("PUT")
    assert request.json() == {"properties": {"startIpAddress": "192.0.2.1", "endIpAddress": "192.0.2.9"}}
    assert request.path.endswith(
        f"/resourceGroups/Data/providers/Microsoft.Sql/servers/orders-sql/firewallRules/{OFFICE.name}"
    )


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "%2e%2e", "a\\b", "a?b", "a#b", "a.", " a", "a\n", "a" * 129])
def test_a_name_that_leads_elsewhere_is_never_sent(
    azure: ArmSimulator, writer: FirewallWriter, server: Server, deadline: Deadline, name: str
) -> None:
    with pytest.raises(UnsafeName):
        writer.put(server, FirewallRule(name, OFFICE.range), deadline)
    with pytest.raises(UnsafeName):
        writer.delete(server, name, deadline)
    assert azure.requests() == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.one_of(st.text(max_size=12), st.text("./%{}~ aé\\", max_size=6)))
def test_any_name_means_that_rule_or_nothing(
    azure: ArmSimulator, writer: FirewallWriter, server: Server, deadline: Deadline, name: str
) -> None:
    azure.journal.clear()
    try:
        writer.put(server, FirewallRule(name, OFFICE.range), deadline)
        assert set(azure.state.rules("orders-sql")) == {name}
        writer.delete(server, name, deadline)
    except UnsafeName:
        assert azure.requests() == []
    assert azure.state.rules("orders-sql") == {}
    assert azure.catastrophes == []


@pytest.mark.parametrize("how", ["done", "lost"])
def test_accepted_is_not_done(azure: ArmSimulator, put: Write, delete: Write, how: str) -> None:
    azure.state.set_rule("orders-sql", OFFICE.name, "192.0.2.1", "192.0.2.1")
    azure.switches.accepted = how  # type: ignore[assignment]
    for write in (put, delete):
        with pytest.raises(ArmInvalidAnswer, match="answered 202"):
            write()


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200),
        Reply(200, b"<html>"),
        Reply(204),
        Reply(307, headers={"Location": "https://evil.example"}),
        Reply.json(200, []),
        Reply.json(200, {"value": None}),
        Reply.json(200, None),
        Reply.json(200, "done"),
        Reply.json(200, {"name": OFFICE.name, "properties": {}}),
        Reply.json(
            200, {"name": OFFICE.name, "properties": {"startIpAddress": "0.0.0.0", "endIpAddress": "255.255.255.255"}}
        ),
        Reply.json(200, {"name": "other", "properties": {"startIpAddress": "192.0.2.1", "endIpAddress": "192.0.2.9"}}),
    ],
)
def test_a_put_whose_answer_is_another(azure: ArmSimulator, put: Write, reply: Reply) -> None:
    azure.faults.add(Fault("odd", reply=reply), method="PUT")
    with pytest.raises(ArmInvalidAnswer, match="Cannot write firewall rule illumio-"):
        put()


def test_the_rule_limit(azure: ArmSimulator, put: Write) -> None:
    azure.state.set_rule("orders-sql", "other", "192.0.2.1", "192.0.2.1")
    azure.state.set_rule_limit("orders-sql", 1)
    with pytest.raises(RuleLimitReached, match="as many firewall rules as it can") as caught:
        put()
    assert caught.value.status == 400
    assert len(azure.requests()) == 1


@pytest.mark.parametrize("refused", [True, False])
def test_an_update_at_the_rule_limit(azure: ArmSimulator, put: Write, *, refused: bool) -> None:
    azure.state.set_rule("orders-sql", OFFICE.name, "192.0.2.1", "192.0.2.1")
    azure.state.set_rule_limit("orders-sql", 1)
    azure.switches.full_refuses_update = refused
    if refused:
        with pytest.raises(RuleLimitReached):
            put()
    else:
        put()
        assert azure.state.rules("orders-sql")[OFFICE.name] == ("192.0.2.1", "192.0.2.9")


@pytest.mark.parametrize("refused", [True, False])
def test_public_access_disabled(azure: ArmSimulator, put: Write, delete: Write, *, refused: bool) -> None:
    azure.state.set_rule("orders-sql", OFFICE.name, "192.0.2.1", "192.0.2.1")
    azure.state.set_public_access("orders-sql", "Disabled")
    azure.switches.disabled_refuses_delete = refused
    with pytest.raises(PublicAccessDisabled, match="public network access of the server is disabled"):
        put()
    if refused:
        with pytest.raises(PublicAccessDisabled):
            delete()
    else:
        delete()
        assert azure.state.rules("orders-sql") == {}
    assert len(azure.requests()) == 2


@pytest.mark.parametrize("refused", [True, False])
def test_secured_by_perimeter(azure: ArmSimulator, put: Write, *, refused: bool) -> None:
    azure.state.set_public_access("orders-sql", "SecuredByPerimeter")
    azure.switches.perimeter_refuses_writes = refused
    if refused:
        with pytest.raises(PublicAccessDisabled):
            put()
    else:
        put()


def test_a_delete_lock_lets_a_put_pass(azure: ArmSimulator, put: Write, delete: Write) -> None:
    azure.state.lock("orders-sql", "CanNotDelete")
    put()
    with pytest.raises(
        ArmConflict, match=r"a resource lock forbids it: The scope '/subscriptions/.* are locked"
    ) as caught:
        delete()
    assert caught.value.code == "ScopeLocked"
    assert [r.method for r in azure.requests()] == ["PUT", "DELETE"]


def test_a_read_only_lock(azure: ArmSimulator, put: Write, delete: Write) -> None:
    azure.state.lock(f"/subscriptions/{SUBSCRIPTION}/resourceGroups/Data", "ReadOnly")
    for write in (put, delete):
        with pytest.raises(ArmConflict, match="a resource lock forbids it"):
            write()
    assert len(azure.requests()) == 2


@pytest.mark.parametrize(("status", "error"), [(409, ArmConflict), (403, ArmForbidden)])
def test_a_disabled_subscription(azure: ArmSimulator, put: Write, status: int, error: type[Exception]) -> None:
    azure.switches.disabled_subscription_status = status
    azure.state.disable_subscription(SUBSCRIPTION)
    with pytest.raises(error, match="the subscription is disabled"):
        put()
    assert len(azure.requests()) == 1


def test_no_provider_is_registered_on_the_way(azure: ArmSimulator, put: Write, delete: Write) -> None:
    azure.state.register_provider(SUBSCRIPTION, registered=False)
    for write in (put, delete):
        with pytest.raises(ArmConflict, match="not registered for Microsoft"):
            write()
    assert [r.method for r in azure.requests()] == ["PUT", "DELETE"]


@pytest.mark.parametrize("verb", ["write", "delete"])
def test_a_right_that_is_missing(azure: ArmSimulator, put: Write, delete: Write, verb: str) -> None:
    azure.state.grants.deny(f"Microsoft.Sql/servers/firewallRules/{verb}")
    with pytest.raises(ArmForbidden, match=f"lacks the action Microsoft.Sql/servers/firewallRules/{verb} on /subscr"):
        {"write": put, "delete": delete}[verb]()


def test_a_policy_that_denies(azure: ArmSimulator, writer: FirewallWriter, server: Server, deadline: Deadline) -> None:
    azure.state.add_policy("no-azure-services")
    with pytest.raises(ArmForbidden, match=r"Azure Policy forbids it: .*no-azure-services"):
        writer.put(server, FirewallRule("all", Range(0, 0)), deadline)


def test_a_server_that_is_gone(azure: ArmSimulator, put: Write, delete: Write) -> None:
    azure.state.remove_server("orders-sql")
    for write in (put, delete):
        with pytest.raises(ArmNotFound, match="the server is not there any more"):
            write()


def test_a_server_that_moved(azure: ArmSimulator, delete: Write) -> None:
    azure.state.set_rule("orders-sql", OFFICE.name, "192.0.2.1", "192.0.2.1")
    azure.state.move_server("orders-sql", "Elsewhere")
    with pytest.raises(ArmNotFound):
        delete()
    assert OFFICE.name in azure.state.rules("orders-sql")


def test_a_rule_that_a_delete_does_not_find(azure: ArmSimulator, delete: Write) -> None:
    missing = {"error": {"code": "ResourceNotFound", "message": "The requested resource was not found."}}
    azure.faults.add(Fault("404", reply=Reply.json(404, missing)), method="DELETE")
    delete()
    azure.faults.add(
        Fault("gateway", reply=Reply.json(404, missing, {"x-ms-failure-cause": "gateway"})), method="DELETE"
    )
    with pytest.raises(ArmNotFound):
        delete()


@pytest.mark.parametrize("old_behaviour", [True, False])
def test_a_name_in_another_case(
    azure: ArmSimulator, writer: FirewallWriter, server: Server, deadline: Deadline, *, old_behaviour: bool
) -> None:
    azure.state.set_rule("orders-sql", OFFICE.name.upper(), "192.0.2.1", "192.0.2.1")
    azure.switches.other_case = "not_found" if old_behaviour else "update"
    if old_behaviour:
        with pytest.raises(ArmNotFound):
            writer.put(server, OFFICE, deadline)
    else:
        writer.put(server, OFFICE, deadline)  # Azure keeps its own spelling; the answer is accepted
        assert azure.state.rules("orders-sql") == {OFFICE.name.upper(): ("192.0.2.1", "192.0.2.9")}


def test_any_other_refusal_quotes_azure(azure: ArmSimulator, put: Write) -> None:
    said = {
        "error": {"code": "InvalidServerFirewallRuleResourceRequest", "message": "Bad\r\nrequest \x1b[31m" + "x" * 999}
    }
    azure.faults.add(Fault("400", reply=Reply.json(400, said)), method="PUT")
    with pytest.raises(ArmRejected, match="400 InvalidServerFirewallRuleResourceRequest: Bad request") as caught:
        put()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 700


def test_a_server_that_minds_several_writes_gets_one_at_a_time(
    azure: ArmSimulator, writer: FirewallWriter, server: Server, deadline: Deadline
) -> None:
    azure.switches.overlap_conflict, azure.switches.write_seconds = True, 0.01
    rules = [FirewallRule(f"illumio-0.0.0.{n}-0.0.0.{n}", Range(n, n)) for n in range(1, 41)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda rule: writer.put(server, rule, deadline), rules))
        refused = sum(request.status == 409 for request in azure.requests("PUT"))
        list(pool.map(lambda rule: writer.delete(server, rule.name, deadline), rules))
    assert 1 <= refused <= 8  # those that were under way when the first was refused
    assert all(request.status == 200 for request in azure.requests("DELETE"))
    assert azure.state.rules("orders-sql") == {}


def _meet(together: threading.Barrier) -> None:
    together.wait(5.0)


def test_a_server_that_does_not_mind_gets_them_side_by_side(
    azure: ArmSimulator, writer: FirewallWriter, server: Server, deadline: Deadline
) -> None:
    together = threading.Barrier(4)
    azure.faults.add(Fault("wait", act=lambda _: _meet(together)), method="PUT", path="*", times=8)
    rules = [FirewallRule(f"illumio-0.0.0.{n}-0.0.0.{n}", Range(n, n)) for n in range(1, 9)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda rule: writer.put(server, rule, deadline), rules))
    assert [request.status for request in azure.requests("PUT")] == [200] * 8
