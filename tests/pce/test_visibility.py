"""A key that does not see everything is noticed by what refers to things that it does not see."""

from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from illumio_azsql_enforcer.model.policy import Snapshot
from illumio_azsql_enforcer.pce.changes import PolicyWatch
from illumio_azsql_enforcer.pce.client import PceClient
from illumio_azsql_enforcer.pce.visibility import signs_at, signs_in
from illumio_azsql_enforcer.retrying import Deadline
from tests.pce.fake import ACTIVE, FakePce, listed, rule, rule_set, version
from tests.support.clock import VirtualClock

ORG = "/orgs/7"


def snapshot(**changed: Any) -> Snapshot:
    """A small snapshot in which nothing is missing."""
    named = [
        {"label": {"href": f"{ORG}/labels/1"}},
        {"label_group": {"href": f"{ORG}/sec_policy/draft/label_groups/2"}},
        {"ip_list": {"href": f"{ACTIVE}/ip_lists/14"}},
        {"workload": {"href": f"{ORG}/workloads/w1"}},
    ]
    fields: dict[str, Any] = {
        "version": 80,
        "release": (25, 2, 20),
        "labels": [{"href": f"{ORG}/labels/1", "key": "role", "value": "db"}],
        "label_groups": [{"href": f"{ACTIVE}/label_groups/2"}],
        "ip_lists": [{"href": f"{ACTIVE}/ip_lists/14"}],
        "workloads": [{"href": f"{ORG}/workloads/w1", "labels": [{"href": f"{ORG}/labels/1"}]}],
        "service_bindings": [{"href": f"{ORG}/service_bindings/1", "workload": {"href": f"{ORG}/workloads/w1"}}],
        "rule_sets": [rule_set(scopes=[named[:2]], rules=[rule(40, 1) | {"consumers": named}])],
    }
    return msgspec.convert(fields | changed, Snapshot)


def test_nothing_is_missing() -> None:
    assert signs_in(snapshot()) == []


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("labels", "1 label that workloads carry"),
        ("labels", "1 label that rules name"),
        ("label_groups", "1 label group that rules name"),
        ("ip_lists", "1 IP list that rules name"),
        ("workloads", "1 workload that virtual services are bound to"),
        ("workloads", "1 workload that rules name"),
        ("workloads", "no workload at all"),
    ],
)
def test_what_refers_to_nothing_is_a_sign(gone: str, said: str) -> None:
    assert any(said in sign for sign in signs_in(snapshot(**{gone: []})))


def test_workloads_that_were_not_asked_for_are_not_missed() -> None:
    assert signs_in(snapshot(workloads=[]), whole=False) == []


def test_deny_rules_and_scopes_count_too() -> None:
    named = [{"label": {"href": f"{ORG}/labels/99"}}]
    deny = {"href": f"{ACTIVE}/rule_sets/40/deny_rules/1", "override": True, "consumers": named}
    assert signs_in(snapshot(rule_sets=[rule_set(rules=[], deny_rules=[deny])]))
    assert signs_in(snapshot(rule_sets=[rule_set(rules=[], scopes=[named])]))


def test_control_characters_do_not_get_through() -> None:
    sign = signs_in(snapshot(labels=[], workloads=[{"href": f"{ORG}/workloads/w1", "labels": [{"href": "/\x1b[2J"}]}]))
    assert all("\x1b" not in each for each in sign)


def test_the_pce_is_asked(pce: FakePce, client: PceClient, deadline: Deadline) -> None:
    pce.answers[f"{ORG}/events"] = listed([])
    pce.answers[ACTIVE] = version(rule_sets=1, ip_lists=1, label_groups=0)
    assert list(signs_at(client, 7, deadline)) == []
    pce.answers[f"{ORG}/events"] = (403, {}, '[{"token": "forbidden_error"}]')
    pce.answers[ACTIVE] = version()
    first, second = signs_at(client, 7, deadline)
    assert "does not count" in first
    assert "events cannot be read" in second


@pytest.fixture
def watch(pce: FakePce, client: PceClient, clock: VirtualClock) -> PolicyWatch:
    pce.answers[f"{ORG}/events"] = listed([])
    return PolicyWatch(client, 7, clock, 900.0)


def test_the_daemon_says_it_once(watch: PolicyWatch, pce: FakePce, clock: VirtualClock) -> None:
    pce.answers[f"{ORG}/workloads"] = listed([{"href": f"{ORG}/workloads/w", "labels": [{"href": f"{ORG}/labels/9"}]}])
    with capture_logs() as logged:
        for _ in range(3):
            watch.snapshot(Deadline.after(clock, 600.0))
            clock.advance(900.0)
    told = [line["event"] for line in logged if line["log_level"] == "warning"]
    assert len(told) == 1
    assert "Global Viewer" in told[0]
