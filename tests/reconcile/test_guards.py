"""What is refused, in which words, and what may be done all the same."""

import pytest

from illumio_azsql_enforcer.addresses import Range
from illumio_azsql_enforcer.model.firewall import ConsumerKind, Desired, Plan, Source
from illumio_azsql_enforcer.model.settings import GuardSettings, Mode
from illumio_azsql_enforcer.reconcile.guards import permitted
from tests.reconcile.target import named, ours, planned, rule, wants

NOBODY: frozenset[str] = frozenset()


def refused(plan: Plan) -> list[str]:
    return [refusal.guard for refusal in plan.refusals]


def many(count: int) -> list[tuple[int, int]]:
    return [(at * 10, at * 10 + 5) for at in range(1, count + 1)]


def revoking(gone: int, kept: int, guards: GuardSettings, mode: Mode = Mode.SYNC) -> Plan:
    """A plan on a server of `gone + kept` rules of ours, of which the policy wants the last `kept`."""
    live = many(gone + kept)
    return planned([ours(*one) for one in live], wants(*live[gone:]), mode, guards=guards)


@pytest.mark.parametrize(
    ("gone", "kept", "refuses"),
    [(3, 1, True), (3, 5, False), (2, 1, False), (3, 3, False), (4, 3, True)],
)
def test_both_limits_of_revocation_must_be_passed(gone: int, kept: int, refuses: bool) -> None:
    plan = revoking(gone, kept, GuardSettings(max_revoked=2, max_revoked_percent=50))
    assert refused(plan) == (["max_revoked"] if refuses else [])


def test_nought_means_nought() -> None:
    assert refused(revoking(1, 9, GuardSettings(max_revoked=0, max_revoked_percent=0))) == ["max_revoked"]


def test_a_rule_that_is_widened_or_merged_is_not_revoked() -> None:
    strict = GuardSettings(max_revoked=0, max_revoked_percent=0)
    live = [ours(10, 15), ours(16, 19), ours(30, 35)]
    assert refused(planned(live, wants((10, 19), (29, 40)), guards=strict)) == []
    assert refused(planned(live, wants((10, 18), (29, 40)), guards=strict)) == ["max_revoked"]


def test_an_edited_rule_that_loses_addresses_is_revoked_too() -> None:
    strict = GuardSettings(max_revoked=0, max_revoked_percent=0)
    assert refused(planned([named(5, 9, holds=(5, 200))], wants((5, 9)), guards=strict)) == ["max_revoked"]


def test_a_foreign_rule_that_still_admits_the_addresses_keeps_them() -> None:
    strict = GuardSettings(max_revoked=0, max_revoked_percent=0)
    live = [ours(10, 15), ours(30, 35), rule("office", 0, 20)]
    assert refused(planned(live, wants((30, 35)), guards=strict)) == []
    assert refused(planned(live, wants((30, 35)), Mode.AUTHORITATIVE, guards=strict)) == ["max_revoked"]


def test_the_special_range_is_never_a_revoked_one() -> None:
    strict = GuardSettings(max_revoked=0, max_revoked_percent=0)
    live = [ours(10, 15), rule("azure", 0, 0)]
    plan = planned(live, wants((10, 15)), Mode.AUTHORITATIVE, guards=strict, remove_azure_services=True)
    assert (refused(plan), len(plan.steps)) == ([], 1)


@pytest.mark.parametrize(("mode", "refuses"), [(Mode.UPSERT, False), (Mode.SYNC, True), (Mode.OBSERVE, True)])
def test_the_last_range_is_not_taken_away(mode: Mode, refuses: bool) -> None:
    plan = revoking(1, 0, GuardSettings(), mode)
    assert refused(plan) == (["never_empty"] if refuses else [])
    assert permitted(plan, NOBODY) == ()


def test_an_empty_policy_for_an_empty_server_is_fine() -> None:
    assert refused(planned([rule("office", 1, 2)], (), guards=GuardSettings())) == []


def test_a_range_wider_than_allowed_is_refused_live_or_not() -> None:
    wide, narrow = (1 << 24, (2 << 24)), (5 << 24, (5 << 24) + 9)
    guards = GuardSettings(widest_range=8)
    assert refused(planned([], wants(wide), guards=guards)) == ["widest_range"]
    assert refused(planned([ours(*wide)], wants(wide, narrow), guards=guards)) == ["widest_range"]
    assert refused(planned([], wants((1 << 24, (2 << 24) - 1)), guards=guards)) == []
    assert refused(planned([ours(*wide)], wants(wide), guards=guards)) == []  # nothing to do, nothing to refuse


