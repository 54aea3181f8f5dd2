"""A server's firewall in memory that refuses what Azure refuses, fails on demand, and watches the promises."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from random import Random

from illumio_azsql_enforcer.addresses import Range, RangeSet
from illumio_azsql_enforcer.errors import ArmError, ArmRejected, RuleLimitReached, UnsafeName
from illumio_azsql_enforcer.model.firewall import (
    ALL_AZURE_SERVICES,
    Desired,
    FirewallRule,
    Neighbours,
    Plan,
    Server,
    Step,
)
from illumio_azsql_enforcer.model.names import is_safe_name
from illumio_azsql_enforcer.model.settings import EnforcementSettings, GuardSettings, Mode
from illumio_azsql_enforcer.reconcile.lanes import Ended, Trouble, Write
from illumio_azsql_enforcer.reconcile.plan import make_plan
from illumio_azsql_enforcer.retrying import Deadline
from tests.support.clock import VirtualClock

SERVER = Server("/subscriptions/s/resourceGroups/g/providers/Microsoft.Sql/servers/one", "one", "s", "g", "one.example")
NO_GUARDS = GuardSettings(max_revoked=1000, max_revoked_percent=100, never_empty=False, widest_range=0)


def rule(name: str, first: int, last: int) -> FirewallRule:
    """A rule of two small addresses."""
    return FirewallRule(name, Range(first, last))


def ours(first: int, last: int, suffix: str = "") -> FirewallRule:
    """A rule of ours whose name tells its range."""
    held = Range(first, last)
    return FirewallRule(f"illumio-{held.start}-{held.end}{suffix}", held)


def named(first: int, last: int, *, holds: tuple[int, int], suffix: str = "") -> FirewallRule:
    """A rule of ours that somebody edited: its name tells another range."""
    return FirewallRule(ours(first, last, suffix).name, Range(*holds))


def wants(*ranges: tuple[int, int]) -> tuple[Desired, ...]:
    """Desired ranges without sources."""
    return tuple(Desired(Range(*one), ()) for one in ranges)


def settings(mode: Mode = Mode.SYNC, **changed: object) -> EnforcementSettings:
    """Settings with guards that refuse nothing."""
    return EnforcementSettings(**{"mode": mode, "guards": NO_GUARDS, **changed})  # type: ignore[arg-type]


def planned(
    live: Iterable[FirewallRule],
    desired: Sequence[Desired],
    mode: Mode = Mode.SYNC,
    *,
    max_rules: int = 256,
    **changed: object,
) -> Plan:
    """A plan for SERVER."""
    held = tuple(live)
    return make_plan(SERVER, held, desired, mode=mode, settings=settings(mode, **changed), max_rules=max_rules)


def admitted(rules: Iterable[FirewallRule]) -> RangeSet:
    """Addresses that rules admit."""
    return RangeSet(one.range for one in rules if one.range != ALL_AZURE_SERVICES)


@dataclass
class Memory:
    """Reads and writes rules; `fault` is asked before each write and may raise, or return a raise for after it."""

    limit: int = 256
    strict_updates: bool = False  # at the limit not even a known rule takes a new range
    rules_held: dict[str, FirewallRule] = field(default_factory=dict)
    fault: Callable[[str, str], ArmError | None] = lambda _kind, _name: None
    reading: Callable[[], None] = lambda: None
    watch: Callable[[Sequence[FirewallRule]], None] = lambda _: None
    log: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def of(cls, rules: Iterable[FirewallRule], **changed: object) -> "Memory":
        return cls(rules_held={one.name.casefold(): one for one in rules}, **changed)  # type: ignore[arg-type]

    @property
    def now(self) -> tuple[FirewallRule, ...]:
        return tuple(self.rules_held.values())

    def rules(self, server: Server, deadline: Deadline) -> tuple[FirewallRule, ...]:
        self.reading()
        return self.now

    def neighbours(self, server: Server, deadline: Deadline) -> Neighbours:
        return Neighbours()

    def put(self, server: Server, rule: FirewallRule, deadline: Deadline) -> None:
        after = self._before("put", rule.name)
        known = rule.name.casefold() in self.rules_held
        if len(self.rules_held) >= self.limit and (self.strict_updates or not known):
            raise RuleLimitReached("the limit is reached.", status=400, code="TooManyFirewallRules")
        self.rules_held[rule.name.casefold()] = rule
        self._after(after)

    def delete(self, server: Server, name: str, deadline: Deadline) -> None:
        after = self._before("delete", name)
        self.rules_held.pop(name.casefold(), None)
        self._after(after)

    def _before(self, kind: str, name: str) -> ArmError | None:
        if not is_safe_name(name):
            raise UnsafeName(f"{name!r} is not safe.")
        if len(name) > 128:
            raise ArmRejected("too long.", status=400, code="FirewallRuleNameTooLong")
        self.log.append((kind, name))
        return self.fault(kind, name)

    def _after(self, error: ArmError | None) -> None:
        self.watch(self.now)
        if error:
            raise error


@dataclass
class Promises:
    """What must hold after every accepted write on the way from one rule set to another."""

    old: RangeSet
    new: RangeSet
    most: int  # rules, ever
    limit: int  # rules, after an add
    gap: RangeSet = field(default_factory=RangeSet)

    @classmethod
    def of(cls, plan: Plan, max_rules: int) -> "Promises":
        before = [one.rule for one in plan.live]
        after = final_rules(before, plan.steps)
        most = max(max_rules, len(before))
        return cls(admitted(before), admitted(after), most, max_rules, RangeSet(plan.gap))

    def check(self, rules: Sequence[FirewallRule]) -> None:
        """Raises AssertionError, naming the promise."""
        present = admitted(rules)
        assert present <= self.old | self.new, f"admits what nobody wants: {present - (self.old | self.new)}"
        dropped = (self.old & self.new) - present - self.gap
        assert not dropped, f"drops what both admit: {dropped}"
        assert len(rules) <= self.most, f"{len(rules)} rules, {self.most} allowed"


def after_step(rules: Iterable[FirewallRule], step: Step) -> list[FirewallRule]:
    """The rules after one step, which must be possible."""
    held = {one.name.casefold(): one for one in rules}
    key = step.name.casefold()
    assert (key in held) == (step.action != "add"), f"{step.action} {step.name}"
    assert step.range != ALL_AZURE_SERVICES or step.action == "delete"
    if step.action == "delete":
        assert held.pop(key).range == step.range
    else:
        held[key] = FirewallRule(held[key].name if key in held else step.name, step.range)
    return list(held.values())


def final_rules(rules: Iterable[FirewallRule], steps: Iterable[Step]) -> list[FirewallRule]:
    """The rules after all steps."""
    held = list(rules)
    for step in steps:
        held = after_step(held, step)
    return held


@dataclass
class DrawnLanes:
    """Writes side by side that take effect, and end, in whatever order the dice say."""

    dice: Random
    width: int = 8
    _waiting: list[tuple[int, Write, Future[Trouble | None]]] = field(default_factory=list)
    _carried_out: list[Ended] = field(default_factory=list)

    def start(self, number: int, write: Write) -> None:
        self._waiting.append((number, write, Future()))
        assert len(self._waiting) + len(self._carried_out) <= self.width
        while self._waiting and self.dice.random() < 0.4:
            self._carry_one_out()

    def finished(self) -> Ended:
        while not self._carried_out or (self._waiting and self.dice.random() < 0.4):
            self._carry_one_out()
        return self._carried_out.pop(self.dice.randrange(len(self._carried_out)))

    def _carry_one_out(self) -> None:
        number, write, done = self._waiting.pop(self.dice.randrange(len(self._waiting)))
        try:
            done.set_result(write())
        except Exception as defect:  # noqa: BLE001 - as a pool does
            done.set_exception(defect)
        self._carried_out.append((number, done))


def a_deadline(seconds: float = 300.0) -> Deadline:
    """Virtual time."""
    return Deadline.after(VirtualClock(), seconds)
