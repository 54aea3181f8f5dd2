"""The snapshot is complete, or there is none."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from illumio_azsql_enforcer.errors import (
    PceError,
    PceForbidden,
    PceInvalidAnswer,
    PceNotFound,
    SnapshotIncomplete,
)
from illumio_azsql_enforcer.model.policy import Snapshot
from illumio_azsql_enforcer.pce.client import PceClient
from illumio_azsql_enforcer.pce.reader import read_snapshot
from illumio_azsql_enforcer.retrying import Deadline
from tests.pce.fake import ACTIVE, FakePce, Reply, gone, listed, rule, rule_set, version
from tests.support.clock import VirtualClock

Read = Callable[[], Snapshot]
RULE_SETS = f"{ACTIVE}/rule_sets"
DENY = {"href": f"{RULE_SETS}/40/deny_rules/9", "override": True, "providers": [], "consumers": []}


@pytest.fixture
def read(client: PceClient, clock: VirtualClock, deadline: Deadline, pce: FakePce) -> Read:
    return lambda: read_snapshot(client, org_id=7, clock=clock, deadline=deadline)


def without(key: str, **changed: Any) -> dict[str, Any]:
    return {name: value for name, value in rule_set(**changed).items() if name != key}


def release(pce: FakePce, text: str | None) -> None:
    pce.answers["/product_version"] = (200, {}, json.dumps({"version": text})) if text else gone()


def test_quiet_read_costs_eleven_requests(read: Read, pce: FakePce, client: PceClient) -> None:
    snapshot = read()
    assert (snapshot.version, snapshot.release) == (80, (25, 2, 20))
    assert [each.hostname for each in snapshot.workloads] == ["orders.example.com"]
    assert [each.name for each in snapshot.rule_sets] == ["set 40"]
    assert client.requests_made == len(pce.asked) == 11
    assert not any("draft" in path for path in pce.paths)
    assert pce.paths.index("/orgs/7/service_bindings") < pce.paths.index("/orgs/7/workloads")
    assert pce.paths.index("/orgs/7/workloads") < pce.paths.index("/orgs/7/labels")


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"version": "25.2.20", "build": 117}, (25, 2, 20)),
        ({"product_version": {"version": "24.5.0-1", "build": "9"}}, (24, 5, 0)),
        ({"version": "unknown"}, ()),
        ({"version": None}, ()),
        ([], ()),
    ],
)
def test_release_in_either_shape(read: Read, pce: FakePce, body: object, found: tuple[int, ...]) -> None:
    pce.answers["/product_version"] = (200, {}, json.dumps(body))
    assert read().release == found


def test_release_unknown_when_the_route_is_missing(read: Read, pce: FakePce) -> None:
    release(pce, None)
    assert read().release == ()


@pytest.mark.parametrize("status", [403, 405, 406])
def test_release_unknown_when_the_key_may_not_ask(read: Read, pce: FakePce, status: int) -> None:
    pce.answers["/product_version"] = (status, {}, '[{"token": "forbidden_error"}]')
    assert read().release == ()


def test_a_read_that_the_deadline_ends_says_where(read: Read, pce: FakePce, clock: VirtualClock) -> None:
    def stall(_: object) -> Reply:
        clock.advance(600)
        return listed([])

    pce.answers["/orgs/7/service_bindings"] = stall
    with pytest.raises(SnapshotIncomplete, match=r"within pce\.deadline; it passed at /orgs/7/workloads"):
        read()


# --- rules and deny rules


def test_rules_that_are_not_inline_are_fetched(read: Read, pce: FakePce) -> None:
    pce.answers[RULE_SETS] = listed([without("rules")])
    pce.answers[f"{RULE_SETS}/40/sec_rules"] = listed([rule(40, 1), rule(40, 2)])
    assert [each.href[-1] for each in read().rule_sets[0].rules or []] == ["1", "2"]


@pytest.mark.parametrize("key", ["rules", "deny_rules"])
def test_null_where_rules_belong_is_refused(read: Read, pce: FakePce, key: str) -> None:
    pce.answers[RULE_SETS] = listed([rule_set() | {key: None}])
    with pytest.raises(PceInvalidAnswer, match=f"rule set .*rule_sets/40 .*set 40.* null where its {key}"):
        read()


def test_inline_deny_rules_are_trusted_when_every_rule_set_has_the_key(read: Read, pce: FakePce) -> None:
    pce.answers[RULE_SETS] = listed([rule_set(deny_rules=[DENY])])
    assert [each.override for each in read().rule_sets[0].deny_rules or []] == [True]
    assert not any(path.endswith("deny_rules") for path in pce.paths)


@pytest.mark.parametrize("told", ["24.2", "25.2.20", "26.30.2", "23.5", None])
def test_deny_rules_are_fetched_for_every_rule_set_when_one_lacks_the_key(
    read: Read, pce: FakePce, told: str | None
) -> None:
    release(pce, told)
    pce.answers[ACTIVE] = version(rule_sets=3)
    pce.answers[RULE_SETS] = listed([rule_set(39), without("deny_rules"), without("deny_rules", number=41)])
    for number in (39, 40, 41):
        deny = DENY | {"href": f"{RULE_SETS}/{number}/deny_rules/9"}
        pce.answers[f"{RULE_SETS}/{number}/deny_rules"] = listed([deny] if number != 40 else [])
    assert [len(each.deny_rules or []) for each in read().rule_sets] == [1, 0, 1]
    assert sorted(path for path in pce.paths if path.endswith("deny_rules")) == [
        f"{RULE_SETS}/{number}/deny_rules" for number in (39, 40, 41)
    ]


@pytest.mark.parametrize("told", ["19.3.0", "22.5", "23.5.31", "24.1"])
def test_no_deny_rules_route_is_fine_below_24_2(read: Read, pce: FakePce, told: str) -> None:
    release(pce, told)
    pce.answers[ACTIVE] = version(rule_sets=2)
    pce.answers[RULE_SETS] = listed([without("deny_rules"), without("deny_rules", number=41)])
    assert [each.deny_rules for each in read().rule_sets] == [[], []]
    assert sum(path.endswith("deny_rules") for path in pce.paths) == 1


@pytest.mark.parametrize("told", ["24.2", "24.2.0", "25.2.20", "26.3", "24", None])
def test_no_deny_rules_route_fails_from_24_2_on_and_for_an_unknown_release(
    read: Read, pce: FakePce, told: str | None
) -> None:
    release(pce, told)
    pce.answers[RULE_SETS] = listed([without("deny_rules")])
    with pytest.raises(SnapshotIncomplete, match="deny rules"):
        read()


def test_no_deny_rules_route_beside_inline_deny_rules_fails(read: Read, pce: FakePce) -> None:
    release(pce, "23.5")
    pce.answers[ACTIVE] = version(rule_sets=2)
    pce.answers[RULE_SETS] = listed([rule_set(deny_rules=[DENY]), without("deny_rules", number=41)])
    with pytest.raises(SnapshotIncomplete, match="deny rules"):
        read()


def test_forbidden_deny_rules_fail(read: Read, pce: FakePce) -> None:
    pce.answers[RULE_SETS] = listed([without("deny_rules")])
    pce.answers[f"{RULE_SETS}/40/deny_rules"] = (403, {}, "[]")
    with pytest.raises(PceForbidden):
        read()


def test_no_rule_sets_need_no_deny_rules(read: Read, pce: FakePce) -> None:
    release(pce, None)
    pce.answers[ACTIVE] = version(rule_sets=0)
    pce.answers[RULE_SETS] = listed([])
    assert read().rule_sets == ()


# --- routes that a release may lack


def test_virtual_services_and_bindings_may_be_absent(read: Read, pce: FakePce) -> None:
    pce.answers[f"{ACTIVE}/virtual_services"] = gone()
    pce.answers["/orgs/7/service_bindings"] = gone()
    snapshot = read()
    assert (snapshot.virtual_services, snapshot.service_bindings) == ((), ())


def test_virtual_services_may_not_be_absent_when_the_version_counts_some(read: Read, pce: FakePce) -> None:
    pce.answers[ACTIVE] = version(virtual_services=2)
    pce.answers[f"{ACTIVE}/virtual_services"] = gone()
    with pytest.raises(SnapshotIncomplete, match="0 virtual_services where its policy version counts 2"):
        read()


@pytest.mark.parametrize(
    "path",
    [
        "/orgs/7/labels",
        "/orgs/7/workloads",
        RULE_SETS,
        f"{ACTIVE}/ip_lists",
        f"{ACTIVE}/services",
        f"{ACTIVE}/label_groups",
    ],
)
def test_every_other_route_is_needed(read: Read, pce: FakePce, path: str) -> None:
    pce.answers[path] = gone()
    with pytest.raises(PceNotFound, match=path):
        read()


# --- counts


@pytest.mark.parametrize("name", ["rule_sets", "ip_lists", "services", "label_groups"])
def test_fewer_objects_than_the_version_counts_fail(read: Read, pce: FakePce, name: str) -> None:
    pce.answers[ACTIVE] = version(**{name: 5})
    with pytest.raises(SnapshotIncomplete, match=f"{name} where its policy version counts 5.*Global Viewer"):
        read()


def test_an_empty_list_of_rule_sets_fails_when_the_version_counts_some(read: Read, pce: FakePce) -> None:
    pce.answers[RULE_SETS] = listed([])
    with pytest.raises(SnapshotIncomplete, match="0 rule_sets"):
        read()


def test_more_objects_than_counted_are_taken(read: Read, pce: FakePce) -> None:
    pce.answers[ACTIVE] = version(rule_sets=0)
    assert len(read().rule_sets) == 1


def test_a_release_without_counts_is_read(read: Read, pce: FakePce) -> None:
    pce.answers[ACTIVE] = (200, {}, json.dumps({"version": 3}))
    assert read().version == 3


# --- churn


def test_a_version_that_moves_starts_the_read_over(read: Read, pce: FakePce) -> None:
    pce.answers[ACTIVE] = [version(80), version(81, rule_sets=2), version(81, rule_sets=2)]
    pce.answers[RULE_SETS] = [listed([rule_set()]), listed([rule_set(), rule_set(41)])]
    snapshot = read()
    assert (snapshot.version, len(snapshot.rule_sets)) == (81, 2)
    assert pce.paths.count("/orgs/7/workloads") == 2
    assert pce.paths.count(ACTIVE) == 3


def test_a_version_that_never_rests_fails(read: Read, pce: FakePce) -> None:
    pce.answers[ACTIVE] = [version(number) for number in range(80, 90)]
    with pytest.raises(SnapshotIncomplete, match="provisioned again during each of 4 reads"):
        read()
    assert pce.paths.count(RULE_SETS) == 4


def test_a_short_count_in_the_middle_of_a_provisioning_starts_over(read: Read, pce: FakePce) -> None:
    pce.answers[ACTIVE] = [version(80, rule_sets=2), version(81, rule_sets=1)]
    assert read().version == 81


def test_a_rule_set_that_vanishes_while_its_rules_are_read_starts_over(read: Read, pce: FakePce) -> None:
    pce.answers[ACTIVE] = [version(80, rule_sets=1), version(81, rule_sets=0)]
    pce.answers[RULE_SETS] = [listed([without("rules")]), listed([])]
    assert (snapshot := read()).version == 81
    assert snapshot.rule_sets == ()


def test_the_release_is_read_once(read: Read, pce: FakePce) -> None:
    pce.answers[ACTIVE] = [version(80), version(81)]
    read()
    assert pce.paths.count("/product_version") == 1


# --- shapes


@pytest.mark.parametrize(
    ("path", "objects", "named"),
    [
        ("/orgs/7/labels", [None], "element 0"),
        ("/orgs/7/labels", [{"href": "/orgs/7/labels/1", "key": "role", "value": None}], "labels/1.*value"),
        (
            f"{ACTIVE}/ip_lists",
            [{"href": f"{ACTIVE}/ip_lists/14", "name": "office", "ip_ranges": {}}],
            "office.*ip_ranges",
        ),
        (f"{ACTIVE}/ip_lists", [{"name": "office"}], "office.*href"),
        ("/orgs/7/workloads", [{"href": "/orgs/7/workloads/w1", "labels": ["x"]}], "workloads/w1.*labels"),
        (RULE_SETS, [rule_set(rules=[None])], "set 40.*rules"),
        (RULE_SETS, [rule_set(enabled="yes")], "set 40.*enabled"),
        (RULE_SETS, [rule_set(scopes=[None])], "set 40.*scopes"),
    ],
)
def test_a_wrong_type_is_refused_and_named(read: Read, pce: FakePce, path: str, objects: list[Any], named: str) -> None:
    pce.answers[path] = listed(objects)
    with pytest.raises(PceInvalidAnswer, match=f"{path}.*{named}"):
        read()


@pytest.mark.parametrize("body", ["{}", "null", '"x"', "7"])
def test_no_list_is_refused(read: Read, pce: FakePce, body: str) -> None:
    pce.answers["/orgs/7/workloads"] = (200, {}, body)
    with pytest.raises(PceInvalidAnswer, match="/orgs/7/workloads in a wrong shape"):
        read()


def test_two_objects_with_one_href_are_refused(read: Read, pce: FakePce) -> None:
    pce.answers["/orgs/7/workloads"] = listed([{"href": "/orgs/7/workloads/w1"}] * 2)
    with pytest.raises(PceInvalidAnswer, match=r"workloads/w1.* twice"):
        read()


def test_the_draft_and_the_active_form_of_one_object_are_one(read: Read, pce: FakePce) -> None:
    draft = "/orgs/7/sec_policy/draft/ip_lists/14"
    pce.answers[f"{ACTIVE}/ip_lists"] = listed([{"href": draft}, {"href": f"{ACTIVE}/ip_lists/14"}])
    with pytest.raises(PceInvalidAnswer, match=r"ip_lists/14.* twice"):
        read()


def test_two_rules_with_one_href_are_refused(read: Read, pce: FakePce) -> None:
    pce.answers[RULE_SETS] = listed([rule_set(rules=[rule(40, 1), rule(40, 1)])])
    with pytest.raises(PceInvalidAnswer, match="sec_rules/1 twice"):
        read()


@pytest.mark.parametrize("href", ["", "http://elsewhere.example.net/x", "labels/1"])
def test_an_href_that_is_none_is_refused(read: Read, pce: FakePce, href: str) -> None:
    pce.answers["/orgs/7/labels"] = listed([{"href": href, "key": "role", "value": "db"}])
    with pytest.raises(PceInvalidAnswer, match="proper href"):
        read()


@pytest.mark.parametrize(
    "href", ["/orgs/7/../../x", "/orgs/7/rule_sets/4?x=y", "//elsewhere.example.net/x", "/orgs/7/a%2fb"]
)
def test_an_href_never_leads_elsewhere(read: Read, pce: FakePce, href: str) -> None:
    pce.answers[RULE_SETS] = listed([without("rules") | {"href": href}])
    with pytest.raises(PceInvalidAnswer, match="no path of the API"):
        read()
    assert all(path.startswith(("/orgs/7/", "/product_version")) for path in pce.paths)


@pytest.mark.parametrize(
    "body", ['{"version": "80"}', "{}", "[]", '{"version": 1, "object_counts": {"rule_sets": "2"}}']
)
def test_a_version_that_cannot_be_read_fails(read: Read, pce: FakePce, body: str) -> None:
    pce.answers[ACTIVE] = (200, {}, body)
    with pytest.raises(PceError, match="sec_policy/active in a wrong shape"):
        read()
