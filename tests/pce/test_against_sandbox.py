"""The reader against a PCE that runs here: every release it can play, large estates, and faults on the way."""

from collections.abc import Iterator
from typing import Any

import pytest

from illumio_azsql_enforcer.errors import (
    PceForbidden,
    PceInvalidAnswer,
    PceUnauthorized,
    SnapshotIncomplete,
)
from illumio_azsql_enforcer.model.policy import Snapshot
from illumio_azsql_enforcer.model.settings import PceSettings
from illumio_azsql_enforcer.pce.client import PceClient
from illumio_azsql_enforcer.pce.reader import read_snapshot
from illumio_azsql_enforcer.retrying import Deadline
from illumio_azsql_enforcer.sandbox.pce import PceSimulator, faults
from illumio_azsql_enforcer.sandbox.wire import Fault
from illumio_azsql_enforcer.secret import Secret
from tests.support.clock import VirtualClock

RELEASES = ["19.3", "20.1", "21.5", "22.2", "22.3", "22.5", "23.5", "24.2", "25.2.10", "25.2.20", "26.3"]


def simulator(clock: VirtualClock, release: str = "25.2.20") -> PceSimulator:
    return PceSimulator(clock=clock, release=release)


@pytest.fixture
def pce(clock: VirtualClock) -> Iterator[PceSimulator]:
    with simulator(clock) as running:
        yield running


def read(pce: PceSimulator, clock: VirtualClock, **changed: Any) -> Snapshot:
    given: dict[str, Any] = {
        "url": pce.url,
        "org_id": pce.org_id,
        "api_key": pce.api_key,
        "api_secret": Secret(pce.api_secret),
    }
    settings = PceSettings(**(given | changed))
    client = PceClient(settings, clock)
    try:
        deadline = Deadline.after(clock, settings.deadline)
        return read_snapshot(client, org_id=settings.org_id, clock=clock, deadline=deadline)
    finally:
        assert client.requests_made == len(pce.journal)
        client.close()


def one_rule_set(pce: PceSimulator, *, deny: bool) -> None:
    label = pce.console.create("labels", key="role", value="db")["href"]
    rule_set = pce.console.create("rule_sets", name="orders", scopes=[[]])["href"]
    sides: dict[str, Any] = {
        "providers": [{"label": {"href": label}}],
        "consumers": [{"actors": "ams"}],
        "ingress_services": [{"proto": 6, "port": 1433}],
    }
    pce.console.add_rule(rule_set, **sides)
    if deny:
        pce.console.add_deny_rule(rule_set, override=True, **sides)
    pce.console.provision()
    pce.console.add_rule(rule_set, **sides)  # a draft that nobody provisioned


@pytest.mark.parametrize("release", RELEASES)
def test_every_release_is_read(clock: VirtualClock, release: str) -> None:
    numbers = tuple(int(each) for each in release.split("."))
    with simulator(clock, release) as pce:
        one_rule_set(pce, deny=numbers >= (24, 2))
        pce.console.create("workloads", name="orders-sql", hostname="orders.database.example.com")
        snapshot = read(pce, clock)
        asked = [request.path for request in pce.journal if request.path.endswith("/deny_rules")]
    orders = next(each for each in snapshot.rule_sets if each.name == "orders")
    assert snapshot.release == numbers
    assert snapshot.version == pce.console.version
    assert len(orders.rules or []) == 1
    assert [each.override for each in orders.deny_rules or []] == ([True] if numbers >= (24, 2) else [])
    assert [each.hostname for each in snapshot.workloads] == ["orders.database.example.com"]
    assert len(asked) == (0 if numbers >= (26,) else 2 if numbers >= (24, 2) else 1)


@pytest.mark.parametrize("location", ["href", "api", "absolute"])
@pytest.mark.parametrize("honoured", [True, False])
def test_more_than_500_objects_of_each_kind(
    pce: PceSimulator, clock: VirtualClock, location: Any, honoured: bool
) -> None:
    pce.behaviour.location = location
    pce.behaviour.honour_max_results = honoured
    active = f"/orgs/{pce.org_id}/sec_policy/active"
    pce.console.plant(
        {
            "labels": [
                {"href": f"/orgs/{pce.org_id}/labels/{i}", "key": "role", "value": f"r{i}"} for i in range(1000, 1501)
            ],
            "workloads": [
                {"href": f"/orgs/{pce.org_id}/workloads/w{i}", "hostname": f"h{i}.example.com"} for i in range(1700)
            ],
            "ip_lists": [
                {"href": f"{active}/ip_lists/{i}", "name": f"list {i}", "ip_ranges": []} for i in range(1000, 1600)
            ],
            "rule_sets": [
                {"href": f"{active}/rule_sets/{i}", "name": f"set {i}", "scopes": [], "rules": [], "deny_rules": []}
                for i in range(1000, 1700)
            ],
        }
    )
    pce.behaviour.inline_deny_rules = True
    snapshot = read(pce, clock)
    assert len(snapshot.labels) >= 501
    assert len(snapshot.workloads) == 1700
    assert len(snapshot.ip_lists) >= 601
    assert len(snapshot.rule_sets) >= 701
    assert sum("/datafiles/" in request.path for request in pce.journal) == 4


