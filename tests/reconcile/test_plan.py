"""Modes, ownership and names: what a plan holds."""

import pytest

from illumio_azsql_enforcer.addresses import Range
from illumio_azsql_enforcer.model.firewall import Action, FirewallRule, NoteCode, Plan
from illumio_azsql_enforcer.model.settings import Mode
from tests.reconcile.target import named, ours, planned, rule, wants

ACTIVE = [Mode.UPSERT, Mode.SYNC, Mode.AUTHORITATIVE]


def steps(plan: Plan) -> list[tuple[str, str, str]]:
    return [(str(step.action), step.name, str(step.range)) for step in plan.steps]


def notes(plan: Plan) -> dict[str, int]:
    found: dict[str, int] = {}
    for note in plan.notes:
        found[note.code] = found.get(note.code, 0) + note.count
    return found


@pytest.mark.parametrize("mode", list(Mode))
def test_nothing_when_nothing_differs(mode: Mode) -> None:
    plan = planned([ours(5, 9), ours(20, 29)], wants((5, 9), (20, 29)), mode)
    assert (plan.steps, plan.left, plan.refusals, plan.notes) == ((), 0, (), ())


def test_sync_adds_and_deletes_ours_and_notes_foreign() -> None:
    plan = planned([ours(20, 29), rule("office", 40, 49)], wants((5, 9)))
    assert steps(plan) == [
        ("add", "illumio-0.0.0.5-0.0.0.9", "0.0.0.5-0.0.0.9"),
        ("delete", "illumio-0.0.0.20-0.0.0.29", "0.0.0.20-0.0.0.29"),
    ]
    assert [step.phase for step in plan.steps] == [1, 2]
    assert notes(plan) == {NoteCode.FOREIGN_RULE: 1}


def test_upsert_keeps_what_is_superfluous_and_counts_it() -> None:
    plan = planned([ours(20, 29), rule("office", 40, 49)], wants((5, 9)), Mode.UPSERT)
    assert [step.action for step in plan.steps] == [Action.ADD]
    assert plan.left == 1
    assert notes(plan) == {NoteCode.FOREIGN_RULE: 1, NoteCode.SUPERFLUOUS_RULE: 1}


def test_observe_shows_the_steps_of_sync() -> None:
    live = [ours(20, 29), rule("office", 40, 49)]
    plan = planned(live, wants((5, 9)), Mode.OBSERVE)
    assert steps(plan) == steps(planned(live, wants((5, 9))))
    assert plan.left == 2


def test_authoritative_deletes_foreign_rules_too() -> None:
    plan = planned([ours(5, 9), rule("office", 40, 49)], wants((5, 9)), Mode.AUTHORITATIVE)
    assert steps(plan) == [("delete", "office", "0.0.0.40-0.0.0.49")]
    assert notes(plan) == {}


@pytest.mark.parametrize("mode", [Mode.SYNC, Mode.AUTHORITATIVE])
def test_protected_rules_are_never_touched_not_even_ours(mode: Mode) -> None:
    live = [ours(20, 29), rule("Break Glass", 40, 49)]
    plan = planned(live, wants((5, 9)), mode, protected_rules=("break*", "ILLUMIO-0.0.0.20-*"))
    assert [step.action for step in plan.steps] == [Action.ADD]
    assert notes(plan) == {NoteCode.FOREIGN_RULE: 1, NoteCode.SUPERFLUOUS_RULE: 1}
    assert plan.left == 0


def test_a_desired_range_gets_our_own_rule_even_where_a_foreign_one_covers_it() -> None:
    plan = planned([rule("wide", 0, 200)], wants((5, 9)), Mode.SYNC)
    assert [step.action for step in plan.steps] == [Action.ADD]


def test_one_of_two_rules_of_ours_with_one_range_is_superfluous() -> None:
    plan = planned([ours(5, 9, "-2"), ours(5, 9)], wants((5, 9)))
    assert steps(plan) == [("delete", "illumio-0.0.0.5-0.0.0.9-2", "0.0.0.5-0.0.0.9")]
    assert plan.steps[0].reason == "its addresses are admitted by other rules"


def test_a_protected_rule_of_ours_with_the_range_makes_the_other_superfluous() -> None:
    plan = planned([ours(5, 9, "-2"), ours(5, 9)], wants((5, 9)), protected_rules=("*-2",))
    assert steps(plan) == [("delete", "illumio-0.0.0.5-0.0.0.9", "0.0.0.5-0.0.0.9")]


def test_an_edited_rule_is_put_right_with_one_write() -> None:
    plan = planned([named(5, 9, holds=(5, 200))], wants((5, 9)))
    assert steps(plan) == [("update", "illumio-0.0.0.5-0.0.0.9", "0.0.0.5-0.0.0.9")]
    assert plan.steps[0].previous == Range(5, 200)


def test_an_edited_rule_is_in_sync_when_its_live_range_is_desired() -> None:
    assert planned([named(5, 9, holds=(20, 29))], wants((20, 29))).steps == ()


