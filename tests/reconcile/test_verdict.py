"""How a plan ended."""

from dataclasses import replace
from typing import Any

import pytest

from illumio_azsql_enforcer.model.firewall import (
    Note,
    NoteCode,
    Plan,
    PublicAccess,
    Refusal,
    StepResult,
    StepStatus,
)
from illumio_azsql_enforcer.model.settings import Mode
from illumio_azsql_enforcer.reconcile.verdict import judge
from tests.support.plans import ADD, DELETE, SERVER, a_plan, results

REVOKED = Refusal("max_revoked", "max_revoked: 11 rules would go")
TOO_MANY = Refusal("max_rules", "max_rules: 300 rules are needed, 256 fit")
NO_STEPS: dict[str, Any] = {"steps": (), "left": 0}
DISABLED = replace(SERVER, public_access=PublicAccess.DISABLED)
HALF = (StepResult(ADD, StepStatus.DONE), StepResult(DELETE, StepStatus.NOT_RUN, "asked to stop"))
UNSAFE = Note(NoteCode.UNSAFE_NAME, 1, "The rule '..' cannot be deleted safely.")


@pytest.mark.parametrize(
    ("plan", "done", "accepted", "outcome", "reason"),
    [
        (a_plan(**NO_STEPS), (), [], "in_sync", None),
        (a_plan(), results(StepStatus.DONE), [], "changed", None),
        (a_plan(left=2), results(StepStatus.DONE), [], "changed", None),
        (a_plan(**NO_STEPS | {"left": 2}), (), [], "pending", None),
        (a_plan(), results(StepStatus.PLANNED), [], "pending", None),
        (a_plan(), results(StepStatus.FAILED, "no right"), [], "failed", f"Add {ADD.name}: no right."),
        (a_plan(), HALF, [], "failed", f"Delete {DELETE.name}: asked to stop."),
        (a_plan(refusals=(REVOKED,)), results(StepStatus.PLANNED), [], "refused", REVOKED.detail),
        (a_plan(refusals=(REVOKED,)), results(StepStatus.DONE), ["3f9c"], "changed", None),
        (a_plan(refusals=(REVOKED,)), results(StepStatus.PLANNED), ["3f9c"], "pending", None),
        (a_plan(refusals=(REVOKED,)), results(StepStatus.PLANNED), ["stale"], "refused", REVOKED.detail),
        (a_plan(refusals=(TOO_MANY,)), results(StepStatus.PLANNED), ["3f9c"], "refused", TOO_MANY.detail),
        (a_plan(refusals=(REVOKED,), mode=Mode.OBSERVE), results(StepStatus.PLANNED), [], "pending", REVOKED.detail),
        (a_plan(server=DISABLED, **NO_STEPS), (), [], "in_sync", None),
        (a_plan(server=DISABLED, mode=Mode.OBSERVE), results(StepStatus.PLANNED), [], "pending", None),
        (a_plan(notes=(UNSAFE,), mode=Mode.AUTHORITATIVE), results(StepStatus.DONE), [], "failed", UNSAFE.detail),
    ],
)
def test_outcome_and_reason(
    plan: Plan, done: tuple[StepResult, ...], accepted: list[str], outcome: str, reason: str | None
) -> None:
    assert judge(plan, done, frozenset(accepted)) == (outcome, reason)


def test_a_server_that_azure_would_not_let_us_edit_is_failed_and_says_why() -> None:
    outcome, reason = judge(a_plan(server=DISABLED), results(StepStatus.NOT_RUN), frozenset())
    assert outcome == "failed"
    assert reason is not None
    assert "Public network access is disabled" in reason
