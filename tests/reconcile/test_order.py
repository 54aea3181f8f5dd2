"""Every prefix of the steps is safe, and within a phase every subset in any order. Also: as few writes as the bound."""

import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from illumio_azsql_enforcer.addresses import Range, RangeSet
from illumio_azsql_enforcer.model.firewall import ALL_AZURE_SERVICES, Desired, FirewallRule, NoteCode, Plan, Step
from illumio_azsql_enforcer.model.settings import Mode
from illumio_azsql_enforcer.reconcile.order import lower_bound
from illumio_azsql_enforcer.reconcile.plan import change_of
from tests.reconcile.target import (
    Promises,
    after_step,
    final_rules,
    named,
    ours,
    planned,
    rule,
    wants,
)
from tests.reconcile.target import settings as enforcement

SMALL_PHASE = 5  # every subset in every order is tried up to this many steps


def check(plan: Plan, max_rules: int) -> None:
    """All that is promised of a plan that fits."""
    promises = Promises.of(plan, max_rules)
    _check_prefixes(plan, promises)
    _check_phases(plan, promises)
    _check_closed_subsets(plan, promises)
    assert len({step.name.casefold() for step in plan.steps}) == len(plan.steps)
    owned = {one.rule.name for one in plan.live if one.owned and not one.protected}
    assert all(step.name in owned for step in plan.steps if step.action == "update")
    assert bool(plan.gap) == any(note.code is NoteCode.GAP for note in plan.notes)


def _check_prefixes(plan: Plan, promises: Promises) -> None:
    held = [one.rule for one in plan.live]
    most = max(len(held), promises.most)
    for step in plan.steps:
        grows = step.action == "add"
        held = after_step(held, step)
        promises.check(held)
        assert not grows or len(held) <= promises.limit
    assert len(held) <= most


def _check_phases(plan: Plan, promises: Promises) -> None:
    """Within a phase: any subset in any order, when the phases before are done."""
    start = [one.rule for one in plan.live]
    phase_of = {step.name: step.phase for step in plan.steps}
    assert all(phase_of[need] < step.phase for step in plan.steps for need in step.needs)
    for phase in sorted({step.phase for step in plan.steps}):
        steps = [step for step in plan.steps if step.phase == phase]
        for subset in _subsets(steps):
            promises.check(final_rules(start, subset))
        for some in _orders(steps):
            held = start
            for step in some:
                held = after_step(held, step)
                promises.check(held)
        start = final_rules(start, steps)


def _check_closed_subsets(plan: Plan, promises: Promises) -> None:
    """Steps fail: whatever is left, when each step has what it needs, is safe too."""
    dice = random.Random(plan.id)
    for _ in range(6):
        done: set[str] = set()
        held = [one.rule for one in plan.live]
        for step in plan.steps:
            if step.needs <= done and dice.random() < 0.7:
                done.add(step.name)
                held = after_step(held, step)
                promises.check(held)


def _subsets(steps: Sequence[Step]) -> Iterator[Sequence[Step]]:
    if len(steps) <= SMALL_PHASE:
        yield from chain.from_iterable(combinations(steps, size) for size in range(len(steps) + 1))
        return
    dice = random.Random(len(steps))
    for _ in range(8):
        yield [step for step in steps if dice.random() < 0.5]
    yield [step for step in steps if step.action != "add"]


def _orders(steps: Sequence[Step]) -> Iterator[Sequence[Step]]:
    yield list(reversed(steps))
    dice = random.Random(len(steps))
    yield dice.sample(steps, len(steps))


# --- random servers


@st.composite
def ranges(draw: st.DrawFn, last: int = 60) -> tuple[int, int]:
    first = draw(st.integers(0, last))
    return first, max(1, min(last, first + draw(st.integers(0, 12))))  # never 0.0.0.0 alone


@st.composite
def policies(draw: st.DrawFn, near: Sequence[FirewallRule]) -> tuple[Desired, ...]:
    """Disjoint ranges: some live ones as they are, some shifted, some new."""
    kept = [one.range for one in near if one.range != ALL_AZURE_SERVICES and draw(st.booleans())]
    moved = [Range(max(0, one.first + draw(st.integers(-3, 3))), one.last + 3) for one in kept if draw(st.booleans())]
    fresh = [Range(*one) for one in draw(st.lists(ranges(), max_size=8))]
    chosen = draw(st.permutations([*(one for one in kept if draw(st.booleans())), *moved, *fresh]))
    disjoint: list[Range] = []
    for one in chosen:
        free = RangeSet([one]) - RangeSet(Range(max(0, r.first - 1), r.last + 1) for r in disjoint)
        disjoint += list(free)[:2]
    return tuple(Desired(one, ()) for one in sorted(disjoint) if one != ALL_AZURE_SERVICES)


