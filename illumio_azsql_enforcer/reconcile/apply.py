"""Carries a plan out, step by step, and knows of each step how it ended.

Nothing is tried again here: throttling and hiccups are retried below, by the writer, within the deadline. A write whose
answer was lost is settled by reading the rules again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

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
from illumio_azsql_enforcer.reconcile.change import cover_of
from illumio_azsql_enforcer.reconcile.ownership import folded
from illumio_azsql_enforcer.retrying import Deadline

_LOCKED = "ScopeLocked"
_BARRED = frozenset({"ReadOnlyDisabledSubscription", "MissingSubscriptionRegistration"})
_BY_POLICY = "RequestDisallowedByPolicy"


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
) -> Applied:
    """Carry out `steps` (of `plan`, in its order) one after the other.

    A step whose `needs` were not done is not run, and none is once the server is gone, forbidden, throttled or out of
    reach. `stopping` is asked before each step. Raises nothing that the outside world can cause.
    """
    run = _Run(plan, writer, reader, deadline)
    results: list[StepResult] = []
    for step in steps:
        obstacle = "asked to stop before this step" if stopping() else run.obstacle(step)
        if obstacle:
            results.append(StepResult(step, StepStatus.NOT_RUN, obstacle))
        else:
            results.append(_journalled(run, step, journal, context))
    return Applied(tuple(results), run.learned_limit, tuple(RangeSet(run.gap)))


def _journalled(run: "_Run", step: Step, journal: StepJournal, context: RunContext) -> StepResult:
    """Nothing is written that is not in the journal first."""
    try:
        journal.intent(context, run.plan, step)
    except StateUnwritable as error:
        run.halt = str(error)
        return StepResult(step, StepStatus.FAILED, f"not sent: {error}")
    result = run.carry_out(step)
    try:
        journal.outcome(context, run.plan, result)
    except StateUnwritable as error:
        run.halt = str(error)
        return StepResult(step, result.status, f"{result.error or 'done'}; {error}")
    return result


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

    def carry_out(self, step: Step) -> StepResult:
        """Do it, and say how it ended."""
        try:
            self._send(step)
        except _Refused as refused:
            return StepResult(step, StepStatus.FAILED, str(refused))
        except Stopped:
            self.halt = "asked to stop before this step"
            return StepResult(step, StepStatus.FAILED, "asked to stop while waiting to try again; the outcome is open")
        self.done.add(step.name)
        return StepResult(step, StepStatus.DONE)

    def _send(self, step: Step) -> None:
        if step.action is Action.DELETE:
            self._delete(step)
            return
        try:
            self._put(step)
        except RuleLimitReached as error:
            self._at_the_limit(step, error)

    def _put(self, step: Step) -> None:
        rule = FirewallRule(step.name, step.range)
        try:
            self.writer.put(self.plan.server, rule, self.deadline)
        except RuleLimitReached:
            raise
        except (ArmError, UnsafeName) as error:
            self._settle(step, error, lambda held: held is not None and held.range == step.range)
        self.held[folded(step.name)] = rule

    def _delete(self, step: Step) -> None:
        try:
            self.writer.delete(self.plan.server, step.name, self.deadline)
        except (ArmError, UnsafeName) as error:
            self._settle(step, error, lambda held: held is None)
        self.held.pop(folded(step.name), None)

    def _at_the_limit(self, step: Step, error: RuleLimitReached) -> None:
        """Azure holds fewer rules than we thought; some servers then do not even take a new range for an old rule."""
        self._read_again()
        limit = len(self.held)
        self.learned_limit = limit if self.learned_limit is None else min(limit, self.learned_limit)
        if step.action is Action.ADD:
            raise _Refused(f"the server holds {limit} rules and takes no more: {error}") from error
        self._delete_then_add(step)

    def _delete_then_add(self, step: Step) -> None:
        self._delete(step)
        self.gap += self._dropped(step)
        try:
            self._put(step)
        except (RuleLimitReached, _Refused) as error:
            text = f"the rule was deleted to make room, and could not be put back with its new range: {error}"
            raise _Refused(text) from error

    def _dropped(self, step: Step) -> RangeSet:
        """What the deleted rule admitted, the policy wants, and no other rule admits now."""
        wanted = RangeSet(one.range for one in self.plan.desired)
        return (cover_of([step.previous or step.range]) & wanted) - cover_of(r.range for r in self.held.values())

    # --- how a failure is read

    def _settle(
        self, step: Step, error: ArmError | UnsafeName, as_wanted: Callable[[FirewallRule | None], bool]
    ) -> None:
        """Return when the step took effect all the same; else raise _Refused, and note what that means for the rest."""
        if _without_effect(error):
            self._learn(step, error)
            raise _Refused(str(error)) from error
        if not self._read_again():
            self.halt = "Azure could not be reached while an earlier step was settled"
            raise _Refused(f"{error} Whether it took effect could not be read") from error
        if not as_wanted(self.held.get(folded(step.name))):
            raise _Refused(f"{error} The rules were read again: it did not take effect") from error

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