def test_deny_rules_of_very_many_rule_sets_keep_to_the_rate_limit(pce: PceSimulator, clock: VirtualClock) -> None:
    active = f"/orgs/{pce.org_id}/sec_policy/active"
    pce.behaviour.inline_deny_rules = False
    pce.console.plant(
        {
            "rule_sets": [
                {"href": f"{active}/rule_sets/{i}", "name": f"set {i}", "scopes": [], "rules": []}
                for i in range(900, 1700)
            ]
        }
    )
    assert len(read(pce, clock).rule_sets) >= 800
    assert {request.status for request in pce.journal} <= {200, 202}
    assert clock.monotonic() < 150


@pytest.mark.parametrize(
    ("what", "match"),
    [
        ({"job_end": "failed"}, "ended as failed: The collection could not be read"),
        ({"job_end": "never"}, "did not end before"),
        ({"datafiles_kept": False}, "no longer has the result"),
    ],
)
def test_a_job_that_goes_wrong_fails_the_read(
    pce: PceSimulator, clock: VirtualClock, what: dict[str, Any], match: str
) -> None:
    pce.behaviour.cap = 1
    for name, value in what.items():
        setattr(pce.behaviour, name, value)
    pce.console.create("labels", key="role", value="db")
    pce.console.create("labels", key="role", value="web")
    with pytest.raises(SnapshotIncomplete, match=match):
        read(pce, clock)


@pytest.mark.parametrize("total", [lambda count: count + 1, lambda count: 10 * count + 10])
def test_a_count_that_is_never_met_fails_the_read(pce: PceSimulator, clock: VirtualClock, total: Any) -> None:
    pce.behaviour.total_count = total
    with pytest.raises(SnapshotIncomplete, match="truncated"):
        read(pce, clock)


PASSING = [faults.BAD_GATEWAY, faults.RESTARTING, faults.CUT, faults.RESET, faults.throttled(), faults.throttled(None)]


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: fault.name)
@pytest.mark.parametrize("path", ["*/product_version", "*/sec_policy/active", "*/rule_sets", "*/workloads", "*"])
def test_two_faults_anywhere_are_survived(pce: PceSimulator, clock: VirtualClock, fault: Fault, path: str) -> None:
    one_rule_set(pce, deny=True)
    pce.faults.add(fault, path=path, times=2)
    assert any(each.name == "orders" for each in read(pce, clock).rule_sets)
    assert clock.monotonic() < 30


def test_a_provisioning_in_the_middle_starts_over(pce: PceSimulator, clock: VirtualClock) -> None:
    pce.faults.add(faults.version_moves(pce.console), path="*/workloads")
    assert read(pce, clock).version == pce.console.version


def test_provisioning_without_end_fails(pce: PceSimulator, clock: VirtualClock) -> None:
    pce.faults.add(faults.version_moves(pce.console), path="*/workloads", times=9)
    with pytest.raises(SnapshotIncomplete, match="provisioned again"):
        read(pce, clock)


@pytest.mark.parametrize(
    ("fault", "path", "kind"),
    [
        (faults.UNAUTHORIZED, "*", PceUnauthorized),
        (faults.FORBIDDEN, "*/workloads", PceForbidden),
        (faults.LOGIN_PAGE, "*/ip_lists", PceInvalidAnswer),
    ],
    ids=["401", "403", "login page"],
)
def test_a_refusal_fails_the_read(
    pce: PceSimulator, clock: VirtualClock, fault: Fault, path: str, kind: type[Exception]
) -> None:
    pce.faults.add(fault, path=path)
    with pytest.raises(kind):
        read(pce, clock)


def test_a_wrong_key_and_a_wrong_org_are_told_apart(pce: PceSimulator, clock: VirtualClock) -> None:
    with pytest.raises(PceUnauthorized, match=r"pce\.api_secret"):
        read(pce, clock, api_secret=Secret("wrong"))
    pce.journal.clear()
    with pytest.raises(PceForbidden, match=r"pce\.org_id 2 is not this key's org"):
        read(pce, clock, org_id=2)


@pytest.mark.parametrize("wrapped", [True, False])
def test_deny_rules_that_vanish_fail_from_24_2_on(pce: PceSimulator, clock: VirtualClock, wrapped: bool) -> None:
    pce.behaviour.wrap_product_version = wrapped
    pce.behaviour.inline_deny_rules = False
    pce.faults.add(faults.NOT_FOUND, path="*/deny_rules")
    with pytest.raises(SnapshotIncomplete, match=r"deny rules.*25\.2\.20"):
        read(pce, clock)
