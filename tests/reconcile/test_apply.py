"""Each step's outcome is known or looked up, and a failure stops just what relies on it."""

from collections.abc import Callable, Iterable

import pytest

from illumio_azsql_enforcer.addresses import Range
from illumio_azsql_enforcer.errors import (
    ArmConflict,
    ArmError,
    ArmForbidden,
    ArmInvalidAnswer,
    ArmNotFound,
    ArmRejected,
    ArmThrottled,
    ArmUnauthenticated,
    ArmUnavailable,
    ArmUnreachable,
    PublicAccessDisabled,
    StateUnwritable,
    Stopped,
)
from illumio_azsql_enforcer.journal import NullJournal
from illumio_azsql_enforcer.model.firewall import FirewallRule, Plan, Step, StepResult
from illumio_azsql_enforcer.model.journal import RunContext, StepJournal
from illumio_azsql_enforcer.model.settings import Mode
from illumio_azsql_enforcer.reconcile.apply import Applied, apply
from tests.reconcile.target import Memory, Promises, a_deadline, ours, planned, rule, wants

LIVE = [ours(5, 9), ours(20, 29), ours(40, 49)]
POLICY = wants((4, 9), (45, 49), (60, 69))  # widen the first, drop the second, narrow the third, add one
ADDS, DELETES = 3, 3


def carry_out(
    plan: Plan,
    memory: Memory,
    *,
    max_rules: int = 256,
    journal: StepJournal | None = None,
    stopping: Callable[[], bool] = lambda: False,
    seconds: float = 300.0,
) -> Applied:
    """Apply a whole plan, and hold every write to the promises."""
    memory.watch = Promises.of(plan, max_rules).check
    return apply(
        plan,
        plan.steps,
        writer=memory,
        reader=memory,
        journal=journal or NullJournal(),
        deadline=a_deadline(seconds),
        stopping=stopping,
        context=RunContext("run"),
    )


def failing(error: ArmError, *, at: Iterable[str], after: bool = False) -> Callable[[str, str], ArmError | None]:
    """A fault at writes of these kinds or names, before or after they take effect."""
    chosen = set(at)

    def fault(kind: str, name: str) -> ArmError | None:
        if not chosen & {kind, name}:
            return None
        if after:
            return error
        raise error

    return fault


def statuses(applied: Applied) -> list[str]:
    return [str(result.status) for result in applied.results]


def errors(applied: Applied) -> set[str]:
    return {result.error or "" for result in applied.results if result.status != "done"}


def plan_and_memory(live: Iterable[FirewallRule] = LIVE) -> tuple[Plan, Memory]:
    held = list(live)
    return planned(held, POLICY), Memory.of(held)


def test_all_is_done_and_the_next_plan_is_empty() -> None:
    plan, memory = plan_and_memory()
    applied = carry_out(plan, memory)
    assert statuses(applied) == ["done"] * (ADDS + DELETES)
    assert planned(memory.now, POLICY).steps == ()
    assert (applied.learned_limit, applied.gap) == (None, ())


@pytest.mark.parametrize(
    "error",
    [
        ArmUnreachable("no answer."),
        ArmUnavailable("502.", status=502),
        ArmInvalidAnswer("?"),
        ArmConflict("busy.", status=409, code="OperationInterrupted"),
    ],
)
@pytest.mark.parametrize("kind", ["put", "delete"])
def test_a_write_that_took_effect_although_the_answer_was_lost_is_done(error: ArmError, kind: str) -> None:
    plan, memory = plan_and_memory()
    memory.fault = failing(error, at=[kind], after=True)
    assert statuses(carry_out(plan, memory)) == ["done"] * (ADDS + DELETES)


def test_a_lost_add_stops_just_the_deletes_that_rely_on_it() -> None:
    plan, memory = plan_and_memory()
    memory.fault = failing(ArmUnreachable("No answer."), at=["illumio-0.0.0.4-0.0.0.9"])
    applied = carry_out(plan, memory)
    assert statuses(applied) == ["failed", "done", "done", "not_run", "done", "done"]
    assert errors(applied) == {
        "No answer. The rules were read again: it did not take effect.",
        "relies on a step that was not done: illumio-0.0.0.4-0.0.0.9",
    }


def test_a_delete_that_did_not_take_effect_fails_alone() -> None:
    plan, memory = plan_and_memory()
    memory.fault = failing(ArmUnavailable("503.", status=503), at=["illumio-0.0.0.5-0.0.0.9"])
    assert statuses(carry_out(plan, memory)) == ["done", "done", "done", "failed", "done", "done"]


