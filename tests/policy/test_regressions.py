"""Defects that random worlds have shown, each in a small world that shows it."""

from typing import Any

import pytest

from tests.policy.world import ACTIVE, deny, href, label, label_group, ranges, rule, rule_set, snapshot, translated


@pytest.mark.parametrize(
    ("carried", "allowed"),
    [([12, 21, 99], "10.20.1.11"), ([13, 21, 99], ""), ([21, 99], "")],
    ids=["carries the excluded label", "carries another label of the type", "the lost label may be of the type"],
)
def test_a_lost_label_of_a_workload_does_not_outweigh_the_label_of_the_type_that_it_carries(
    carried: list[int], allowed: str
) -> None:
    """A workload has at most one label of a type: where that one is excluded, a lost label cannot be of the type."""
    w1: dict[str, Any] = {"W1": {"labels": [{"href": label(number)} for number in carried]}}
    world = snapshot([rule_set([rule(C=["W1"], U=True)], [deny(C=[-12])])], changed=w1)
    assert ranges(translated(world)) == allowed


@pytest.mark.parametrize(("labels", "allowed"), [((), ""), ((32,), ""), ((31,), "10.20.1.11")])
def test_a_lost_label_may_be_of_the_type_that_an_excluded_group_is_of(labels: tuple[int, ...], allowed: str) -> None:
    """W1 has no label of type env that the PCE lists, but one that it does not list: the deny may be against it."""
    w1: dict[str, Any] = {"W1": {"labels": [{"href": label(number)} for number in (12, 21, 99)]}}
    some_env = {"label_group": {"href": href("label_group", "lower")}, "exclusion": True}
    scoped = rule_set(denies=[deny(C=["ams"], U=False)], scope=[[some_env]], href=f"{ACTIVE}/rule_sets/41")
    groups = [label_group("lower", labels)]
    world = snapshot([rule_set([rule(C=["W1"], U=True)]), scoped], changed=w1, label_groups=groups)
    assert ranges(translated(world)) == allowed