@st.composite
def servers(draw: st.DrawFn) -> list[FirewallRule]:
    """Rules of ours, in sync with their names or edited, some twice; foreign rules; special ones."""
    mine = [ours(*one) for one in draw(st.lists(ranges(), max_size=8, unique=True))]
    edited = [
        named(*told, holds=holds, suffix="-7")
        for told, holds in draw(st.lists(st.tuples(ranges(), ranges()), max_size=3, unique_by=lambda pair: pair[0]))
    ]
    twice = [ours(one.range.first, one.range.last, "-2") for one in mine if draw(st.integers(0, 5)) == 0]
    foreign = [rule(f"x{at}", *one) for at, one in enumerate(draw(st.lists(ranges(), max_size=5)))]
    special = [rule("azure", 0, 0)] if draw(st.booleans()) else []
    odd = [FirewallRule("illumio-9.9.9.9-9.9.9.9", Range(0, 0))] if draw(st.integers(0, 4)) == 0 else []
    return [*mine, *edited, *twice, *foreign, *special, *odd]


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[FirewallRule], tuple[Desired, ...], Mode, int]:
    live = draw(servers())
    desired = draw(policies(live))
    mode = draw(st.sampled_from([Mode.SYNC, Mode.SYNC, Mode.AUTHORITATIVE, Mode.UPSERT]))
    final = len(final_rules(live, planned(live, desired, mode, max_rules=10_000).steps))
    slack = draw(st.sampled_from([0, 0, 1, 2, 3, 100]))
    return live, desired, mode, max(1, final + slack)


@given(situations())
@settings(max_examples=400, deadline=None)
def test_every_prefix_and_every_subset_of_a_phase_is_safe(
    situation: tuple[list[FirewallRule], tuple[Desired, ...], Mode, int],
) -> None:
    live, desired, mode, max_rules = situation
    plan = planned(live, desired, mode, max_rules=max_rules)
    assert plan.refusals == ()
    check(plan, max_rules)
    again = final_rules([one.rule for one in plan.live], plan.steps)
    assert planned(again, desired, mode, max_rules=max_rules).steps == ()


@given(situations())
@settings(max_examples=200, deadline=None)
def test_rules_of_ours_never_need_a_gap_and_cost_no_needless_write(
    situation: tuple[list[FirewallRule], tuple[Desired, ...], Mode, int],
) -> None:
    live, desired, _, max_rules = situation
    plan = planned(live, desired, max_rules=max_rules)
    if plan.refusals:
        return
    change = change_of(plan.live, [one.range for one in desired], Mode.SYNC, enforcement())
    assert plan.gap == ()
    assert len(plan.steps) in (lower_bound(change, max_rules), lower_bound(change, max_rules) + 1)


# --- every server of a tiny world


def tiny(last: int, most: int) -> Iterator[tuple[tuple[Range, ...], tuple[Range, ...]]]:
    """Every old set of up to `most` ranges over addresses 1..last, with every new set of disjoint ranges."""
    every = [Range(first, end) for first in range(1, last + 1) for end in range(first, last + 1)]
    olds = [some for size in range(most + 1) for some in combinations(every, size)]
    news = [some for some in olds if RangeSet(some).size == sum(one.size for one in some)]
    return product(olds, news)


def try_tiny(old: Iterable[Range], new: Sequence[Range], foreign: frozenset[int]) -> None:
    """All limits that the change fits into, in the mode that treats the foreign ones."""
    live = [
        rule(f"x{at}", one.first, one.last) if at in foreign else ours(one.first, one.last)
        for at, one in enumerate(old)
    ]
    mode = Mode.AUTHORITATIVE if foreign else Mode.SYNC
    desired = wants(*((one.first, one.last) for one in new))
    change = change_of(planned(live, desired, mode, max_rules=99).live, new, mode, enforcement(mode))
    for max_rules in range(max(1, change.final_count), max(len(live), change.final_count) + 2):
        plan = planned(live, desired, mode, max_rules=max_rules)
        assert plan.refusals == ()
        check(plan, max_rules)
        assert len(plan.steps) == lower_bound(change, max_rules)
        assert foreign or not plan.gap


def test_every_change_of_a_tiny_world() -> None:
    for old, new in tiny(4, 2):
        try_tiny(old, new, frozenset())
        try_tiny(old, new, frozenset({0}))