def test_nothing_more_is_sent_when_the_outcome_cannot_be_read() -> None:
    plan, memory = plan_and_memory()
    memory.fault = failing(ArmUnreachable("No answer."), at=["put"])

    def unreachable() -> None:
        raise ArmUnreachable("No answer.")

    memory.reading = unreachable
    applied = carry_out(plan, memory)
    assert statuses(applied) == ["failed"] + ["not_run"] * 5
    assert applied.results[0].error == "No answer. Whether it took effect could not be read."


@pytest.mark.parametrize(
    "error",
    [
        ArmForbidden("No right to write.", status=403, code="AuthorizationFailed"),
        ArmNotFound("The server is gone.", status=404, code="ParentResourceNotFound"),
        ArmConflict("Read only.", status=409, code="ReadOnlyDisabledSubscription"),
        ArmThrottled("Too many.", status=429),
        ArmUnauthenticated("No token."),
    ],
)
def test_what_would_happen_to_every_step_is_not_tried_twice(error: ArmError) -> None:
    plan, memory = plan_and_memory()
    memory.fault = failing(error, at=["put", "delete"])
    applied = carry_out(plan, memory)
    assert statuses(applied) == ["failed"] + ["not_run"] * 5
    assert errors(applied) == {str(error), f"not tried: {error}"}
    assert len(memory.log) == 1


def test_the_server_goes_away_midway() -> None:
    plan, memory = plan_and_memory()
    memory.fault = failing(ArmNotFound("Gone.", status=404), at=["delete"])
    assert statuses(carry_out(plan, memory)) == ["done"] * 3 + ["failed", "not_run", "not_run"]


def test_a_lock_against_deletes_fails_each_delete_and_no_add() -> None:
    plan, memory = plan_and_memory()
    memory.fault = failing(ArmConflict("Locked.", status=409, code="ScopeLocked"), at=["delete"])
    assert statuses(carry_out(plan, memory)) == ["done"] * 3 + ["failed"] * 3


def test_azure_policy_forbids_one_rule_and_not_the_others() -> None:
    plan, memory = plan_and_memory()
    error = ArmForbidden("Not this range.", status=403, code="RequestDisallowedByPolicy")
    memory.fault = failing(error, at=["illumio-0.0.0.60-0.0.0.69"])
    assert statuses(carry_out(plan, memory)) == ["done", "done", "failed", "done", "done", "done"]


def test_a_refused_put_is_not_looked_up() -> None:
    plan, memory = plan_and_memory()

    def unexpected() -> None:
        raise AssertionError("read again")

    memory.reading = unexpected
    memory.fault = failing(ArmRejected("Bad range.", status=400, code="FirewallRuleInvalidRange"), at=["put"])
    assert statuses(carry_out(plan, memory)) == ["failed"] * 3 + ["not_run", "done", "not_run"]


def test_public_access_disabled_ends_the_puts_and_tries_deletes() -> None:
    plan, memory = plan_and_memory()
    error = PublicAccessDisabled("Public access is disabled.", status=400, code="DenyPublicEndpointEnabled")
    memory.fault = failing(error, at=["put"])
    applied = carry_out(plan, memory)
    assert statuses(applied) == ["failed", "not_run", "not_run", "not_run", "done", "not_run"]
    assert [kind for kind, _ in memory.log] == ["put", "delete"]


def test_azure_holds_fewer_rules_than_we_thought() -> None:
    plan, memory = plan_and_memory()
    memory.limit = 4
    applied = carry_out(plan, memory)
    assert applied.learned_limit == 4
    assert statuses(applied) == ["done", "failed", "not_run", "done", "done", "not_run"]
    assert "holds 4 rules and takes no more" in (applied.results[1].error or "")
    again = planned(memory.now, POLICY, max_rules=4)
    assert statuses(carry_out(again, memory, max_rules=4)) == ["done"] * len(again.steps)
    assert planned(memory.now, POLICY).steps == ()


