"""What somebody else changed between two cycles."""

import pytest

from illumio_azsql_enforcer.addresses import Range
from illumio_azsql_enforcer.model.firewall import FirewallRule, LiveRule, StepResult, StepStatus
from illumio_azsql_enforcer.reconcile.drift import drift, left_behind
from tests.support.plans import ADD, DELETE, GOING, KEPT, results


def live(**rules: str) -> list[LiveRule]:
    return [
        LiveRule(FirewallRule(name, Range.parse(at, at)), owned=False, protected=False) for name, at in rules.items()
    ]


def test_what_a_cycle_leaves_behind() -> None:
    left = left_behind((GOING, KEPT), results(StepStatus.DONE))
    assert left is not None
    assert sorted(left) == [ADD.name, "portal"]


def test_planned_steps_leave_everything_as_it_is() -> None:
    left = left_behind((GOING, KEPT), results(StepStatus.PLANNED))
    assert left is not None
    assert sorted(left) == [DELETE.name, "portal"]


@pytest.mark.parametrize("status", [StepStatus.FAILED, StepStatus.NOT_RUN])
def test_a_step_that_did_not_end_well_leaves_nothing_to_compare_with(status: StepStatus) -> None:
    assert left_behind((GOING,), (StepResult(ADD, StepStatus.DONE), StepResult(DELETE, status))) is None


def test_no_drift_no_note() -> None:
    rules = live(a="192.0.2.1", B="192.0.2.2")
    left = left_behind(rules, ())
    assert left is not None
    assert drift(left, live(b="192.0.2.2", A="192.0.2.1")) == ()


def test_each_kind_of_change_is_named() -> None:
    left = left_behind(live(gone="192.0.2.1", moved="192.0.2.2", same="192.0.2.3"), ())
    assert left is not None
    (note,) = drift(left, live(moved="192.0.2.9", same="192.0.2.3", new="192.0.2.4"))
    assert note.count == 3
    assert note.detail == (
        "changed by somebody else since the last cycle: gone deleted (192.0.2.1), "
        "moved edited (192.0.2.2 -> 192.0.2.9), new added (192.0.2.4)"
    )
