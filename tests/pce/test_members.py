"""Targeted reads of a large estate: what is asked for, when everything is read after all, and that nothing is lost."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from illumio_azsql_enforcer.errors import PceError
from illumio_azsql_enforcer.model.firewall import Governed, Server
from illumio_azsql_enforcer.model.policy import Snapshot
from illumio_azsql_enforcer.model.settings import PceSettings, PolicySettings, ServerSettings
from illumio_azsql_enforcer.pce import members
from illumio_azsql_enforcer.pce.changes import PolicyWatch
from illumio_azsql_enforcer.pce.client import PceClient
from illumio_azsql_enforcer.pce.reader import read_snapshot
from illumio_azsql_enforcer.policy.demand import Interest
from illumio_azsql_enforcer.policy.identity import identify
from illumio_azsql_enforcer.policy.translator import Translator
from illumio_azsql_enforcer.retrying import Deadline
from illumio_azsql_enforcer.sandbox.exchange import Reply, Request
from illumio_azsql_enforcer.sandbox.pce import PceSimulator, faults
from illumio_azsql_enforcer.sandbox.pce.replies import JSON
from illumio_azsql_enforcer.sandbox.wire import Fault
from illumio_azsql_enforcer.secret import Secret
from tests.support.clock import VirtualClock

LARGE = members.SMALL + 100
ORG = "/orgs/1"
RULES = f"{ORG}/sec_policy/active/rule_sets/1"


def _workload(at: int, role: str, hostname: str = "") -> dict[str, Any]:
    return {
        "href": f"{ORG}/workloads/w{at}",
        "name": f"w{at}",
        "hostname": hostname or f"h{at}.example.com",
        "labels": [{"href": f"{ORG}/labels/{role}"}],
        "interfaces": [{"name": "eth0", "address": f"20.0.{at >> 8}.{at & 255}"}],
        "online": True,
        "managed": False,
        "deleted": False,
    }


def _label(name: str) -> Mapping[str, Any]:
    return {"label": {"href": f"{ORG}/labels/{name}"}}


def _server(number: int = 0) -> Server:
    return Server(f"/s/{number}", f"sql{number}", "s", "g", f"sql{number}.database.windows.net")


class Estate:
    """A PCE with many workloads, of which few matter, and a watch of it."""

    def __init__(self, pce: PceSimulator, clock: VirtualClock) -> None:
        self.pce, self.clock = pce, clock
        settings = PceSettings(pce.url, pce.org_id, pce.api_key, Secret(pce.api_secret))
        self.client = PceClient(settings, clock)
        self.watch = PolicyWatch(self.client, pce.org_id, clock, 900.0)
        self.interest = Interest((_server(),), ServerSettings(), PolicySettings())
        roles = ["db", "client", "other", *(f"r{at}" for at in range(400))]
        pce.console.plant(
            {
                "labels": [{"href": f"{ORG}/labels/{role}", "key": "role", "value": role} for role in roles],
                "workloads": [
                    _workload(0, "db", "SQL0.Database.Windows.NET."),
                    *(_workload(at, "client" if at < 30 else "other") for at in range(1, LARGE)),
                ],
            }
        )
        self.allow(_label("client"))

    def allow(self, *consumers: Mapping[str, Any], **changed: Any) -> None:
        """Provision one rule for the database, with these consumers."""
        rule = {
            "href": f"{RULES}/sec_rules/1",
            "enabled": True,
            "providers": [_label("db")],
            "consumers": list(consumers),
            "ingress_services": [{"proto": 6, "port": 1433}],
            "unscoped_consumers": True,
            **changed,
        }
        self.pce.console.plant({"rule_sets": [{"href": RULES, "name": "db", "scopes": [[]], "rules": [rule]}]})

    def look(self) -> Snapshot:
        self.clock.advance(60.0)
        self.pce.journal.clear()
        return self.watch.snapshot(Deadline.after(self.clock, 600.0), lambda: self.interest)

    def whole(self) -> Snapshot:
        deadline = Deadline.after(self.clock, 600.0)
        return read_snapshot(self.client, org_id=1, clock=self.clock, deadline=deadline)

    def translated(self, snapshot: Snapshot) -> list[Any]:
        known = identify(self.interest.servers, snapshot, self.interest.naming)
        governed = [each for each in known if isinstance(each, Governed)]
        translator = Translator(snapshot, self.interest.policy, governed)
        return [*map(str, known), *map(translator.translate, governed)]

    def check(self, snapshot: Snapshot) -> None:
        """It says the same of the servers as everything does."""
        expected = self.translated(self.whole())
        assert len(expected) > 1
        assert self.translated(snapshot) == expected

    @property
    def queries(self) -> list[str]:
        """Which filters the last look used on workloads, in order."""
        asked = [each for each in self.pce.journal if each.path.endswith("/workloads")]
        names = [[name for name in each.query if name != "max_results"] for each in asked]
        return [name for one in names for name in one or ["all"]]


@pytest.fixture
def estate(clock: VirtualClock) -> Iterator[Estate]:
    with PceSimulator(clock=clock, release="26.3") as pce:
        made = Estate(pce, clock)
        yield made
        made.client.close()


def test_only_the_workloads_that_matter_are_read(estate: Estate) -> None:
    snapshot = estate.look()
    assert len(snapshot.workloads) == 30
    assert estate.queries == ["all", "hostname", "hostname", "labels", "labels"]  # counted first, for all and labels
    assert not [each for each in estate.pce.journal if each.path.endswith("/workloads") and not each.query]
    estate.check(snapshot)


def test_a_quiet_look_still_makes_two_requests(estate: Estate) -> None:
    first = estate.look()
    assert estate.look() is first
    assert len(estate.pce.journal) == 2


def test_a_workload_that_begins_to_matter_is_read(estate: Estate) -> None:
    estate.look()
    estate.pce.console.update(f"{ORG}/workloads/w77", labels=[{"href": f"{ORG}/labels/client"}])
    snapshot = estate.look()
    assert f"{ORG}/workloads/w77" in {each.href for each in snapshot.workloads}
    estate.check(snapshot)


def test_a_policy_that_begins_to_matter_brings_its_workloads(estate: Estate) -> None:
    estate.look()
    estate.allow(_label("client"), {"workload": {"href": f"{ORG}/workloads/w99"}})
    snapshot = estate.look()
    assert len(snapshot.workloads) == 31
    estate.check(snapshot)


def test_a_workload_that_is_named_but_not_there_is_missing_either_way(estate: Estate) -> None:
    estate.allow(_label("client"), {"workload": {"href": f"{ORG}/workloads/gone"}})
    estate.check(estate.look())


def test_a_new_server_brings_its_workloads(estate: Estate) -> None:
    estate.look()
    estate.interest = Interest((_server(), _server(1)), ServerSettings(), PolicySettings())
    estate.pce.console.plant({"workloads": [_workload(1, "db", "sql1.database.windows.net")]})
    estate.check(estate.look())
    assert "labels" in estate.queries


@pytest.mark.parametrize(
    "consumers",
    [
        [{"actors": "ams"}],
        [_label("other")],  # nearly everybody
        [{**_label("client"), "exclusion": True}],
        [{"workload": {"href": f"{ORG}/workloads/w{at}"}} for at in range(members.MOST_NAMED + 1)],
    ],
    ids=["all workloads", "most of them", "an exclusion", "many by name"],
)
def test_everything_is_read_where_it_takes_most_or_many_requests(estate: Estate, consumers: list[Any]) -> None:
    estate.allow(*consumers)
    snapshot = estate.look()
    assert len(snapshot.workloads) == LARGE
    estate.check(snapshot)


def test_many_label_sets_take_several_queries(estate: Estate) -> None:
    estate.allow(_label("client"), *(_label(f"r{at}") for at in range(200)))
    snapshot = estate.look()
    asked = [each for each in estate.pce.journal if "labels" in each.query]
    assert len({each.query["labels"] for each in asked}) > 1
    assert all(len(each.target) < 4200 for each in asked)
    assert len(snapshot.workloads) == 30
    estate.check(snapshot)


def test_a_workload_that_moves_between_two_queries_is_not_lost(estate: Estate) -> None:
    """From a label of the second query to one of the first, after that was answered."""
    estate.allow(_label("client"), *(_label(f"r{at}") for at in range(200)))
    mover = f"{ORG}/workloads/w1500"
    estate.pce.console.update(mover, labels=[{"href": f"{ORG}/labels/r90"}])

    def move(_request: Request) -> None:
        estate.pce.console.update(mover, labels=[{"href": f"{ORG}/labels/client"}])

    seen: list[str] = []

    def on_second_query(request: Request) -> None:
        if "labels" in request.query and "max_results" not in request.query:
            seen.append(request.query["labels"])
            if len(seen) == 2:
                move(request)

    estate.pce.faults.add(Fault("look on", act=on_second_query), path="*/workloads", times=1000)
    snapshot = estate.look()
    assert "labels/client" in seen[0]
    assert "labels/r90" in seen[1]
    assert mover in {each.href for each in snapshot.workloads}


def test_a_server_that_gets_other_labels_meanwhile_makes_everything_be_read(estate: Estate) -> None:
    rule = {
        "href": f"{RULES}/sec_rules/2",
        "providers": [_label("client")],
        "consumers": [_label("other")],
        "ingress_services": [{"proto": 6, "port": 1433}],
        "unscoped_consumers": True,
    }
    kept = {**rule, "href": f"{RULES}/sec_rules/1", "providers": [_label("db")], "consumers": [_label("client")]}
    estate.pce.console.plant({"rule_sets": [{"href": RULES, "name": "db", "scopes": [[]], "rules": [kept, rule]}]})

    def relabel(request: Request) -> None:
        if "labels" in request.query:
            estate.pce.console.update(f"{ORG}/workloads/w0", labels=[{"href": f"{ORG}/labels/client"}])

    estate.pce.faults.add(Fault("relabel", act=relabel), path="*/workloads", times=1000)
    snapshot = estate.look()
    assert len(snapshot.workloads) == LARGE


def test_names_are_trusted_only_where_capitals_do_not_matter(estate: Estate) -> None:
    nothing = Fault("capitals matter", reply=Reply(200, b"[]", {**JSON, "X-Total-Count": "0"}))
    estate.pce.faults.add(nothing, path="*/workloads", times=1, skip=2)
    snapshot = estate.look()
    assert len(snapshot.workloads) == LARGE


def test_a_filter_that_the_pce_does_not_know_costs_but_loses_nothing(estate: Estate) -> None:
    def forget(request: Request) -> None:
        request.query.pop("labels", None)

    estate.pce.faults.add(Fault("no filter", act=forget), path="*/workloads", times=1000)
    snapshot = estate.look()
    assert len(snapshot.workloads) == LARGE
    estate.check(snapshot)


@pytest.mark.parametrize("skip", range(5))
def test_a_fault_on_the_way_is_an_error_or_makes_everything_be_read(estate: Estate, skip: int) -> None:
    estate.pce.faults.add(faults.LOGIN_PAGE, path="*/workloads", times=1, skip=skip)
    try:
        snapshot = estate.look()
    except PceError:
        snapshot = estate.look()
    else:
        assert len(snapshot.workloads) == LARGE
    estate.check(snapshot)


def test_a_small_estate_is_read_whole(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "SMALL", LARGE + 1)
    with PceSimulator(clock=clock, release="26.3") as pce:
        estate = Estate(pce, clock)
        assert len(estate.look().workloads) == LARGE
        estate.client.close()
