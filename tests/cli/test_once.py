"""`--once` and `--dry-run`, end to end over HTTP with the real Azure SDK."""

import json
from collections.abc import Callable
from typing import Any

from illumio_azsql_enforcer.sandbox.box import Sandbox
from tests.cli.conftest import Program, writes

WANTED = [  # what the article's policy allows to both servers
    ("192.0.2.0", "192.0.2.127"),
    ("192.0.2.160", "192.0.2.255"),
    ("198.51.100.21", "198.51.100.22"),
    ("198.51.100.64", "198.51.100.79"),
    ("203.0.113.0", "203.0.113.127"),
    ("203.0.113.200", "203.0.113.200"),
]


def live(sandbox: Sandbox, server: str) -> list[tuple[str, str]]:
    return sorted(sandbox.arm.state.rules(server).values())


def test_one_cycle_brings_every_server_in_line(program: Program, sandbox: Sandbox) -> None:
    run = program("--once", "--output", "json")
    assert run.code == 0
    assert run.report["outcome"] == "changed"
    assert live(sandbox, "orders-sql") == WANTED  # authoritative: the hand-made rule went
    assert live(sandbox, "billing-sql") == [("0.0.0.0", "0.0.0.0"), *WANTED]  # sync: a foreign rule stays
    assert live(sandbox, "scratch-sql") == []
    assert [(d["start"], d["end"]) for d in run.server("orders-sql")["desired"]] == WANTED
    assert run.server("scratch-sql")["outcome"] == "skipped"
    assert sandbox.arm.catastrophes == []


def test_a_second_cycle_writes_nothing(program: Program, sandbox: Sandbox) -> None:
    program("--once")
    before = len(writes(sandbox))
    run = program("--once", "--output", "json")
    assert (run.code, run.report["outcome"], run.report["calls"]["azure_writes"]) == (0, "in_sync", 0)
    assert len(writes(sandbox)) == before


def test_adds_come_before_deletes(program: Program, sandbox: Sandbox) -> None:
    program("--once", "--server", "orders-sql")
    assert [write.split()[0] for write in writes(sandbox)] == ["PUT"] * len(WANTED) + ["DELETE"]


def test_a_dry_run_shows_the_diff_and_writes_nothing(program: Program, sandbox: Sandbox) -> None:
    run = program("--once", "--dry-run")
    assert run.code == 0
    assert "+ illumio-203.0.113.0-203.0.113.127" in run.out
    assert "'Azure DB access': IP list 'Illumio clients'" in run.out
    assert "'Azure DB access': label 'SQL Client' (workload 'client-public')" in run.out
    assert "- dba-home" in run.out
    assert writes(sandbox) == []


def test_exit_codes_of_a_dry_run(program: Program) -> None:
    assert program("--once", "--dry-run", "--detailed-exitcode").code == 2
    program("--once")
    assert program("--once", "--dry-run", "--detailed-exitcode").code == 0


def test_every_range_names_its_sources(program: Program, sandbox: Sandbox) -> None:
    desired = program("--once", "--dry-run", "--output", "json").server("orders-sql")["desired"]
    clients = next(d for d in desired if d["start"] == "198.51.100.21")
    assert {source["workload"]["name"] for source in clients["sources"]} == {"client-public", "client-cloud"}
    assert {source["consumer"] for source in clients["sources"]} == {"label"}
    office = next(d for d in desired if d["start"] == "203.0.113.0")
    assert [source["consumer_name"] for source in office["sources"]] == ["Illumio clients"]


def test_what_is_left_out_is_noted(program: Program) -> None:
    notes = program("--once", "--dry-run", "--output", "json").server("billing-sql")["notes"]
    codes = {note["code"]: note for note in notes}
    assert {"private_address", "offline", "azure_services_rule"} <= set(codes)
    assert "SQL Client" in codes["private_address"]["detail"]


def test_a_relabelled_workload_loses_access_at_the_next_cycle(program: Program, sandbox: Sandbox) -> None:
    program("--once")
    sandbox.pce.console.update(sandbox.estate.public_client, labels=[])
    run = program("--once", "--output", "json")
    assert run.report["outcome"] == "changed"
    assert ("198.51.100.22", "198.51.100.22") in live(sandbox, "orders-sql")
    assert ("198.51.100.21", "198.51.100.22") not in live(sandbox, "orders-sql")


