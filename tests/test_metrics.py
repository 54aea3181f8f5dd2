"""The values of every metric, from hand-made reports."""

from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from illumio_azsql_enforcer import __version__
from illumio_azsql_enforcer.metrics import DEFINITIONS, PREFIX, Metrics, documentation
from illumio_azsql_enforcer.model.firewall import Note, NoteCode, Server, StepStatus
from illumio_azsql_enforcer.report import Calls, Outcome, Report
from tests.support.plans import a_report, a_server_report, results

DOCS = Path(__file__).parents[1] / "docs"
CONTRACT = {  # name -> labels: what users rely on
    "cycles_total": {"outcome"},
    "cycle_duration_seconds": set(),
    "last_success_timestamp_seconds": set(),
    "policy_version": set(),
    "servers": {"outcome"},
    "rules_desired": {"server"},
    "rules_live": {"server", "owned"},
    "steps_total": {"action", "status"},
    "azure_requests_total": {"method", "code"},
    "pce_requests_total": {"endpoint", "code"},
    "guard_refusals_total": {"guard"},
    "notes": {"code"},
    "rule_slots_free": {"server"},
}
CALLS = Calls(9, 3, 2, {("workloads", "200"): 8, ("labels", "none"): 1}, {("GET", "200"): 3, ("PUT", "429"): 2})
BROKEN = a_report(
    servers=(), outcome=Outcome.FAILED, error="The PCE is down.", policy_version=None, calls=Calls(1, 0, 0)
)


def refused(**changes: object) -> Report:
    server = a_server_report(
        outcome=Outcome.REFUSED, guards=("never_empty", "max_rules"), steps=results(StepStatus.PLANNED), **changes
    )
    return a_report(server, outcome=Outcome.REFUSED)