@pytest.mark.long
def test_every_change_of_a_small_world() -> None:
    for old, new in tiny(4, 3):
        for foreign in ((), {0}, {2}, {0, 1}):
            try_tiny(old, new, frozenset(foreign))


def test_a_change_that_does_not_fit_begins_with_the_deletes_that_only_revoke() -> None:
    live = [ours(5, 9), ours(20, 29), named(40, 49, holds=(60, 69)), rule("office", 1, 2)]
    plan = planned(live, wants((7, 9), (40, 49), (50, 51), (52, 53)), max_rules=4)
    assert [(step.phase, step.action, str(step.range)) for step in plan.steps] == [
        (1, "delete", "0.0.0.20-0.0.0.29"),
        (1, "delete", "0.0.0.60-0.0.0.69"),
        (2, "add", "0.0.0.7-0.0.0.9"),
        (2, "add", "0.0.0.40-0.0.0.49"),
        (2, "add", "0.0.0.50-0.0.0.51"),
        (2, "add", "0.0.0.52-0.0.0.53"),
        (3, "delete", "0.0.0.5-0.0.0.9"),
    ]


def test_a_full_server_whose_every_rule_changes_gets_through() -> None:
    live = [ours(at * 10, at * 10 + 5) for at in range(1, 257)]
    plan = planned(live, wants(*((at * 10 + 3, at * 10 + 8) for at in range(1, 257))))
    assert (len(plan.steps), plan.gap, plan.refusals) == (256, (), ())
    check(plan, 256)


def test_a_full_server_of_foreign_rules_has_a_gap_and_says_so() -> None:
    plan = planned([rule("x1", 5, 9), rule("x2", 20, 29)], wants((5, 8), (20, 28)), Mode.AUTHORITATIVE, max_rules=2)
    assert [step.action for step in plan.steps] == ["delete", "add", "delete", "add"]
    assert plan.gap == (Range(5, 8), Range(20, 28))
    assert [note.count for note in plan.notes if note.code is NoteCode.GAP] == [13]
    check(plan, 2)


def test_one_free_slot_is_enough_for_foreign_rules() -> None:
    plan = planned([rule("x1", 5, 9), rule("x2", 20, 29)], wants((5, 8), (20, 28)), Mode.AUTHORITATIVE, max_rules=3)
    assert plan.gap == ()
    check(plan, 3)


def test_the_straight_way_ends_in_a_gap_and_the_search_finds_another() -> None:
    live = [
        *(ours(1, 2), ours(5, 6), rule("x0", 8, 8), rule("x1", 6, 6), rule("x2", 4, 4), rule("x3", 3, 4)),
        rule("x4", 4, 6),
    ]
    plan = planned(live, wants((2, 3), (4, 5), (6, 8)), Mode.AUTHORITATIVE, max_rules=4)
    assert plan.gap == ()
    check(plan, 4)


def test_a_server_above_the_limit_is_brought_below_before_anything_is_added() -> None:
    live = [ours(at * 10, at * 10 + 5) for at in range(1, 9)]
    plan = planned(live, wants((10, 15), (100, 110), (120, 125)), max_rules=4)
    check(plan, 4)
    assert plan.refusals == ()


def test_a_replacement_keeps_the_name_and_the_next_cycle_is_content() -> None:
    plan = planned([ours(5, 9)], wants((5, 7)), max_rules=1)
    assert [(step.action, step.name, step.previous) for step in plan.steps] == [
        ("update", "illumio-0.0.0.5-0.0.0.9", Range(5, 9))
    ]
    assert planned(final_rules([ours(5, 9)], plan.steps), wants((5, 7)), max_rules=1).steps == ()


def test_addresses_that_a_rule_that_stays_admits_need_no_other_cover() -> None:
    plan = planned([ours(5, 9), rule("wide", 1, 200)], wants((7, 12)))
    add, delete = plan.steps
    assert (delete.action, delete.needs) == ("delete", frozenset())
    assert "admitted by other rules" in delete.reason
    assert add.action == "add"


def test_the_special_rule_covers_no_address() -> None:
    live = [ours(0, 9), rule("azure", 0, 0), rule("office", 1, 200)]
    add, delete = planned(live, wants((0, 5))).steps
    assert delete.needs == {add.name}  # for 0.0.0.0, which only the rule to go admits


def test_of_two_rules_that_hold_the_same_wanted_addresses_one_only_revokes() -> None:
    live = [ours(5, 9), ours(5, 9, "-2"), rule("office", 40, 49)]
    plan = planned(live, wants((7, 9), (60, 61), (70, 71)), max_rules=3)
    assert [bool(step.needs) for step in plan.steps if step.action == "delete"] == [False, True]
