"""Carries a plan out, phase by phase, and knows of each step how it ended.

The steps of a phase are safe in any order, so several are sent side by side where there are lanes for it; the next
phase begins when all of them have ended. Nothing is tried again here: throttling and hiccups are retried below, by the
writer, within the deadline. A write whose answer was lost is settled by reading the rules again, while nothing else is
under way.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import groupby

from illumio_azsql_enforcer.addresses import Range, RangeSet
from illumio_azsql_enforcer.errors import (
    ArmConflict,
    ArmError,
    ArmForbidden,
    ArmNotFound,
    ArmRejected,
    ArmThrottled,
    ArmUnauthenticated,
    PublicAccessDisabled,
    RuleLimitReached,
    StateUnwritable,
    Stopped,
    UnsafeName,
)
from illumio_azsql_enforcer.model.firewall import (
    Action,
    FirewallRule,
    Plan,
    RuleReader,
    RuleWriter,
    Step,
    StepResult,
    StepStatus,
)
from illumio_azsql_enforcer.model.journal import RunContext, StepJournal
from illumio_azsql_enforcer.model.names import folded
from illumio_azsql_enforcer.reconcile.change import cover_of
from illumio_azsql_enforcer.reconcile.lanes import Lanes, OneLane, Trouble
from illumio_azsql_enforcer.retrying import Deadline
from illumio_azsql_enforcer.text import sentence

_LOCKED = "ScopeLocked"
_BARRED = frozenset({"ReadOnlyDisabledSubscription", "MissingSubscriptionRegistration"})
_BY_POLICY = "RequestDisallowedByPolicy"
_STOPPED = "asked to stop before this step"


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of each step, in their order."""

    results: tuple[StepResult, ...]
    learned_limit: int | None = None  # rules that the server held when Azure said that it can hold no more
    gap: tuple[Range, ...] = ()  # wanted addresses dropped for a moment beyond `plan.gap`, to get past the rule limit


def apply(  # noqa: PLR0913 - everything outside comes in as an argument
    plan: Plan,
    steps: Sequence[Step],
    *,
    writer: RuleWriter,
    reader: RuleReader,
    journal: StepJournal,
    deadline: Deadline,
    stopping: Callable[[], bool],
    context: RunContext,
    lanes: Lanes | None = None,
) -> Applied:
    """Carry out `steps` (of `plan`, in its order), those of one phase side by side as far as `lanes` go.

    A step whose `needs` were not done is not run, and none is once the server is gone, forbidden, throttled or out of
    reach. `stopping` is asked before each step, from several threads. Raises nothing that the outside world can cause.
    """
    run = _Run(plan, writer, reader, deadline)
    crew = _Crew(run, lanes or OneLane(), journal, context, stopping)
    numbered = list(enumerate(steps))
    for _, phase in groupby(numbered, key=lambda one: one[1].phase):
        crew.carry_out(phase)
    results = tuple(crew.results[number] for number, _ in numbered)
    return Applied(results, run.learned_limit, tuple(RangeSet(run.gap)))


