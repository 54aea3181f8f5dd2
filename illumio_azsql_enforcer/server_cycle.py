"""One server's part of a cycle: read its firewall, plan, carry out what is permitted, tell."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from illumio_azsql_enforcer.clock import Clock
from illumio_azsql_enforcer.errors import ArmError, Stopped
from illumio_azsql_enforcer.model.firewall import (
    Action,
    Desired,
    FirewallRule,
    Governed,
    Neighbours,
    Note,
    NoteCode,
    Plan,
    PublicAccess,
    RuleReader,
    RuleWriter,
    Server,
    Step,
    StepResult,
    StepStatus,
    Translation,
    Ungoverned,
)
from illumio_azsql_enforcer.model.journal import RunContext, StepJournal
from illumio_azsql_enforcer.model.settings import Config, Mode
from illumio_azsql_enforcer.reconcile.apply import apply
from illumio_azsql_enforcer.reconcile.drift import Firewall, drift, left_behind
from illumio_azsql_enforcer.reconcile.guards import permitted, standing
from illumio_azsql_enforcer.reconcile.lanes import Lanes
from illumio_azsql_enforcer.reconcile.ownership import ownership_of
from illumio_azsql_enforcer.reconcile.plan import make_plan, noted_gap
from illumio_azsql_enforcer.reconcile.verdict import judge, not_editable
from illumio_azsql_enforcer.report import Outcome, ServerReport
from illumio_azsql_enforcer.retrying import Deadline
from illumio_azsql_enforcer.text import plural

INERT = Note(
    NoteCode.PUBLIC_NETWORK_DISABLED,
    1,
    "public network access is disabled: no firewall rule has an effect until it is on",
)


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says about a cycle."""

    dry_run: bool = False
    watch: bool = False  # read only what changed since the last cycle
    only: tuple[str, ...] = ()  # shell patterns of server names; empty: all
    accepted: frozenset[str] = frozenset()  # plan ids that may pass the guards
    accept_command: str = "illumio-azsql-enforcer --once --accept {plan_id}"


@dataclass(slots=True)
class Memory:
    """What is remembered from one cycle to the next; losing it costs requests, never correctness."""

    limits: dict[str, int] = field(default_factory=dict)  # server id -> rule limit that Azure taught us
    neighbours: dict[str, tuple[float, Neighbours]] = field(default_factory=dict)  # server id -> when read, what
    left: dict[str, Firewall] = field(default_factory=dict)  # server id -> its firewall after the last cycle
    plans: dict[str, "_Planned"] = field(default_factory=dict)  # server id -> the last plan, and what it was made of

    def forget_plans(self) -> None:
        """The policy or the servers are others now: what is kept would only hold on to the old ones."""
        self.plans.clear()

    def keep(self, server_ids: set[str]) -> None:
        """Forget all servers but these: the others are gone."""
        for remembered in (self.limits, self.neighbours, self.left, self.plans):
            for gone in remembered.keys() - server_ids:
                del remembered[gone]


@dataclass(frozen=True, slots=True)
class _Planned:
    """A plan, and what it was made of beside the config."""

    server: Server
    rules: tuple[FirewallRule, ...]
    desired: tuple[Desired, ...]
    limit: int
    plan: Plan

    def is_for(self, server: Server, rules: tuple[FirewallRule, ...], desired: tuple[Desired, ...], limit: int) -> bool:
        """Whether the same plan would be made again; rules and ranges are compared by identity, which is enough."""
        same = self.rules is rules and self.desired is desired
        return same and self.limit == limit and self.server == server


