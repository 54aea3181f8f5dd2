"""When a notice is due, and what it says."""

import json

import pytest

from illumio_azsql_enforcer.model.firewall import Server
from illumio_azsql_enforcer.notices import Kind, Watch, to_json
from illumio_azsql_enforcer.report import Outcome, Report, ServerReport
from tests.support.plans import a_report, a_server_report


def server(outcome: Outcome, name: str = "orders-sql", **changes: object) -> ServerReport:
    return a_server_report(outcome=outcome, server=Server(f"/{name}", name, "s", "rg", name), **changes)


def good(*names: str) -> Report:
    return a_report(*[server(Outcome.IN_SYNC, name) for name in names or ("orders-sql",)], outcome=Outcome.IN_SYNC)


def refused(*guards: str, name: str = "orders-sql") -> Report:
    return a_report(server(Outcome.REFUSED, name, guards=guards, reason=f"{guards[0]}: no"), outcome=Outcome.REFUSED)


FAILED = a_report(server(Outcome.FAILED, reason="Azure is down."), outcome=Outcome.FAILED)
DOWN = a_report(servers=(), error="The PCE is down.", outcome=Outcome.FAILED)


def told(*reports: Report) -> list[list[str]]:
    """For each cycle the notices, as `kind name, name`; `*` stands for the cycles as a whole."""
    watch = Watch()
    return [
        [
            f"{notice.kind} {', '.join(['*'] * notice.whole + [s.server.name for s in notice.servers])}"
            for notice in watch.tell(report)
        ]
        for report in reports
    ]


def test_quiet_cycles_say_nothing() -> None:
    assert told(good(), a_report(), good()) == [[], [], []]


def test_a_refusal_is_told_once_and_its_end_is_told_once() -> None:
    assert told(*[refused("never_empty")] * 3, good(), good()) == [
        ["refusal orders-sql"],
        [],
        [],
        ["recovery orders-sql"],
        [],
    ]


def test_another_guard_is_another_refusal() -> None:
    assert told(refused("never_empty"), refused("max_rules"), refused("max_rules")) == [
        ["refusal orders-sql"],
        ["refusal orders-sql"],
        [],
    ]


def test_a_failure_is_told_when_it_lasts() -> None:
    assert told(FAILED, FAILED, FAILED, FAILED, FAILED, good(), good()) == [
        [],
        [],
        ["failure orders-sql"],
        [],
        [],
        ["recovery orders-sql"],
        [],
    ]


def test_a_failure_that_passes_is_not_told_and_does_not_add_up() -> None:
    assert told(FAILED, FAILED, good(), FAILED, FAILED, good()) == [[]] * 6


def test_cycles_that_fail_as_a_whole() -> None:
    assert told(DOWN, DOWN, DOWN, DOWN, good(), good()) == [[], [], ["failure *"], [], ["recovery *"], []]


def test_what_a_failed_cycle_did_not_see_stays_as_it_was() -> None:
    assert told(refused("never_empty"), DOWN, refused("never_empty"), good()) == [
        ["refusal orders-sql"],
        [],
        [],
        ["recovery orders-sql"],
    ]


def test_a_refused_server_that_fails_for_a_moment_is_not_told_again() -> None:
    assert told(refused("never_empty"), FAILED, refused("never_empty")) == [["refusal orders-sql"], [], []]


def test_a_lasting_failure_that_turns_into_a_refusal_is_told() -> None:
    assert told(FAILED, FAILED, FAILED, refused("max_rules"), good())[2:] == [
        ["failure orders-sql"],
        ["refusal orders-sql"],
        ["recovery orders-sql"],
    ]


def test_servers_share_a_notice() -> None:
    both = a_report(
        server(Outcome.REFUSED, "a", guards=("max_rules",)),
        server(Outcome.REFUSED, "b", guards=("max_rules",)),
        outcome=Outcome.REFUSED,
    )
    assert told(both, good("a", "b")) == [["refusal a, b"], ["recovery a, b"]]


def test_a_server_that_is_gone_is_forgotten() -> None:
    assert told(refused("never_empty"), good("other"), refused("never_empty")) == [
        ["refusal orders-sql"],
        [],
        ["refusal orders-sql"],
    ]


@pytest.mark.parametrize("outcome", [Outcome.PENDING, Outcome.CHANGED, Outcome.SKIPPED, Outcome.IN_SYNC])
def test_anything_that_is_neither_failed_nor_refused_is_a_recovery(outcome: Outcome) -> None:
    assert told(refused("never_empty"), a_report(server(outcome), outcome=outcome))[1] == ["recovery orders-sql"]


def test_the_body_of_a_refusal() -> None:
    (notice,) = Watch().tell(refused("never_empty"))
    body = to_json(notice)
    assert body == {
        "text": "illumio-azsql-enforcer: a guard refuses the plan for 1 server; what it holds back was not written.\n"
        "• orders-sql: never_empty: no",
        "schema": "illumio-azsql-enforcer/notice/1",
        "kind": "refusal",
        "run_id": "a1b2c3",
        "at": "2026-11-23T10:00:01.250Z",
        "outcome": "refused",
        "error": None,
        "policy_version": 80,
        "servers_total": 1,
        "servers": [
            {
                "name": "orders-sql",
                "id": "/orders-sql",
                "outcome": "refused",
                "guards": ["never_empty"],
                "reason": "never_empty: no",
                "plan_id": "3f9c",
            }
        ],
    }


def test_the_text_of_a_failure_and_of_its_end() -> None:
    watch = Watch()
    told = [to_json(notice)["text"] for report in (DOWN, DOWN, DOWN, good()) for notice in watch.tell(report)]
    assert told == [
        "illumio-azsql-enforcer: 3 cycles in a row failed: The PCE is down.",
        "illumio-azsql-enforcer: cycles succeed again.",
    ]


def test_a_notice_about_many_servers_is_of_bounded_size() -> None:
    many = [server(Outcome.REFUSED, f"s{n}", guards=("max_rules",), reason="x" * 9000) for n in range(1000)]
    (notice,) = Watch().tell(a_report(*many, outcome=Outcome.REFUSED))
    body = to_json(notice)
    assert (body["servers_total"], len(body["servers"])) == (1000, 100)
    assert body["text"].endswith("and 990 more servers")
    assert len(body["text"]) < 4000
    assert len(json.dumps(body)) < 300_000


def test_text_from_outside_calls_no_channel_and_makes_no_link() -> None:
    evil = "<!channel> <https://evil.example.com|click> &amp; \x1b[31m"
    (notice,) = Watch().tell(a_report(server(Outcome.REFUSED, evil, guards=("max_rules",), reason=evil)))
    text = to_json(notice)["text"]
    assert notice.kind is Kind.REFUSAL
    assert "&lt;!channel&gt;" in text
    assert not set("<>\x1b") & set(text)