@dataclass
class _Crew:
    """Sends steps, several at once, and writes down how each ended. All but the sending is done by one thread."""

    run: "_Run"
    lanes: Lanes
    journal: StepJournal
    context: RunContext
    stopping: Callable[[], bool]
    results: dict[int, StepResult] = field(default_factory=dict)
    under_way: dict[int, Step] = field(default_factory=dict)
    troubles: dict[int, tuple[Step, Trouble]] = field(default_factory=dict)  # ended, and are still to be settled

    def carry_out(self, phase: Iterable[tuple[int, Step]]) -> None:
        """Returns when every step of the phase has ended."""
        try:
            for number, step in phase:
                self._make_room()
                self._begin(number, step)
            self._await_all()
        finally:
            while self.under_way:  # only after a defect: what is under way comes to its end, and nothing more is sent
                self._ended()

    def _make_room(self) -> None:
        while len(self.under_way) >= self.lanes.width:
            self._await_one()
        if self.troubles:
            self._await_all()

    def _begin(self, number: int, step: Step) -> None:
        obstacle = _STOPPED if self.stopping() else self.run.obstacle(step)
        if obstacle:
            self.results[number] = StepResult(step, StepStatus.NOT_RUN, obstacle)
            return
        try:  # nothing is written that is not in the journal first
            self.journal.intent(self.context, self.run.plan, step)
        except StateUnwritable as error:
            self.run.halt = str(error)
            self.results[number] = StepResult(step, StepStatus.FAILED, f"not sent: {error}")
            return
        self.under_way[number] = step
        self.lanes.start(number, lambda: self._send(step))

    def _send(self, step: Step) -> Trouble | None:
        """In a lane, where the step may have waited for its turn until it is too late."""
        return _NotBegun(_STOPPED) if self.stopping() else self.run.send(step, _wanted(step))

    def _await_all(self) -> None:
        """Until nothing is under way; only then it is settled what is not plainly done."""
        while self.under_way:
            self._await_one()
        for number, (step, trouble) in sorted(self.troubles.items()):
            self._note(number, self.run.conclude(step, trouble))
        self.troubles.clear()

    def _await_one(self) -> None:
        number, step, done = self._ended()
        trouble = done.result()
        if trouble is None:
            self._note(number, self.run.conclude(step, None))
        elif isinstance(trouble, _NotBegun):
            self._note(number, StepResult(step, StepStatus.NOT_RUN, str(trouble)))
        else:
            self.troubles[number] = (step, trouble)

    def _ended(self) -> tuple[int, Step, Future[Trouble | None]]:
        number, done = self.lanes.finished()
        return number, self.under_way.pop(number), done

    def _note(self, number: int, result: StepResult) -> None:
        self.results[number] = result
        try:
            self.journal.outcome(self.context, self.run.plan, result)
        except StateUnwritable as error:
            self.run.halt = str(error)
            told = f"{sentence(result.error or 'done')} {error}"
            self.results[number] = StepResult(result.step, result.status, told)


def _wanted(step: Step) -> Range | None:
    """What the rule is to hold; None: it is to be gone."""
    return None if step.action is Action.DELETE else step.range


class _NotBegun(Stopped):
    """The step was not sent; `str()` says why."""


class _Refused(Exception):
    """The step did not take effect; `str()` is the sentence for the operator."""


