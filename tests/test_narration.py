"""What the log says of a cycle, and what it does not say again."""

from structlog.testing import capture_logs

from illumio_azsql_enforcer.model.firewall import StepStatus
from illumio_azsql_enforcer.narration import Narrator
from illumio_azsql_enforcer.report import Outcome, Report
from tests.support.plans import a_report, a_server_report, results

FAILED = a_report(a_server_report(outcome=Outcome.FAILED, reason="no right", steps=()), outcome=Outcome.FAILED)
IN_SYNC = a_report(a_server_report(outcome=Outcome.IN_SYNC, steps=()), outcome=Outcome.IN_SYNC)
SKIPPED = a_report(a_server_report(outcome=Outcome.SKIPPED, reason="no labels", steps=()), outcome=Outcome.IN_SYNC)


def events(*reports: Report) -> list[str]:
    narrator = Narrator()
    with capture_logs() as lines:
        for report in reports:
            narrator.tell(report)
    return [f"{line['log_level']} {line['event']}" for line in lines]


def test_a_quiet_cycle_is_one_line() -> None:
    assert events(IN_SYNC, IN_SYNC) == ["info cycle", "info cycle"]


def test_every_step_is_a_line_with_its_plan_and_server() -> None:
    with capture_logs() as lines:
        Narrator().tell(a_report())
    steps = [line for line in lines if line["event"] == "step done"]
    assert [(line["action"], line["server"], line["plan_id"], line["policy_version"]) for line in steps] == [
        ("add", "orders-sql", "3f9c", 80),
        ("delete", "orders-sql", "3f9c", 80),
    ]


def test_a_failed_step_is_an_error() -> None:
    report = a_report(a_server_report(outcome=Outcome.FAILED, reason="no", steps=results(StepStatus.FAILED, "no")))
    assert events(report)[:2] == ["error step failed", "error step failed"]


def test_planned_steps_are_not_told_as_if_they_were_done() -> None:
    report = a_report(a_server_report(outcome=Outcome.PENDING, steps=results(StepStatus.PLANNED)))
    assert events(report) == ["info server is pending", "info cycle"]


def test_a_state_that_lasts_is_told_when_it_begins_and_when_it_ends() -> None:
    assert events(FAILED, FAILED, FAILED, IN_SYNC, IN_SYNC) == [
        "error server is failed",
        *["info cycle"] * 3,
        "info server is in_sync",
        *["info cycle"] * 2,
    ]


def broken(error: str) -> Report:
    return a_report(outcome=Outcome.FAILED, error=error, servers=())


def test_hours_without_the_pce_are_two_lines_beside_those_of_the_cycles() -> None:
    down = [broken(f"The PCE is down. Request id {number:x}-77.") for number in range(10, 300)]
    assert [event for event in events(IN_SYNC, *down, IN_SYNC, IN_SYNC) if event != "info cycle"] == [
        "error cycle failed; while that lasts, it is not said again",
        "info cycles succeed again",
    ]


def test_another_trouble_is_told() -> None:
    told = events(broken("The PCE is down."), broken("The key was revoked."), broken("The key was revoked."))
    assert sum(event.startswith("error cycle failed") for event in told) == 2


def test_a_server_whose_error_differs_only_by_an_id_is_told_once() -> None:
    failed = [
        a_report(a_server_report(outcome=Outcome.FAILED, reason=f"Azure said no (correlation id {n}e).", steps=()))
        for n in range(5)
    ]
    assert events(*failed).count("error server is failed") == 1


def test_another_plan_that_is_refused_is_told() -> None:
    refused = [
        a_report(a_server_report(outcome=Outcome.REFUSED, reason=f"never_empty: --accept {plan}", steps=()))
        for plan in ("3f9c", "3f9c", "4a00")
    ]
    assert events(*refused).count("error server is refused") == 2


def test_nothing_to_govern_is_a_warning_said_once() -> None:
    told = events(SKIPPED, SKIPPED, IN_SYNC, SKIPPED)
    assert told.count("warning no server is governed: none was found that has labels") == 2


def test_a_server_that_is_gone_is_forgotten() -> None:
    nobody = a_report(outcome=Outcome.IN_SYNC, servers=())
    assert events(FAILED, broken("The PCE is down."), FAILED).count("error server is failed") == 1
    assert events(FAILED, nobody, FAILED).count("error server is failed") == 2