@dataclass(frozen=True, slots=True)
class ServerCycle:
    """Works on one server after the other, or on several at once: it keeps no state but `memory`."""

    config: Config
    options: Options
    context: RunContext
    translate: Callable[[Governed], Translation]  # raises PolicyUnresolvable
    reader: RuleReader
    writer: RuleWriter | None  # None in a dry run: there is no object that could write
    lanes: Callable[[], Lanes]  # for the writes of one server
    journal: StepJournal
    memory: Memory
    clock: Clock
    stopping: Callable[[], bool]

    def one(self, candidate: Governed | Ungoverned) -> ServerReport:
        """The candidate's report. Raises ArmError, PolicyUnresolvable, Stopped, StateUnwritable."""
        if self.stopping():
            raise Stopped("Not looked at: the program was asked to stop.")
        return self._govern(candidate) if isinstance(candidate, Governed) else self._leave_alone(candidate)

    def failed(self, server: Server, reason: str) -> ServerReport:
        """A server about which nothing more can be told in this cycle; its firewall stays as it is."""
        return ServerReport(server, Outcome.FAILED, mode_of(self.config, server), reason)

    def _govern(self, governed: Governed) -> ServerReport:
        """Brings a governed server in line, as far as its mode and the guards permit."""
        translation = self.translate(governed)
        deadline = Deadline.after(self.clock, self.config.azure.deadline)
        plan, again = self._plan(governed.server, translation, deadline)
        results, gap = self._carry_out(plan, deadline)
        quiet = again and not plan.steps  # the same firewall as in the last cycle, and nothing was to be done to it
        drifted = () if quiet else self._drift(plan, results)
        outcome, reason = judge(plan, results, self.options.accepted)
        return ServerReport(
            server=governed.server,
            outcome=outcome,
            mode=plan.mode,
            reason=self._with_way_out(plan, outcome, reason),
            labels=governed.labels,
            labels_from=governed.labels_from,
            plan_id=plan.id,
            guards=tuple(refusal.guard for refusal in standing(plan, self.options.accepted)),
            max_rules=self._limit(governed.server),
            desired=plan.desired,
            live=plan.live,
            steps=results,
            notes=(*drifted, *translation.notes, *plan.notes, *gap, *self._surroundings(governed.server, deadline)),
        )

    def _leave_alone(self, ungoverned: Ungoverned) -> ServerReport:
        """A server without labels is skipped, unless it still holds rules of ours: then somebody must decide."""
        server = ungoverned.server
        if ungoverned.failed:
            return self.failed(server, ungoverned.reason)
        rules = self.reader.rules(server, Deadline.after(self.clock, self.config.azure.deadline))
        if left := abandoned(ungoverned, rules, self.config):
            return self.failed(server, left)
        return ServerReport(server, Outcome.SKIPPED, mode_of(self.config, server), ungoverned.reason)

    def _plan(self, server: Server, translation: Translation, deadline: Deadline) -> tuple[Plan, bool]:
        """The plan, and whether it is the last one: a plan is a value, and made of the same it is the same."""
        rules, desired, limit = self.reader.rules(server, deadline), translation.desired, self._limit(server)
        known = self.memory.plans.get(server.id)
        if known is not None and known.is_for(server, rules, desired, limit):
            return known.plan, True
        mode = mode_of(self.config, server)
        plan = make_plan(server, rules, desired, mode=mode, settings=self.config.enforcement, max_rules=limit)
        self.memory.plans[server.id] = _Planned(server, rules, desired, limit, plan)
        return plan, False

    def _drift(self, plan: Plan, results: Sequence[StepResult]) -> tuple[Note, ...]:
        """What differs from the firewall that the last cycle left behind; and remember what this one leaves."""
        before = self.memory.left.pop(plan.server.id, None)
        after = left_behind(plan.live, results)
        if after is not None:
            self.memory.left[plan.server.id] = after
        return () if before is None else drift(before, plan.live)

    def _limit(self, server: Server) -> int:
        """How many rules the server can hold: as configured, or fewer where Azure taught us."""
        most = self.config.enforcement.max_rules
        return min(most, self.memory.limits.get(server.id, most))

    def _carry_out(self, plan: Plan, deadline: Deadline) -> tuple[tuple[StepResult, ...], tuple[Note, ...]]:
        """What became of each step, and the addresses that were dropped for a moment against the plan."""
        if self.writer is None:
            return _all(plan, StepStatus.PLANNED), ()
        if not_editable(plan):
            return _all(plan, StepStatus.NOT_RUN), ()
        steps = permitted(plan, self.options.accepted)
        applied = apply(
            plan,
            steps,
            writer=self.writer,
            reader=self.reader,
            journal=self.journal,
            deadline=deadline,
            stopping=self.stopping,
            context=self.context,
            lanes=self.lanes(),
        )
        if applied.learned_limit is not None:
            self.memory.limits[plan.server.id] = applied.learned_limit
        held_back = [StepResult(step, StepStatus.PLANNED) for step in plan.steps if step not in steps]
        return (*applied.results, *held_back), noted_gap(applied.gap)

    def _with_way_out(self, plan: Plan, outcome: Outcome, reason: str | None) -> str | None:
        """The reason of a refusal, with what it holds back, and how to let it pass where that is possible."""
        if outcome is not Outcome.REFUSED:
            return reason
        done = permitted(plan, self.options.accepted)
        reason = f"{reason} {_held_back(plan, done)}"
        pardoned = self.options.accepted | {plan.id}
        if permitted(plan, pardoned) == done:
            return reason
        what = "the deletes" if standing(plan, pardoned) else "exactly this plan"
        return f"{reason} To let {what} through once: {self.options.accept_command.format(plan_id=plan.id)}"

    def _surroundings(self, server: Server, deadline: Deadline) -> list[Note]:
        notes = [INERT] if server.public_access is PublicAccess.DISABLED else []
        return notes + neighbour_notes(self._neighbours(server, deadline))

    def _neighbours(self, server: Server, deadline: Deadline) -> Neighbours:
        """Read in the first cycle and every full_sync_interval; kept in between."""
        now = self.clock.monotonic()
        read_at, known = self.memory.neighbours.get(server.id, (None, None))
        if known is not None and read_at is not None and now - read_at < self.config.enforcement.full_sync_interval:
            return known
        try:
            found = self.reader.neighbours(server, deadline)
        except ArmError:
            return Neighbours(ipv6_rules=None, virtual_network_rules=None)
        self.memory.neighbours[server.id] = (now, found)
        return found


