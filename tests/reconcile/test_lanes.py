"""Writes of a phase side by side: whatever order they take effect in, and whichever fail, the promises hold."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from illumio_azsql_enforcer.errors import ArmConflict, ArmError, ArmForbidden, ArmRejected, ArmUnreachable, Stopped
from illumio_azsql_enforcer.journal import NullJournal
from illumio_azsql_enforcer.model.firewall import Desired, FirewallRule, Plan, Step, StepResult, StepStatus
from illumio_azsql_enforcer.model.journal import RunContext
from illumio_azsql_enforcer.model.settings import Mode
from illumio_azsql_enforcer.reconcile.apply import Applied, apply
from illumio_azsql_enforcer.reconcile.lanes import Lanes, ManyLanes
from tests.reconcile.target import DrawnLanes, Memory, Promises, a_deadline, ours, planned, wants
from tests.reconcile.test_apply import FullDisk, failing, statuses
from tests.reconcile.test_order import situations

ADDS = 20
LIVE = [ours(1000 + at * 10, 1004 + at * 10) for at in range(ADDS)]
POLICY = wants(*((2000 + at * 10, 2004 + at * 10) for at in range(ADDS)))


def carry_out(
    plan: Plan, memory: Memory, lanes: Lanes, *, max_rules: int = 256, journal: FullDisk | NullJournal | None = None
) -> Applied:
    memory.watch = Promises.of(plan, max_rules).check
    return apply(
        plan,
        plan.steps,
        writer=memory,
        reader=memory,
        journal=journal or NullJournal(),
        deadline=a_deadline(),
        stopping=lambda: False,
        context=RunContext("run"),
        lanes=lanes,
    )


@settings(max_examples=150, deadline=None)
@given(situation=situations(), dice=st.randoms(use_true_random=True), width=st.integers(2, 8))
def test_any_order_within_the_phases_keeps_the_promises(
    situation: tuple[list[FirewallRule], tuple[Desired, ...], Mode, int], dice: Random, width: int
) -> None:
    live, desired, mode, limit = situation
    plan = planned(live, desired, mode, max_rules=limit)
    memory = Memory.of(live, limit=max(limit, len(live)))
    applied = carry_out(plan, memory, DrawnLanes(dice, width), max_rules=limit)
    assert statuses(applied) == ["done"] * len(plan.steps)
    assert [result.step for result in applied.results] == list(plan.steps)
    again = planned(memory.now, desired, mode, max_rules=limit)
    assert again.steps == () or again.refusals


@settings(max_examples=150, deadline=None)
@given(situation=situations(), dice=st.randoms(use_true_random=True), width=st.integers(2, 8))
def test_whichever_writes_fail_or_lose_their_answer(
    situation: tuple[list[FirewallRule], tuple[Desired, ...], Mode, int], dice: Random, width: int
) -> None:
    live, desired, mode, limit = situation
    plan = planned(live, desired, mode, max_rules=limit)
    memory = Memory.of(live, limit=max(limit, len(live)))

    def fault(kind: str, name: str) -> ArmError | None:
        chance = dice.random()
        if chance < 0.2:
            raise ArmRejected("No.", status=400) if chance < 0.1 else ArmUnreachable("No answer.")
        return ArmUnreachable("No answer.") if chance < 0.4 else None

    memory.fault = fault
    applied = carry_out(plan, memory, DrawnLanes(dice, width), max_rules=limit)
    done = {result.step.name for result in applied.results if result.status is StepStatus.DONE}
    run = [result.step for result in applied.results if result.status is not StepStatus.NOT_RUN]
    assert all(step.needs <= done for step in run)


class Remembering:
    """A journal of names."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []

    def intent(self, context: RunContext, plan: Plan, step: Step) -> None:
        self.begun.append(step.name)

    def outcome(self, context: RunContext, plan: Plan, result: StepResult) -> None:
        self.ended.append(result.step.name)


class Together:
    """A fault that lets no write end before `number` of them are under way."""

    def __init__(self, number: int) -> None:
        self.most = 0
        self._at_once = 0
        self._guard = threading.Lock()
        self._gate = threading.Barrier(number)

    def __call__(self, _kind: str, _name: str) -> None:
        with self._guard:
            self._at_once += 1
            self.most = max(self.most, self._at_once)
        self._gate.wait(5.0)
        with self._guard:
            self._at_once -= 1


def test_a_phase_is_sent_side_by_side_and_no_wider() -> None:
    plan = planned([], POLICY)
    memory = Memory()
    memory.fault = together = Together(4)
    with ThreadPoolExecutor(16) as pool:
        applied = carry_out(plan, memory, ManyLanes(pool, 4))
    assert statuses(applied) == ["done"] * ADDS
    assert together.most == 4


def test_a_phase_begins_when_the_one_before_has_ended() -> None:
    plan, memory = planned(LIVE, wants((1000, 1200))), Memory.of(LIVE)
    assert [step.action for step in plan.steps] == ["add"] + ["delete"] * ADDS
    for seed in range(20):
        memory = Memory.of(LIVE)
        carry_out(plan, memory, DrawnLanes(Random(seed)))
        assert memory.log[0][0] == "put"