def test_a_draft_is_not_policy_until_it_is_provisioned(program: Program, sandbox: Sandbox) -> None:
    program("--once")
    console, estate = sandbox.pce.console, sandbox.estate
    console.update(estate.clients_list, ip_ranges=[{"from_ip": "203.0.113.0/25"}])
    assert program("--once", "--output", "json").report["outcome"] == "in_sync"
    console.provision("the single address goes")
    assert program("--once", "--output", "json").report["outcome"] == "changed"
    assert ("203.0.113.200", "203.0.113.200") not in live(sandbox, "orders-sql")


def test_a_guard_refuses_and_accept_lets_exactly_that_plan_through(program: Program, sandbox: Sandbox) -> None:
    program("--once")
    before = live(sandbox, "orders-sql")
    sandbox.pce.console.update(sandbox.estate.rule_set, enabled=False)
    sandbox.pce.console.provision("lockdown")
    refused = program("--once", "--output", "json", "--server", "orders-sql")
    assert refused.code == 3
    server = refused.server("orders-sql")
    assert server["outcome"] == "refused"
    assert server["reason"].startswith("never_empty")
    assert f"Held back: {len(before)} deletes. To let exactly this plan through once: " in server["reason"]
    assert f"--once --accept {server['plan_id']}" in server["reason"]
    assert live(sandbox, "orders-sql") == before
    dry = program("--once", "--dry-run", "--detailed-exitcode", "--server", "orders-sql", "--output", "json")
    assert (dry.code, dry.server("orders-sql")["plan_id"]) == (3, server["plan_id"])
    stale = program("--once", "--accept", "0123456789abcdef", "--server", "orders-sql")
    assert stale.code == 3
    assert "fits no plan" in stale.err
    accepted = program("--once", "--accept", server["plan_id"], "--server", "orders-sql", "--output", "json")
    assert (accepted.code, accepted.report["outcome"]) == (0, "changed")
    assert live(sandbox, "orders-sql") == []


def test_server_patterns_choose_and_unknown_ones_are_an_error(program: Program, sandbox: Sandbox) -> None:
    run = program("--once", "--server", "ORDERS-*", "--output", "json")
    assert [server["name"] for server in run.report["servers"]] == ["orders-sql"]
    assert live(sandbox, "billing-sql") == [("0.0.0.0", "0.0.0.0")]
    missing = program("--once", "--server", "no-such-server", "--output", "json")
    assert missing.code == 1
    assert "no-such-server" in missing.report["error"]


def test_observe_writes_nothing_and_is_pending(
    program: Program, sandbox: Sandbox, configure: Callable[[dict[str, Any]], None]
) -> None:
    configure({"enforcement": {"mode": "observe"}, "servers": {"overrides": {}}})
    run = program("--once", "--output", "json")
    assert (run.code, run.report["outcome"]) == (0, "pending")
    assert {step["status"] for step in run.server("orders-sql")["steps"]} == {"planned"}
    assert writes(sandbox) == []


def test_a_server_that_lost_its_labels_keeps_its_rules_and_is_failed(program: Program, sandbox: Sandbox) -> None:
    program("--once")
    before = live(sandbox, "orders-sql")
    sandbox.pce.console.delete(sandbox.estate.orders_workload)
    run = program("--once", "--output", "json")
    assert (run.code, run.server("orders-sql")["outcome"]) == (1, "failed")
    assert live(sandbox, "orders-sql") == before


def test_disabled_public_access_is_said_and_nothing_is_sent(program: Program, sandbox: Sandbox) -> None:
    sandbox.arm.state.set_public_access("orders-sql", "Disabled")
    run = program("--once", "--output", "json", "--server", "orders-sql")
    assert (run.code, run.server("orders-sql")["outcome"]) == (1, "failed")
    assert "Public network access is disabled" in run.server("orders-sql")["reason"]
    assert writes(sandbox) == []


def test_the_journal_tells_every_write(
    program: Program, sandbox: Sandbox, configure: Callable[[dict[str, Any]], None]
) -> None:
    state = sandbox.config.parent / "state"
    state.mkdir()
    configure({"state_dir": str(state)})
    program("--once", "--server", "orders-sql")
    told = [json.loads(line) for line in (state / "journal.jsonl").read_text().splitlines()]
    for name in {line["name"] for line in told}:
        assert [line["kind"] for line in told if line["name"] == name] == ["intent", "outcome"]
    assert len(told) == 2 * (len(WANTED) + 1)