def test_all_ranges_together_may_be_too_wide() -> None:
    halves = wants((1 << 24, (1 << 24) + (1 << 23) - 1), (3 << 24, (3 << 24) + (1 << 23)))
    plan = planned([], halves, guards=GuardSettings(widest_range=8))
    assert refused(plan) == ["widest_range"]
    assert "together" in plan.refusals[0].detail


def test_too_many_rules_name_the_count_and_the_largest_contributors() -> None:
    def source(name: str) -> Source:
        return Source("/rs/1", "Payments", "/rs/1/r/1", ConsumerKind.IP_LIST, "/ipl/1", name)

    desired = [Desired(Range(at * 10, at * 10), (source("big" if at < 6 else "small"),)) for at in range(1, 8)]
    plan = planned([rule("office", 500, 501)], desired, guards=GuardSettings(), max_rules=7)
    assert refused(plan) == ["max_rules"]
    text = plan.refusals[0].detail
    assert text.startswith("max_rules: the server would hold 8 rules and can hold 7: 7 of the policy and 1 other. ")
    assert "'big' in rule set 'Payments' (5 ranges), 'small' in rule set 'Payments' (2 ranges)" in text


def test_a_server_above_the_limit_with_nothing_to_add_is_not_refused() -> None:
    live = [ours(*one) for one in many(5)]
    assert refused(planned(live, wants(*many(5)[1:]), max_rules=2)) == []


def test_permitted_is_all_when_no_guard_refuses() -> None:
    plan = planned([ours(5, 9)], wants((20, 29)))
    assert permitted(plan, NOBODY) == plan.steps != ()


def test_permitted_is_nothing_when_a_guard_refuses_unless_this_plan_was_accepted() -> None:
    plan = revoking(3, 0, GuardSettings())
    assert permitted(plan, NOBODY) == ()
    assert permitted(plan, frozenset({"0123456789abcdef"})) == ()
    assert permitted(plan, frozenset({plan.id})) == plan.steps


@pytest.mark.parametrize("accepted", [True, False])
def test_max_rules_alone_still_lets_the_deletes_through_that_only_revoke(accepted: bool) -> None:
    live = [ours(5, 9), ours(20, 29), ours(40, 49), ours(42, 45, "-2")]
    plan = planned(live, wants((7, 9), (40, 49), (60, 61), (70, 71)), max_rules=3)
    steps = permitted(plan, frozenset({plan.id} if accepted else ()))
    assert [(step.action, step.range) for step in steps] == [("delete", Range(20, 29)), ("delete", Range(42, 45))]


def test_max_rules_with_another_guard_lets_nothing_through_until_that_is_accepted() -> None:
    live = [ours(*one) for one in many(3)]
    guards = GuardSettings(max_revoked=0, max_revoked_percent=0)
    plan = planned(live, wants((100, 101), (110, 111), (120, 121)), max_rules=2, guards=guards)
    assert refused(plan) == ["max_revoked", "max_rules"]
    assert permitted(plan, NOBODY) == ()
    assert [step.action for step in permitted(plan, frozenset({plan.id}))] == ["delete"] * 3


def test_observe_permits_nothing() -> None:
    plan = planned([ours(5, 9)], wants((20, 29)), Mode.OBSERVE)
    assert plan.steps
    assert permitted(plan, frozenset({plan.id})) == ()


def test_a_refusal_says_what_would_go_and_counts_the_rest() -> None:
    text = revoking(12, 0, GuardSettings(never_empty=False)).refusals[0].detail
    assert text.startswith("max_revoked: 12 of 12 rules that may be deleted would lose addresses: 0.0.0.10-0.0.0.15, ")
    assert "and 7 more" in text
    assert "More than 10 and more than 50 %" in text


def test_one_address_is_told_as_one() -> None:
    plan = planned([], wants((1, 2)), guards=GuardSettings(widest_range=32))
    assert "(2 addresses) is wider than a /32 (1 address);" in plan.refusals[0].detail