def test_a_failed_add_stops_the_deletes_that_need_it() -> None:
    plan, memory = planned(LIVE, wants((1000, 1200))), Memory.of(LIVE)
    memory.fault = failing(ArmUnreachable("No answer."), at=["put"])
    assert statuses(carry_out(plan, memory, DrawnLanes(Random(1)))) == ["failed"] + ["not_run"] * ADDS
    assert set(memory.now) == set(LIVE)


def test_what_ends_all_ends_what_is_not_under_way() -> None:
    plan, memory = planned([], POLICY), Memory()
    memory.fault = failing(ArmForbidden("No right.", status=403, code="AuthorizationFailed"), at=["put"])
    applied = carry_out(plan, memory, DrawnLanes(Random(1), 4))
    assert 1 <= len(memory.log) <= 4
    assert statuses(applied) == ["failed"] * len(memory.log) + ["not_run"] * (ADDS - len(memory.log))


def test_rules_are_read_again_only_while_nothing_is_under_way() -> None:
    plan, memory = planned([], POLICY), Memory()
    memory.fault = failing(ArmUnreachable("No answer."), at=["put"], after=True)
    lanes = DrawnLanes(Random(1))
    held_when_read: list[int] = []
    memory.reading = lambda: held_when_read.append(len(memory.log) - len(memory.now))
    applied = carry_out(plan, memory, lanes)
    assert statuses(applied) == ["done"] * ADDS
    assert len(held_when_read) == ADDS
    assert set(held_when_read) == {0}


def test_an_unknown_limit_is_learned() -> None:
    plan, memory = planned([], POLICY), Memory(limit=10)
    applied = carry_out(plan, memory, DrawnLanes(Random(3), 8))
    assert applied.learned_limit == 10
    assert statuses(applied).count("done") == 10
    assert len(memory.now) == 10
    assert len(memory.log) < 10 + 8  # of those beyond the limit, only the ones that were under way


def test_stopping_is_asked_before_each_step() -> None:
    plan, memory = planned([], POLICY), Memory()
    applied = apply(
        plan,
        plan.steps,
        writer=memory,
        reader=memory,
        journal=NullJournal(),
        deadline=a_deadline(),
        stopping=lambda: len(memory.log) >= 6,
        context=RunContext("run"),
        lanes=DrawnLanes(Random(2), 4),
    )
    assert len(memory.log) == 6
    assert sorted(statuses(applied)) == ["done"] * 6 + ["not_run"] * (ADDS - 6)


def test_a_step_that_waits_for_a_lane_is_not_sent_after_a_stop() -> None:
    plan, memory, stop, journal = planned([], POLICY), Memory(), threading.Event(), Remembering()

    def fault(_kind: str, _name: str) -> None:
        stop.set()

    memory.fault = fault
    with ThreadPoolExecutor(1) as pool:
        applied = apply(
            plan,
            plan.steps,
            writer=memory,
            reader=memory,
            journal=journal,
            deadline=a_deadline(),
            stopping=stop.is_set,
            context=RunContext("run"),
            lanes=ManyLanes(pool, 8),
        )
    assert statuses(applied) == ["done"] + ["not_run"] * (ADDS - 1)
    assert {result.error for result in applied.results[1:]} == {"asked to stop before this step"}
    assert journal.begun == journal.ended  # nothing looks as if its outcome were open


@pytest.mark.parametrize("error", [Stopped("Asked to stop."), ArmConflict("Busy.", status=409)])
def test_every_write_under_way_comes_to_its_end(error: Exception) -> None:
    plan, memory = planned([], POLICY), Memory()
    third = plan.steps[2].name

    def fault(_kind: str, name: str) -> None:
        if name == third:
            raise error

    memory.fault = fault
    applied = carry_out(plan, memory, DrawnLanes(Random(4), 4))
    results = {result.step.name: result.status for result in applied.results}
    written = {rule.name for rule in memory.now}
    assert {name for name, status in results.items() if status is StepStatus.DONE} == written
    assert results[third] is StepStatus.FAILED


@pytest.mark.parametrize("room", range(12))
def test_nothing_is_sent_that_the_journal_does_not_hold(room: int) -> None:
    plan, memory = planned([], POLICY), Memory()
    carry_out(plan, memory, DrawnLanes(Random(room), 4), journal=FullDisk(room))
    assert len(memory.log) <= room


def failing_defect(plan: Plan, at: Sequence[int]) -> Memory:
    names = {plan.steps[number].name for number in at}
    memory = Memory()

    def fault(_kind: str, name: str) -> None:
        if name in names:
            raise ZeroDivisionError

    memory.fault = fault
    return memory


def test_a_defect_in_a_lane_is_not_swallowed_and_leaves_nothing_under_way() -> None:
    plan = planned([], POLICY)
    with ThreadPoolExecutor(4) as pool:
        lanes = ManyLanes(pool, 4)
        memory = failing_defect(plan, [1])
        with pytest.raises(ZeroDivisionError):
            carry_out(plan, memory, lanes)
        sent = len(memory.log)
        pool.submit(int).result()
        assert len(memory.log) == sent <= 8