@dataclass
class _Run:
    """One server while its steps are carried out."""

    plan: Plan
    writer: RuleWriter
    reader: RuleReader
    deadline: Deadline
    held: dict[str, FirewallRule] = field(default_factory=dict)  # folded name -> rule, as far as is known
    done: set[str] = field(default_factory=set)
    halt: str | None = None  # why nothing more is sent
    closed: dict[Action, str] = field(default_factory=dict)  # why no more of this kind is sent
    learned_limit: int | None = None
    gap: list[Range] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.held = {folded(one.rule.name): one.rule for one in self.plan.live}

    def obstacle(self, step: Step) -> str | None:
        """Why the step is not even tried, or None."""
        if self.halt:
            return self.halt
        if self.deadline.remaining <= 0:
            return "the time for this server in this cycle was used up before this step"
        if step.action in self.closed:
            return self.closed[step.action]
        missing = sorted(step.needs - self.done)
        if missing:
            return f"relies on a step that was not done: {missing[0]}"
        if step.action is Action.ADD and self.learned_limit is not None and len(self.held) >= self.learned_limit:
            return f"the server holds {len(self.held)} rules and takes no more"
        return None

    def send(self, step: Step, wanted: Range | None) -> Trouble | None:
        """Write, and return what went wrong. Several threads may be in here at once."""
        try:
            if wanted is None:
                self.writer.delete(self.plan.server, step.name, self.deadline)
            else:
                self.writer.put(self.plan.server, FirewallRule(step.name, wanted), self.deadline)
        except (ArmError, UnsafeName, Stopped) as trouble:
            return trouble
        return None

    def conclude(self, step: Step, trouble: Trouble | None) -> StepResult:
        """How a step that was sent ended."""
        try:
            if isinstance(trouble, RuleLimitReached) and step.action is not Action.DELETE:
                self._at_the_limit(step, trouble)
            else:
                self._take(step, _wanted(step), trouble)
        except _Refused as refused:
            return StepResult(step, StepStatus.FAILED, str(refused))
        except Stopped:
            self.halt = _STOPPED
            return StepResult(step, StepStatus.FAILED, "asked to stop while waiting to try again; the outcome is open")
        self.done.add(step.name)
        return StepResult(step, StepStatus.DONE)

    def _take(self, step: Step, wanted: Range | None, trouble: Trouble | None) -> None:
        """Keep in mind what the rule holds now, which may have to be looked up. Raises _Refused, Stopped."""
        if isinstance(trouble, Stopped):
            raise trouble
        if trouble is not None:
            self._settle(step, wanted, trouble)
        if wanted is None:
            self.held.pop(folded(step.name), None)
        else:
            self.held[folded(step.name)] = FirewallRule(step.name, wanted)

    def _at_the_limit(self, step: Step, error: RuleLimitReached) -> None:
        """Azure holds fewer rules than we thought; some servers then do not even take a new range for an old rule."""
        self._read_again()
        limit = len(self.held)
        self.learned_limit = limit if self.learned_limit is None else min(limit, self.learned_limit)
        if step.action is Action.ADD:
            raise _Refused(f"the server holds {limit} rules and takes no more: {error}") from error
        self._delete_then_add(step)

    def _delete_then_add(self, step: Step) -> None:
        self._take(step, None, self.send(step, None))
        self.gap += self._dropped(step)
        try:
            self._take(step, step.range, self.send(step, step.range))
        except _Refused as error:
            text = f"the rule was deleted to make room, and could not be put back with its new range: {error}"
            raise _Refused(text) from error

    def _dropped(self, step: Step) -> RangeSet:
        """What the deleted rule admitted, the policy wants, and no other rule admits now."""
        wanted = RangeSet(one.range for one in self.plan.desired)
        return (cover_of([step.previous or step.range]) & wanted) - cover_of(r.range for r in self.held.values())

    # --- how a failure is read

    def _settle(self, step: Step, wanted: Range | None, error: ArmError | UnsafeName) -> None:
        """Return when the step took effect all the same; else raise _Refused, and note what that means for the rest."""
        if _without_effect(error):
            self._learn(step, error)
            raise _Refused(str(error)) from error
        if not self._read_again():
            self.halt = "Azure could not be reached while an earlier step was settled"
            raise _Refused(f"{error} Whether it took effect could not be read.") from error
        held = self.held.get(folded(step.name))
        if (held and held.range) != wanted:
            raise _Refused(f"{error} The rules were read again: it did not take effect.") from error

    def _learn(self, step: Step, error: ArmError | UnsafeName) -> None:
        if isinstance(error, PublicAccessDisabled):
            kinds = (Action.DELETE,) if step.action is Action.DELETE else (Action.ADD, Action.UPDATE)
            self.closed |= dict.fromkeys(kinds, f"not tried: {error}")
        elif _ends_all(error):
            self.halt = f"not tried: {error}"

    def _read_again(self) -> bool:
        try:
            rules = self.reader.rules(self.plan.server, self.deadline)
        except ArmError:
            return False
        self.held = {folded(rule.name): rule for rule in rules}
        return True


def _without_effect(error: ArmError | UnsafeName) -> bool:
    """Whether the answer says that nothing was written; everything else has to be looked up."""
    if isinstance(error, ArmConflict):
        return error.code == _LOCKED or error.code in _BARRED
    refusals = (UnsafeName, ArmRejected, ArmForbidden, ArmNotFound, ArmThrottled, ArmUnauthenticated)
    return isinstance(error, refusals)


def _ends_all(error: ArmError | UnsafeName) -> bool:
    """Whether every other step of this server would end the same way."""
    if isinstance(error, ArmForbidden):
        return error.code != _BY_POLICY  # Azure Policy judges each rule by itself
    if isinstance(error, ArmConflict):
        return error.code in _BARRED
    return isinstance(error, ArmNotFound | ArmThrottled | ArmUnauthenticated)
