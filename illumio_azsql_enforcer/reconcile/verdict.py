"""How a plan ended: the outcome of its server, and the reason in words. Pure."""

from collections.abc import Sequence

from illumio_azsql_enforcer.model.firewall import NoteCode, Plan, PublicAccess, StepResult, StepStatus
from illumio_azsql_enforcer.model.settings import Mode
from illumio_azsql_enforcer.reconcile.guards import standing
from illumio_azsql_enforcer.report import Outcome
from illumio_azsql_enforcer.text import sentence


def not_editable(plan: Plan) -> bool:
    """Whether Azure would refuse every write: it does while public network access is disabled."""
    return plan.server.public_access is PublicAccess.DISABLED and bool(plan.steps) and plan.mode is not Mode.OBSERVE


def judge(plan: Plan, results: Sequence[StepResult], accepted: frozenset[str]) -> tuple[Outcome, str | None]:
    """Outcome and reason of a server from its plan and what became of the steps; failure first, then refusal."""
    if not_editable(plan):
        return Outcome.FAILED, "Public network access is disabled, so Azure refuses changes of firewall rules."
    if failure := _failure(plan, results):
        return Outcome.FAILED, failure
    if refusals := standing(plan, accepted):
        reason = " ".join(refusal.detail for refusal in refusals)
        return (Outcome.PENDING if plan.mode is Mode.OBSERVE else Outcome.REFUSED), reason
    if any(result.status is StepStatus.DONE for result in results):
        return Outcome.CHANGED, None
    return (Outcome.PENDING if plan.steps or plan.left else Outcome.IN_SYNC), None


def _failure(plan: Plan, results: Sequence[StepResult]) -> str | None:
    for status in (StepStatus.FAILED, StepStatus.NOT_RUN):
        for result in results:
            if result.status is status:
                return sentence(f"{result.step.action.value} {result.step.name}: {result.error or 'not run'}")
    unsafe = [note.detail for note in plan.notes if note.code is NoteCode.UNSAFE_NAME]
    return sentence(unsafe[0]) if unsafe and plan.mode is Mode.AUTHORITATIVE else None
