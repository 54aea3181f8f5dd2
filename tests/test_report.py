"""The report: its JSON, its text, its exit codes."""

import json
from dataclasses import replace
from itertools import product

import pytest

from illumio_azsql_enforcer.model.firewall import ConsumerKind, Desired, StepStatus
from illumio_azsql_enforcer.report import Outcome, exit_code, gravest, to_json
from illumio_azsql_enforcer.report_text import render, summary
from tests.support.plans import CLIENTS, OFFICE, SERVER, a_report, a_server_report, results


def test_the_json_is_the_published_schema() -> None:
    told = to_json(a_report())
    assert told["schema"] == "illumio-azsql-enforcer/report/1"
    assert (told["started_at"], told["finished_at"]) == ("2026-11-23T10:00:00.000Z", "2026-11-23T10:00:01.250Z")
    assert told["calls"] == {"pce": 9, "azure_reads": 3, "azure_writes": 2}
    server = told["servers"][0]
    assert server["desired"][0] == {
        "start": "203.0.113.0",
        "end": "203.0.113.255",
        "sources": [
            {
                "rule_set": "/orgs/1/sec_policy/active/rule_sets/40",
                "rule_set_name": "Azure DB access",
                "rule": "/orgs/1/sec_policy/active/rule_sets/40/sec_rules/401",
                "consumer": "ip_list",
                "consumer_href": "/orgs/1/sec_policy/active/ip_lists/14",
                "consumer_name": "Illumio clients",
            }
        ],
    }
    assert server["live"][1] == {
        "name": "portal", "start": "198.51.100.1", "end": "198.51.100.2", "owned": False, "protected": False,
    }  # fmt: skip
    assert [(step["action"], step["status"]) for step in server["steps"]] == [("add", "done"), ("delete", "done")]
    assert json.loads(json.dumps(told)) == told


def test_a_label_source_names_the_workload_whose_address_it_is() -> None:
    source = replace(CLIENTS, consumer=ConsumerKind.LABEL, workload_href="/orgs/1/workloads/w", workload_name="app-1")
    report = a_report(a_server_report(desired=(Desired(OFFICE, (source,)),)))
    assert to_json(report)["servers"][0]["desired"][0]["sources"][0]["workload"] == {
        "href": "/orgs/1/workloads/w",
        "name": "app-1",
    }


def test_the_text_is_a_diff_with_the_policy_behind_each_range() -> None:
    text = render(a_report())
    assert "orders-sql  changed  (sync, labels from workload: role=Database Server, app=Azure DB)" in text
    assert (
        "+ illumio-203.0.113.0-203.0.113.255  203.0.113.0 - 203.0.113.255  'Azure DB access': IP list 'Illumio clients'"
    ) in text
    assert "- illumio-192.0.2.7-192.0.2.7        192.0.2.7                    no rule of the policy asks for it" in text
    assert "= 1 rule unchanged" in text
    assert "! private_address: 3 workloads have private addresses only" in text


def test_the_summary_is_one_line() -> None:
    assert summary(a_report()) == (
        "changed · policy version 80 · 1 server (1 changed) · 2 steps (2 done) · "
        "calls: 9 PCE, 3 Azure reads, 2 Azure writes · 1.2 s"
    )


def test_a_failed_step_says_what_happened() -> None:
    text = render(a_report(a_server_report(steps=results(StepStatus.FAILED, "The rule limit is reached."))))
    assert "failed: The rule limit is reached." in text


def test_control_characters_from_outside_never_reach_the_terminal() -> None:
    hostile = replace(SERVER, name="evil\x1b[2J\nserver")
    text = render(a_report(a_server_report(server=hostile, reason="\x07", labels={"role": "\x1b]0;x"})))
    assert not any(character != "\n" and not character.isprintable() for character in text)


@pytest.mark.parametrize(
    ("outcomes", "whole"),
    [
        ([], "in_sync"),
        (["skipped"], "in_sync"),
        (["in_sync", "skipped"], "in_sync"),
        (["in_sync", "changed"], "changed"),
        (["changed", "pending"], "pending"),
        (["pending", "refused"], "refused"),
        (["refused", "failed", "skipped"], "failed"),
    ],
)
def test_the_cycle_is_as_grave_as_its_gravest_server(outcomes: list[str], whole: str) -> None:
    assert gravest(map(Outcome, outcomes)) == whole


EXIT_CODES = {  # outcome: --once, dry run, dry run with --detailed-exitcode
    "in_sync": (0, 0, 0),
    "changed": (0, 0, 0),
    "pending": (0, 0, 2),
    "refused": (3, 0, 3),
    "failed": (1, 1, 1),
}


@pytest.mark.parametrize(("outcome", "kind"), list(product(EXIT_CODES, range(3))))
def test_exit_codes(outcome: str, kind: int) -> None:
    report = a_report(outcome=Outcome(outcome), dry_run=kind > 0)
    assert exit_code(report, detailed=kind == 2) == EXIT_CODES[outcome][kind]
