"""`explain`, end to end."""

from collections.abc import Callable
from typing import Any

import pytest

from illumio_azsql_enforcer.sandbox.box import Sandbox
from tests.cli.conftest import Program, writes

Change = Callable[[dict[str, Any]], None]


def one(program: Program, address: str) -> dict[str, Any]:
    run = program("explain", address, "orders-sql", "--output", "json")
    assert run.code == 0
    assert run.report["schema"] == "illumio-azsql-enforcer/explain/1"
    answer: dict[str, Any] = run.report["servers"][0]
    return answer


def test_an_address_that_a_rule_lets_in(program: Program) -> None:
    program("--once")
    answer = one(program, "203.0.113.7")
    assert answer["policy"]["verdict"] == "allowed"
    assert answer["policy"]["sources"][0]["consumer_name"] == "Illumio clients"
    assert answer["firewall"]["admitted_by"][0]["name"] == "illumio-203.0.113.0-203.0.113.127"


def test_an_address_that_an_ip_list_excludes(program: Program) -> None:
    answer = one(program, "192.0.2.130")
    assert answer["policy"]["verdict"] == "not_allowed"
    assert "excludes 192.0.2.128-192.0.2.159" in answer["policy"]["summary"]


def test_an_address_that_only_a_foreign_rule_admits(program: Program) -> None:
    answer = one(program, "198.51.100.200")
    assert answer["policy"]["verdict"] == "not_allowed"
    assert answer["firewall"]["admitted_by"][0]["name"] == "dba-home"
    assert answer["firewall"]["admitted_after_next_cycle"] is False


def test_an_address_that_is_denied(program: Program, sandbox: Sandbox) -> None:
    console, estate = sandbox.pce.console, sandbox.estate
    console.add_deny_rule(
        estate.rule_set,
        override=True,
        providers=[{"actors": "ams"}],
        consumers=[{"ip_list": {"href": estate.clients_list}}],
        ingress_services=[{"proto": 6, "port": 1433}],
        unscoped_consumers=True,
    )
    console.provision("deny the clients")
    answer = one(program, "203.0.113.7")
    assert answer["policy"]["verdict"] == "not_allowed"
    assert answer["policy"]["kept_out_by"][0]["reasons"][0]["kind"] == "override_deny"


@pytest.mark.parametrize("address", ["10.20.1.15"])
def test_a_private_address_names_its_workload_and_the_way_out(program: Program, address: str) -> None:
    text = program("explain", address, "orders-sql").out
    assert "workload: client-private" in text
    assert "policy.nat" in text


def test_every_server_is_answered_for_and_nothing_is_written(program: Program, sandbox: Sandbox) -> None:
    run = program("explain", "192.0.2.1")
    assert [line.split()[0] for line in run.out.splitlines() if line and not line.startswith(" ")] == [
        "billing-sql",
        "orders-sql",
        "scratch-sql",
    ]
    assert writes(sandbox) == []


def test_a_server_that_is_not_there(program: Program) -> None:
    run = program("explain", "192.0.2.1", "nope")
    assert (run.code, run.out) == (1, "")
    assert "nope is none of the 3 servers" in run.err


def test_a_subscription_that_cannot_be_listed_is_said(program: Program, sandbox: Sandbox, configure: Change) -> None:
    missing = "99999999-9999-4999-8999-999999999999"
    configure({"azure": {"subscriptions": [sandbox.estate.subscription, missing]}})
    run = program("explain", "203.0.113.7", "orders-sql", "--output", "json")
    assert run.code == 1
    assert run.report["servers"][0]["policy"]["verdict"] == "allowed"
    (told,) = run.report["unlisted"]
    assert told.startswith(f"Subscription {missing} could not be listed: ")
    assert told in run.err
    assert "could not be listed" in program("explain", "203.0.113.7", "nope").err


def test_a_firewall_that_cannot_be_read_leaves_the_policy_s_side(program: Program, sandbox: Sandbox) -> None:
    sandbox.arm.state.grants.deny("Microsoft.Sql/servers/firewallRules/read")
    run = program("explain", "203.0.113.7", "orders-sql", "--output", "json")
    assert run.code == 1
    (answer,) = run.report["servers"]
    assert answer["policy"]["verdict"] == "allowed"
    assert answer["firewall"] is None
    assert "lacks the action" in answer["unknown"]


def test_a_server_that_two_workloads_stand_for(program: Program, sandbox: Sandbox) -> None:
    sandbox.pce.console.create("workloads", hostname="orders-sql.database.windows.net")
    run = program("explain", "203.0.113.7", "orders-sql")
    assert run.code == 1
    assert run.out.startswith("orders-sql  not known: 2 workloads of the PCE have this hostname")
