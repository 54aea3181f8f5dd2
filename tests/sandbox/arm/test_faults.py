"""Faults on demand, as the SDK sees them; and whether the request took effect all the same."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from azure.core.exceptions import (
    HttpResponseError,
    IncompleteReadError,
    ResourceExistsError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.mgmt.sql import SqlManagementClient

from illumio_azsql_enforcer.sandbox.arm import ArmSimulator, Fault, faults
from tests.sandbox.arm.conftest import HTTP, RULES, Raw, make_sdk, sandbox
from tests.support.clock import VirtualClock

BODY = {"properties": {"startIpAddress": "192.0.2.1", "endIpAddress": "192.0.2.1"}}
AT = ("data", "orders-sql", "r")


def put(sdk: SqlManagementClient, **options: Any) -> None:
    sdk.firewall_rules.create_or_update(*AT, parameters=BODY, **{**HTTP, **options})


@pytest.mark.parametrize("effect", [False, True])
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_lost_connection_before_or_after_the_effect(
    azure: ArmSimulator, sdk: SqlManagementClient, method: str, *, effect: bool
) -> None:
    if method == "DELETE":
        azure.state.set_rule("orders-sql", "r", "192.0.2.1", "192.0.2.1")
    before = azure.state.rules("orders-sql")
    azure.faults.add(faults.reset(effect=effect), method=method, path="*/firewallrules/*")
    with pytest.raises((ServiceRequestError, ServiceResponseError)):
        put(sdk) if method == "PUT" else sdk.firewall_rules.delete(*AT, **HTTP)
    assert (azure.state.rules("orders-sql") != before) is effect
    assert azure.requests(method)[0].status is None
    assert len(azure.state.activity) == int(effect)


def test_a_stall_is_cut_by_the_clients_time_out_and_the_effect_stays(
    azure: ArmSimulator, sdk: SqlManagementClient
) -> None:
    azure.faults.add(faults.stalled(30, effect=True), method="PUT")
    with pytest.raises(ServiceResponseError):
        put(sdk, read_timeout=0.1)
    assert list(azure.state.rules("orders-sql")) == ["r"]


def test_a_stall_that_ends_with_the_simulator_has_no_late_effect(clock: VirtualClock) -> None:
    with sandbox(clock) as azure:
        azure.faults.add(faults.stalled(30))
        with make_sdk(azure) as client, pytest.raises(ServiceResponseError):
            put(client, read_timeout=0.1)
    assert azure.state.rules("orders-sql") == {}


def test_a_truncated_answer(azure: ArmSimulator, sdk: SqlManagementClient) -> None:
    azure.faults.add(faults.truncated())
    with pytest.raises((IncompleteReadError, ServiceResponseError)):
        put(sdk)
    assert list(azure.state.rules("orders-sql")) == ["r"]


@pytest.mark.parametrize("effect", [False, True])
def test_a_gateway_that_answers_in_html(azure: ArmSimulator, sdk: SqlManagementClient, *, effect: bool) -> None:
    azure.faults.add(faults.bad_gateway(effect=effect))
    with pytest.raises(HttpResponseError) as refused:
        put(sdk)
    assert (refused.value.status_code, refused.value.error) == (502, None)
    assert len(azure.state.rules("orders-sql")) == int(effect)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (faults.empty_success(), json.JSONDecodeError),
        (faults.odd_success(b"<html>"), (json.JSONDecodeError, HttpResponseError)),
        (faults.odd_success(b'{"value":null}'), TypeError),
    ],
)
def test_successes_that_are_none(
    azure: ArmSimulator, sdk: SqlManagementClient, fault: Fault, error: type[Exception]
) -> None:
    azure.faults.add(fault)
    with pytest.raises(error):
        list(sdk.firewall_rules.list_by_server("data", "orders-sql", **HTTP))


@pytest.mark.parametrize(
    ("fault", "status", "code", "by_gateway"),
    [
        (faults.throttled(None), 429, "SubscriptionRequestsThrottled", True),
        (faults.provider_throttled(), 429, "SubscriptionTooManyCreateUpdateRequests", False),
        (faults.provider_throttled(503, 5), 503, "TooManyRequests", False),
        (faults.internal_error(), 500, "InternalServerError", False),
        (faults.timed_out(), 500, "OperationTimedOut", False),
        (faults.conflict(), 409, "OperationInterrupted", False),
    ],
)
def test_ready_made_refusals(
    azure: ArmSimulator, raw: Raw, fault: Fault, status: int, code: str, *, by_gateway: bool
) -> None:
    azure.faults.add(fault)
    refused = raw.put("r")
    assert (refused.status, refused.code, refused.by_gateway) == (status, code, by_gateway)
    assert refused.headers["x-ms-request-id"]
    assert azure.state.rules("orders-sql") == {}
    assert raw.put("r").status == 200


@pytest.mark.parametrize("form", ["seconds", "date", "ms"])
def test_every_form_of_retry_after_makes_the_sdk_wait(monkeypatch: pytest.MonkeyPatch, form: faults.RetryForm) -> None:
    clock = VirtualClock(datetime.now(UTC))  # a date is compared with the machine's clock
    monkeypatch.setattr("time.sleep", clock.sleep)
    with sandbox(clock) as azure, make_sdk(azure, retry_total=1) as client:
        azure.faults.add(faults.throttled(3600, form), method="PUT")
        put(client)
        assert [r.status for r in azure.requests()] == [429, 200]
    (wait,) = clock.waits
    assert 3590 < wait <= 3600


@pytest.mark.parametrize("status", [404, 409, 412])
def test_the_sdk_retries_whatever_carries_retry_after(
    azure: ArmSimulator, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr("time.sleep", clock.sleep)
    azure.faults.add(faults.refused(status, "Odd", retry_after=7), times=2)
    with make_sdk(azure, retry_total=3) as client:
        put(client)
    assert [r.status for r in azure.requests()] == [status, status, 200]


def test_the_second_page_may_fail(azure: ArmSimulator, sdk: SqlManagementClient) -> None:
    for number in range(3):
        azure.state.set_rule("orders-sql", f"r{number}", "192.0.2.1", "192.0.2.1")
    azure.switches.rules_page_size = 2
    azure.faults.add(faults.refused(404, "ResourceNotFound"), when=lambda request: "$skiptoken" in request.query)
    seen: list[str] = []
    with pytest.raises(ResourceNotFoundError):
        seen.extend(str(r.name) for r in sdk.firewall_rules.list_by_server("data", "orders-sql", **HTTP))
    assert azure.requests()[-1].fault == "404 ResourceNotFound"


def test_the_world_changes_between_two_calls(azure: ArmSimulator, sdk: SqlManagementClient) -> None:
    azure.faults.add(
        Fault("server dropped", act=lambda _request: azure.state.remove_server("orders-sql")), method="PUT"
    )
    assert list(sdk.firewall_rules.list_by_server("data", "orders-sql", **HTTP)) == []
    with pytest.raises(ResourceNotFoundError):
        put(sdk)


def test_faults_are_counted_and_cleared(azure: ArmSimulator, sdk: SqlManagementClient) -> None:
    planned = azure.faults.add(faults.conflict(retry_after=1), times=5, skip=1)
    put(sdk)
    with pytest.raises(ResourceExistsError):
        put(sdk)
    assert planned.played == 1
    azure.faults.clear()
    put(sdk)
    assert [r.fault for r in azure.requests()] == ["", "409 OperationInterrupted", ""]


def test_a_lost_catastrophe_is_still_one(azure: ArmSimulator, sdk: SqlManagementClient) -> None:
    azure.faults.add(faults.reset())
    with pytest.raises((ServiceRequestError, ServiceResponseError)):
        sdk.firewall_rules.delete("data", "orders-sql", "..", **HTTP)
    assert len(azure.catastrophes) == 1


def test_the_journal_holds_no_token(azure: ArmSimulator, raw: Raw) -> None:
    raw.put("a%20b")
    (entry,) = azure.journal
    assert raw.token not in f"{azure.journal!r} {entry.as_dict()}"
    assert (entry.method, entry.path, entry.decoded) == ("PUT", f"{RULES}/a%20b", f"{RULES}/a b")
    assert entry.headers["authorization"] == "(not shown)"
    assert entry.json() == {"properties": {"startIpAddress": "192.0.2.1", "endIpAddress": "192.0.2.9"}}
    assert (entry.status, entry.effect) == (200, "put a b 192.0.2.1-192.0.2.9")


def test_a_fault_can_be_meant_for_one_server(azure: ArmSimulator, raw: Raw) -> None:
    azure.faults.add(faults.internal_error(), server="authority")
    azure.faults.add(faults.conflict(), server="arm")
    assert [raw.put("r").status, raw.put("r").status] == [409, 200]