def values(metrics: Metrics) -> dict[str, float]:
    """`name{a="b"}` without the prefix, labels in alphabetical order -> value."""
    return {
        sample.name.removeprefix(PREFIX)
        + (
            "{" + ",".join(f'{k}="{v}"' for k, v in sorted(sample.labels.items())) + "}" if sample.labels else ""
        ): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def after(*reports: Report) -> dict[str, float]:
    metrics = Metrics()
    for report in reports:
        metrics.tell(report)
    return values(metrics)


def test_every_metric_of_the_contract_is_there_with_its_labels() -> None:
    defined = {definition.name: set(definition.labels) for definition in DEFINITIONS}
    assert {name: defined.get(name) for name in CONTRACT} == CONTRACT
    named = {name.split("{")[0] for name in after(a_report(a_server_report(max_rules=256), calls=CALLS))}
    assert named == set(defined)


def test_a_changed_server() -> None:
    told = after(a_report(a_server_report(max_rules=256), calls=CALLS))
    wanted = {
        'cycles_total{outcome="changed"}': 1,
        'cycles_total{outcome="failed"}': 0,
        "cycle_duration_seconds": 1.25,
        "last_success_timestamp_seconds": a_report().finished_at.timestamp(),
        "policy_version": 80,
        'servers{outcome="changed"}': 1,
        'servers{outcome="refused"}': 0,
        'rules_desired{server="orders-sql"}': 1,
        'rules_live{owned="true",server="orders-sql"}': 1,  # one added, one deleted
        'rules_live{owned="false",server="orders-sql"}': 1,
        'rule_slots_free{server="orders-sql"}': 254,
        'steps_total{action="add",status="done"}': 1,
        'steps_total{action="delete",status="done"}': 1,
        'steps_total{action="update",status="failed"}': 0,
        'steps_held_back{server="orders-sql"}': 0,
        'pce_requests_total{code="200",endpoint="workloads"}': 8,
        'pce_requests_total{code="none",endpoint="labels"}': 1,
        'azure_requests_total{code="429",method="PUT"}': 2,
        'guard_refusals_total{guard="max_rules"}': 0,
        'notes{code="private_address"}': 3,
        'notes{code="offline"}': 0,
        f'build_info{{version="{__version__}"}}': 1,
        'last_cycle_outcome{outcome="changed"}': 1,
        'last_cycle_outcome{outcome="failed"}': 0,
    }
    assert {name: told.get(name) for name in wanted} == wanted


def test_counters_count_over_cycles() -> None:
    told = after(a_report(calls=CALLS), a_report(calls=CALLS), refused(), refused())
    assert told['cycles_total{outcome="changed"}'] == 2
    assert told['azure_requests_total{code="200",method="GET"}'] == 6
    assert told['guard_refusals_total{guard="never_empty"}'] == 2
    assert told['steps_total{action="add",status="planned"}'] == 2


def test_what_a_refusal_holds_back_is_counted_and_nothing_else_is() -> None:
    assert after(refused())['steps_held_back{server="orders-sql"}'] == 2
    pending = a_server_report(outcome=Outcome.PENDING, guards=("never_empty",), steps=results(StepStatus.PLANNED))
    told = after(a_report(pending, outcome=Outcome.PENDING))
    assert told['steps_held_back{server="orders-sql"}'] == 0
    assert told['guard_refusals_total{guard="never_empty"}'] == 0


def test_rules_stay_as_read_where_no_step_was_done() -> None:
    told = after(refused())
    assert told['rules_live{owned="true",server="orders-sql"}'] == 1
    assert told['rules_live{owned="false",server="orders-sql"}'] == 1


def test_a_cycle_that_failed_as_a_whole_keeps_what_is_known() -> None:
    first = a_report(a_server_report(max_rules=256))
    told = after(first, BROKEN)
    assert told['cycles_total{outcome="failed"}'] == 1
    assert told['last_cycle_outcome{outcome="failed"}'] == 1
    assert told["last_success_timestamp_seconds"] == first.finished_at.timestamp()
    assert told["policy_version"] == 80
    assert told['rule_slots_free{server="orders-sql"}'] == 254


def test_a_server_that_is_gone_or_could_not_be_read_has_no_series() -> None:
    unread = a_server_report(outcome=Outcome.FAILED, plan_id=None, desired=(), live=(), steps=(), notes=())
    for last in (a_report(servers=()), a_report(unread, outcome=Outcome.FAILED)):
        told = after(a_report(), last)
        assert not [name for name in told if "orders-sql" in name]
    assert told['servers{outcome="failed"}'] == 1


def test_nothing_succeeded_yet() -> None:
    assert values(Metrics())["last_success_timestamp_seconds"] == 0
    assert after(BROKEN)["last_success_timestamp_seconds"] == 0


def test_a_note_that_counts_nothing_is_one_note() -> None:
    note = Note(NoteCode.NOT_READABLE, 0, "The IPv6 rules could not be read.")
    assert after(a_report(a_server_report(notes=(note, note))))['notes{code="not_readable"}'] == 2


def test_text_from_outside_stays_in_its_label() -> None:
    server = Server("/s", 'a"} 1\nevil\x1b', "s", "rg", "a.example")
    told = after(a_report(a_server_report(server=server)))
    assert 'rules_desired{server="a"} 1\\nevil\\x1b"}' in told
    assert len([name for name in told if name.startswith("rules_desired")]) == 1


def test_another_process_goes_on_from_the_text() -> None:
    first, second = Metrics(), Metrics()
    first.tell(a_report(calls=CALLS))
    second.resume(first.render().decode())
    second.tell(BROKEN)
    told = values(second)
    assert told['cycles_total{outcome="changed"}'] == 1
    assert told['cycles_total{outcome="failed"}'] == 1
    assert told['azure_requests_total{code="429",method="PUT"}'] == 2
    assert told["last_success_timestamp_seconds"] == a_report().finished_at.timestamp()
    assert "policy_version" not in told  # gauges are of this process


@pytest.mark.parametrize("text", ["\0", "illumio_azsql_cycles_total{outcome=", 'illumio_azsql_cycles_total{a="b"} x\n'])
def test_a_text_that_cannot_be_read_changes_nothing(text: str) -> None:
    metrics = Metrics()
    before = metrics.render()
    with pytest.raises(ValueError, match=r".*"):
        metrics.resume('illumio_azsql_cycles_total{outcome="failed"} 7\n' + text)
    assert metrics.render() == before


def test_the_duration_is_that_of_the_cycle() -> None:
    report = a_report(finished_at=a_report().started_at + timedelta(seconds=90))
    assert after(report)["cycle_duration_seconds"] == 90


def test_the_page_is_what_the_code_says() -> None:
    assert (DOCS / "metrics.md").read_text() == documentation()