def abandoned(ungoverned: Ungoverned, rules: Iterable[FirewallRule], config: Config) -> str | None:
    """A sentence about the rules of ours that an ungoverned server still holds; None if there are none."""
    owned = ownership_of(config.enforcement).owns
    ours = sum(owned(rule.name) for rule in rules)
    if not ours:
        return None
    return (
        f"{ungoverned.reason} It still holds {plural(ours, 'firewall rule')} of this program, and nothing is written "
        "there: give it its labels back, or delete what it holds by hand."
    )


def mode_of(config: Config, server: Server) -> Mode:
    """The mode set for the server by name, else the one of the config."""
    override = config.servers.overrides.get(server.name.lower())
    return override.mode if override and override.mode else config.enforcement.mode


def neighbour_notes(neighbours: Neighbours) -> list[Note]:
    """What else admits traffic to the server, beside the rules that are enforced."""
    kinds = (
        (NoteCode.IPV6_RULE, "IPv6 firewall rule", neighbours.ipv6_rules),
        (NoteCode.VIRTUAL_NETWORK_RULE, "virtual network rule", neighbours.virtual_network_rules),
    )
    return [note for code, noun, names in kinds if (note := _neighbour_note(code, noun, names))]


def _neighbour_note(code: NoteCode, noun: str, names: Sequence[str] | None) -> Note | None:
    if names is None:
        return Note(NoteCode.NOT_READABLE, 0, f"the {noun}s could not be read, so what they admit is not known")
    if not names:
        return None
    told = f"traffic that the policy does not know of is admitted by {plural(len(names), noun)}: {', '.join(names)}"
    return Note(code, len(names), told)


def _held_back(plan: Plan, done: Sequence[Step]) -> str:
    """`Held back: 2 adds, 1 delete.`"""
    counts = Counter(step.action for step in plan.steps if step not in done)
    return f"Held back: {', '.join(plural(counts[action], action.value) for action in Action if counts[action])}."


def _all(plan: Plan, status: StepStatus) -> tuple[StepResult, ...]:
    return tuple(StepResult(step, status) for step in plan.steps)