def test_a_name_that_is_taken_by_a_rule_in_sync_gets_a_suffix() -> None:
    plan = planned(
        [named(5, 9, holds=(20, 29)), named(5, 9, holds=(40, 49), suffix="-2")], wants((5, 9), (20, 29), (40, 49))
    )
    assert steps(plan) == [("add", "illumio-0.0.0.5-0.0.0.9-3", "0.0.0.5-0.0.0.9")]


def test_an_edited_rule_whose_own_range_is_not_desired_goes() -> None:
    plan = planned([named(5, 9, holds=(20, 29))], wants((40, 49)))
    assert [(step.action, step.range) for step in plan.steps] == [
        (Action.ADD, Range(40, 49)),
        (Action.DELETE, Range(20, 29)),
    ]


def test_putting_right_waits_for_the_cover_of_what_the_rule_holds_now() -> None:
    plan = planned([named(5, 9, holds=(20, 29))], wants((5, 9), (18, 35)))
    add, update = plan.steps
    assert (add.action, update.action, update.phase) == (Action.ADD, Action.UPDATE, 2)
    assert update.needs == {add.name}


def test_two_edited_rules_that_hold_each_others_addresses_do_not_wait_for_ever() -> None:
    live = [named(5, 9, holds=(21, 22)), named(20, 29, holds=(6, 7))]
    plan = planned(live, wants((5, 9), (20, 29)))
    assert [step.action for step in plan.steps] == [Action.ADD, Action.UPDATE, Action.DELETE]
    assert plan.gap == ()


def test_upsert_widens_an_edited_rule_and_never_narrows_one() -> None:
    live = [named(5, 9, holds=(6, 7)), named(20, 29, holds=(20, 35))]
    plan = planned(live, wants((5, 9), (20, 29)), Mode.UPSERT)
    assert steps(plan) == [
        ("update", "illumio-0.0.0.5-0.0.0.9", "0.0.0.5-0.0.0.9"),
        ("add", "illumio-0.0.0.20-0.0.0.29-2", "0.0.0.20-0.0.0.29"),
    ]
    assert plan.left == 1


@pytest.mark.parametrize("mode", [Mode.SYNC, Mode.AUTHORITATIVE])
def test_a_rule_of_ours_for_all_azure_services_is_deleted(mode: Mode) -> None:
    plan = planned([FirewallRule("illumio-1.1.1.1-1.1.1.1", Range(0, 0))], (), mode)
    assert [step.action for step in plan.steps] == [Action.DELETE]


@pytest.mark.parametrize(
    ("mode", "remove", "name", "deleted"),
    [
        (Mode.SYNC, True, "whatever", False),
        (Mode.AUTHORITATIVE, False, "AllowAllWindowsAzureIps", False),
        (Mode.AUTHORITATIVE, True, "any name at all", True),
        (Mode.AUTHORITATIVE, True, "kept-by-pattern", False),
    ],
)
def test_the_special_rule_goes_only_when_asked_for(mode: Mode, remove: bool, name: str, deleted: bool) -> None:
    plan = planned([rule(name, 0, 0)], (), mode, remove_azure_services=remove, protected_rules=("kept-*",))
    assert bool(plan.steps) is deleted
    assert notes(plan) == ({} if deleted else {NoteCode.AZURE_SERVICES_RULE: 1})


@pytest.mark.parametrize("mode", ACTIVE)
def test_the_special_range_never_comes_from_policy(mode: Mode) -> None:
    plan = planned([], wants((0, 0), (5, 9)), mode)
    assert [step.range for step in plan.steps] == [Range(5, 9)]
    assert notes(plan) == {NoteCode.SPECIAL_ADDRESS: 1}


def test_a_foreign_name_that_is_not_safe_is_noted_and_the_rest_is_done() -> None:
    plan = planned([rule("..", 20, 29), rule("office", 40, 49)], (), Mode.AUTHORITATIVE)
    assert [step.name for step in plan.steps] == ["office"]
    assert notes(plan) == {NoteCode.UNSAFE_NAME: 1}


def test_names_that_only_look_like_ours_are_foreign_and_noted_by_themselves() -> None:
    plan = planned([rule("illumio-office", 20, 29), rule("lab", 40, 49)], ())
    assert plan.steps == ()
    assert notes(plan) == {NoteCode.FOREIGN_RULE: 2}
    assert any("illumio-office" in note.detail and "lab" not in note.detail for note in plan.notes)


def test_the_plan_id_is_the_same_for_the_same_situation_and_moves_with_it() -> None:
    live = [ours(5, 9), ours(20, 29)]
    first = planned(live, wants((5, 9)))
    assert planned(reversed(live), wants((5, 9))).id == first.id
    assert planned([*live, rule("office", 1, 2)], wants((5, 9))).id != first.id
    assert planned(live, wants((20, 29))).id != first.id
    assert len(first.id) == 16
    assert int(first.id, 16) >= 0
