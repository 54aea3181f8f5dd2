"""A life of a server: policy and hand edits, crashes, lost answers, throttles. The promises hold after each write."""

from dataclasses import replace
from random import Random

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from illumio_azsql_enforcer.addresses import Range, RangeSet
from illumio_azsql_enforcer.errors import ArmConflict, ArmError, ArmThrottled, ArmUnavailable, ArmUnreachable
from illumio_azsql_enforcer.journal import NullJournal
from illumio_azsql_enforcer.model.firewall import Desired, FirewallRule, Plan, StepStatus
from illumio_azsql_enforcer.model.journal import RunContext
from illumio_azsql_enforcer.model.settings import Mode
from illumio_azsql_enforcer.reconcile.apply import Applied, apply
from illumio_azsql_enforcer.reconcile.guards import permitted
from tests.reconcile.target import DrawnLanes, Memory, Promises, a_deadline, ours, planned


class Crash(Exception):
    """The process is gone."""


FAULTS: dict[str, Exception] = {
    "lost": ArmUnreachable("No answer."),
    "throttled": ArmThrottled("Too many.", status=429),
    "unavailable": ArmUnavailable("503.", status=503),
    "locked": ArmConflict("Locked.", status=409, code="ScopeLocked"),
    "crash": Crash(),
}
EFFECTLESS = {"throttled", "locked"}

spans = st.tuples(st.integers(1, 40), st.integers(0, 9)).map(lambda at: Range(at[0], at[0] + at[1]))
faults = st.lists(st.none() | st.tuples(st.sampled_from(sorted(FAULTS)), st.booleans()), max_size=8)


def policy_of(ranges: list[Range]) -> tuple[Desired, ...]:
    """Disjoint ranges, the earlier ones first."""
    chosen: list[Range] = []
    for one in ranges:
        chosen += list(RangeSet([one]) - RangeSet(chosen))
    return tuple(Desired(one, ()) for one in sorted(chosen))


class ServerLife(RuleBasedStateMachine):
    """One server, its operators, and the program."""

    @initialize(
        mode=st.sampled_from([Mode.SYNC, Mode.AUTHORITATIVE]), limit=st.integers(3, 9), believed=st.integers(0, 2)
    )
    def begin(self, mode: Mode, limit: int, believed: int) -> None:
        self.mode = mode
        self.memory = Memory(limit=limit)
        self.max_rules = limit + believed
        self.policy: tuple[Desired, ...] = ()

    # --- what people do

    @rule(ranges=st.lists(spans, max_size=7))
    def edit_policy(self, ranges: list[Range]) -> None:
        self.policy = policy_of(ranges)

    @rule(at=spans, name=st.sampled_from(["office", "lab", "illumio-vpn"]))
    def add_a_foreign_rule(self, at: Range, name: str) -> None:
        self._by_hand(FirewallRule(name, at))

    @rule(at=spans)
    def add_a_rule_with_a_name_of_ours(self, at: Range) -> None:
        self._by_hand(ours(at.first, at.last))

    @rule(dice=st.randoms(use_true_random=False), at=spans)
    @precondition(lambda self: self.memory.now)
    def edit_a_rule(self, dice: st.DataObject, at: Range) -> None:
        chosen = dice.choice(sorted(self.memory.rules_held))  # type: ignore[attr-defined]
        self._by_hand(replace(self.memory.rules_held[chosen], range=at))

    @rule(dice=st.randoms(use_true_random=False))
    @precondition(lambda self: self.memory.now)
    def delete_a_rule(self, dice: st.DataObject) -> None:
        del self.memory.rules_held[dice.choice(sorted(self.memory.rules_held))]  # type: ignore[attr-defined]

    def _by_hand(self, changed: FirewallRule) -> None:
        key = changed.name.casefold()
        if key in self.memory.rules_held or len(self.memory.rules_held) < self.memory.limit:
            self.memory.rules_held[key] = changed

    # --- what the program does

    @rule(faults=faults, dice=st.randoms(use_true_random=True), width=st.integers(1, 8))
    def a_cycle_with_faults(self, faults: list[tuple[str, bool] | None], dice: Random, width: int) -> None:
        pending = list(faults)

        def fault(kind: str, name: str) -> ArmError | None:
            now = pending.pop(0) if pending else None
            if now is None:
                return None
            error = FAULTS[now[0]]
            if now[1] and now[0] not in EFFECTLESS:
                return error  # type: ignore[return-value]
            raise error

        self.memory.fault = fault
        try:
            self._cycle(DrawnLanes(dice, width))
        except Crash:
            pass
        finally:
            self.memory.fault = lambda kind, name: None

    @rule(dice=st.randoms(use_true_random=True), width=st.integers(1, 8))
    def cycles_without_faults_converge(self, dice: Random, width: int) -> None:
        for _ in range(3):  # two may be needed to learn the limit
            plan, applied = self._cycle(DrawnLanes(dice, width))
            if not plan.steps:
                return
            if plan.refusals:
                assert [refusal.guard for refusal in plan.refusals] == ["max_rules"]
                assert all(result.status is StepStatus.DONE for result in applied.results)
                return
            assert applied.learned_limit or all(result.status is StepStatus.DONE for result in applied.results)
        assert not self._plan().steps

    def _plan(self) -> Plan:
        return planned(self.memory.now, self.policy, self.mode, max_rules=self.max_rules)

    def _cycle(self, lanes: DrawnLanes) -> tuple[Plan, Applied]:
        plan = self._plan()
        self.memory.watch = Promises.of(plan, self.max_rules).check
        steps = permitted(plan, frozenset())
        applied = apply(
            plan,
            steps,
            writer=self.memory,
            reader=self.memory,
            journal=NullJournal(),
            deadline=a_deadline(),
            stopping=lambda: False,
            context=RunContext("run"),
            lanes=lanes,
        )
        if applied.learned_limit is not None:
            self.max_rules = min(self.max_rules, applied.learned_limit)
        return plan, applied

    @invariant()
    def the_limit_holds(self) -> None:
        if hasattr(self, "memory"):
            assert len(self.memory.now) <= self.memory.limit


TestServerLife = ServerLife.TestCase
TestServerLife.settings = hypothesis_settings(max_examples=120, stateful_step_count=25, deadline=None)