def test_an_update_at_the_limit_falls_back_to_delete_and_add() -> None:
    live = [ours(5, 9), ours(20, 29)]
    plan = planned(live, wants((5, 8), (60, 69)), max_rules=2)
    assert [step.action for step in plan.steps] == ["update", "update"]
    memory = Memory.of(live, limit=2, strict_updates=True)
    memory.watch = lambda _: None
    applied = apply(
        plan,
        plan.steps,
        writer=memory,
        reader=memory,
        journal=NullJournal(),
        deadline=a_deadline(),
        stopping=lambda: False,
        context=RunContext("run"),
    )
    assert statuses(applied) == ["done", "done"]
    assert [kind for kind, _ in memory.log] == ["put", "delete", "put"] * 2
    assert applied.gap == (Range(5, 8),)
    assert applied.learned_limit == 2
    assert planned(memory.now, wants((5, 8), (60, 69)), max_rules=2).steps == ()


def test_an_update_that_cannot_be_put_back_says_so() -> None:
    live = [ours(5, 9)]
    plan = planned(live, wants((5, 8)), max_rules=1)
    memory = Memory.of(live, limit=1, strict_updates=True)

    def fault(kind: str, name: str) -> None:
        if memory.log.count(("put", name)) == 2:
            raise ArmRejected("Not now.", status=400)

    memory.fault = fault
    memory.watch = lambda _: None
    applied = apply(
        plan,
        plan.steps,
        writer=memory,
        reader=memory,
        journal=NullJournal(),
        deadline=a_deadline(),
        stopping=lambda: False,
        context=RunContext("run"),
    )
    assert statuses(applied) == ["failed"]
    assert "was deleted to make room, and could not be put back with its new range: Not now." in str(errors(applied))


def test_stopping_is_asked_before_each_step() -> None:
    plan, memory = plan_and_memory()
    applied = carry_out(plan, memory, stopping=lambda: len(memory.log) == 2)
    assert statuses(applied) == ["done", "done"] + ["not_run"] * 4
    assert errors(applied) == {"asked to stop before this step"}


def test_asked_to_stop_while_the_writer_waits() -> None:
    plan, memory = plan_and_memory()

    def fault(kind: str, name: str) -> None:
        raise Stopped("Asked to stop while waiting.")

    memory.fault = fault
    applied = carry_out(plan, memory)
    assert statuses(applied) == ["failed"] + ["not_run"] * 5
    assert "the outcome is open" in (applied.results[0].error or "")


def test_nothing_is_begun_after_the_deadline() -> None:
    plan, memory = plan_and_memory()
    assert statuses(carry_out(plan, memory, seconds=0)) == ["not_run"] * 6
    assert memory.log == []


class FullDisk:
    """A journal that stops taking lines after some."""

    def __init__(self, room: int) -> None:
        self._room = room

    def _line(self) -> None:
        self._room -= 1
        if self._room < 0:
            raise StateUnwritable("The journal cannot be written: No space left on device.")

    def intent(self, context: RunContext, plan: Plan, step: Step) -> None:
        self._line()

    def outcome(self, context: RunContext, plan: Plan, result: StepResult) -> None:
        self._line()


@pytest.mark.parametrize(
    ("room", "expected"),
    [(0, ["failed"] + ["not_run"] * 5), (1, ["done"] + ["not_run"] * 5), (2, ["done", "failed"] + ["not_run"] * 4)],
)
def test_nothing_is_sent_that_the_journal_does_not_hold(room: int, expected: list[str]) -> None:
    plan, memory = plan_and_memory()
    applied = carry_out(plan, memory, journal=FullDisk(room))
    assert statuses(applied) == expected
    assert len(memory.log) == expected.count("done")
    assert "No space left" in str(errors(applied))


def test_steps_that_were_not_permitted_hold_back_those_that_need_them() -> None:
    plan, memory = plan_and_memory()
    deletes = [step for step in plan.steps if step.action == "delete"]
    applied = apply(
        plan,
        deletes,
        writer=memory,
        reader=memory,
        journal=NullJournal(),
        deadline=a_deadline(),
        stopping=lambda: False,
        context=RunContext("run"),
    )
    assert statuses(applied) == ["not_run", "done", "not_run"]


def test_a_defect_is_not_swallowed() -> None:
    plan, memory = plan_and_memory()

    def fault(kind: str, name: str) -> None:
        raise ZeroDivisionError

    memory.fault = fault
    with pytest.raises(ZeroDivisionError):
        carry_out(plan, memory)


def test_a_foreign_rule_gone_already_is_no_trouble() -> None:
    plan = planned([rule("office", 1, 2)], (), Mode.AUTHORITATIVE)
    assert statuses(carry_out(plan, Memory.of([]))) == ["done"]
