"""What is refused, in words that a tired operator understands. A guard refuses the whole plan of one server."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from illumio_azsql_enforcer.addresses import LAST_ADDRESS, Range, RangeSet
from illumio_azsql_enforcer.model.firewall import (
    ALL_AZURE_SERVICES,
    Action,
    Desired,
    LiveRule,
    Plan,
    Refusal,
    Step,
)
from illumio_azsql_enforcer.model.settings import GuardSettings, Mode
from illumio_azsql_enforcer.reconcile.change import Change
from illumio_azsql_enforcer.text import plural, shortened

MAX_RULES = "max_rules"  # the one guard that accepting a plan does not override
SHOWN = 5  # rules or sources that a text names before it only counts


@dataclass(frozen=True, slots=True)
class Case:
    """What the guards judge: one server's change, in the mode that is set (in observe: what sync would do)."""

    change: Change
    desired: Sequence[Desired]
    deletable: Sequence[LiveRule]  # live rules that the mode may delete
    max_rules: int
    guards: GuardSettings

    @property
    def revoked(self) -> tuple[LiveRule, ...]:
        """Deletable rules of whose addresses at least one would no longer be admitted by any rule."""
        final = self.change.final_cover
        real = (rule for rule in self.deletable if rule.rule.range != ALL_AZURE_SERVICES)
        return tuple(rule for rule in real if not RangeSet([rule.rule.range]) <= final)

    @property
    def taken_away(self) -> tuple[LiveRule, ...]:
        """Rules that the plan deletes or puts another range into."""
        put_right = {rule for rule, _ in self.change.put_right}
        return tuple(rule for rule in self.deletable if rule in self.change.going or rule.rule in put_right)


def judged(case: Case) -> tuple[Refusal, ...]:
    """Every guard's no to a change that would write something."""
    return tuple(refusal for judge in _JUDGES if (refusal := judge(case)))


def standing(plan: Plan, accepted: frozenset[str]) -> tuple[Refusal, ...]:
    """The refusals that stand: all of them, or, for an accepted plan, the one that cannot be overridden."""
    if plan.id not in accepted:
        return plan.refusals
    return tuple(refusal for refusal in plan.refusals if refusal.guard == MAX_RULES)


def permitted(plan: Plan, accepted: frozenset[str]) -> tuple[Step, ...]:
    """The steps that may be carried out now, in order.

    All, when no guard refuses or the plan was accepted; `max_rules` is never overridden. When `max_rules` alone
    refuses: the deletes that only revoke. Else none, and never any in observe.
    """
    if plan.mode is Mode.OBSERVE:
        return ()
    guards = {refusal.guard for refusal in standing(plan, accepted)}
    if not guards:
        return plan.steps
    return tuple(step for step in plan.steps if only_revokes(step)) if guards == {MAX_RULES} else ()


def only_revokes(step: Step) -> bool:
    """Whether the step takes away nothing that is wanted and not admitted otherwise, whatever else is done."""
    return step.action is Action.DELETE and not step.needs


# --- the guards


def _never_empty(case: Case) -> Refusal | None:
    gone = [rule.rule.range for rule in case.taken_away]
    if not case.guards.never_empty or case.desired or not gone:
        return None
    detail = (
        f"the policy admits no address at all, and the plan would take {plural(len(gone), 'rule')} away: "
        f"{_named(gone)}. An empty policy is more often a mistake than a decision"
    )
    return _refusal("never_empty", detail)


def _max_revoked(case: Case) -> Refusal | None:
    revoked = [rule.rule.range for rule in case.revoked]
    limit, share = case.guards.max_revoked, case.guards.max_revoked_percent
    if len(revoked) <= limit or len(revoked) * 100 <= share * len(case.deletable):
        return None
    detail = (
        f"{len(revoked)} of {plural(len(case.deletable), 'rule')} that may be deleted would lose addresses: "
        f"{_named(revoked)}. More than {limit} and more than {share} % (max_revoked_percent) in one cycle is more "
        "often a mistake than a decision"
    )
    return _refusal("max_revoked", detail)


def _widest_range(case: Case) -> Refusal | None:
    prefix = case.guards.widest_range
    most = (LAST_ADDRESS + 1) >> prefix
    room = plural(most, "address")
    ranges = [one.range for one in case.desired]
    wide = [one for one in ranges if one.size > most]
    total = RangeSet(ranges).size
    if wide:
        what = f"{_named(wide)} ({plural(wide[0].size, 'address')}) is wider than a /{prefix} ({room})"
        return _refusal("widest_range", f"{what}; asked for by {_contributors(case.desired, lambda one: one in wide)}")
    if total > most:
        widest = sorted(ranges, key=lambda one: -one.size)
        what = f"all wanted ranges together hold {plural(total, 'address')}, more than a /{prefix} ({room})"
        return _refusal("widest_range", f"{what}; the widest: {_named(widest)}")
    return None


def _max_rules(case: Case) -> Refusal | None:
    final = case.change.final_count
    if final <= case.max_rules or not case.change.missing:
        return None
    detail = (
        f"the server would hold {plural(final, 'rule')} and can hold {case.max_rules}: {len(case.desired)} of the "
        f"policy and {plural(final - len(case.desired), 'other')}. Ranges are never widened to fit. "
        f"The largest contributors: {_contributors(case.desired, lambda _: True)}"
    )
    return _refusal(MAX_RULES, detail)


_JUDGES: tuple[Callable[[Case], Refusal | None], ...] = (_never_empty, _max_revoked, _widest_range, _max_rules)


# --- words


def _refusal(guard: str, detail: str) -> Refusal:
    return Refusal(guard, f"{guard}: {detail}.")


def _named(ranges: Sequence[Range]) -> str:
    return shortened([str(one) for one in ranges], SHOWN)


def _contributors(desired: Iterable[Desired], matters: Callable[[Range], bool]) -> str:
    """The consumers and rule sets behind the most ranges."""
    counts: Counter[tuple[str, str]] = Counter()
    for one in desired:
        if matters(one.range):
            counts.update({(source.consumer_name, source.rule_set_name) for source in one.sources})
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:SHOWN]
    named = (f"{who!r} in rule set {where!r} ({plural(number, 'range')})" for (who, where), number in ranked)
    return ", ".join(named) or "no source is known"
