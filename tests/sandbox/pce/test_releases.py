"""What differs between releases."""

from collections.abc import Iterator
from typing import Any

import pytest

from illumio_azsql_enforcer.sandbox.pce import PceSimulator, Refused
from tests.sandbox.pce.conftest import Client
from tests.support.clock import VirtualClock

TCP_1433 = [{"proto": 6, "port": 1433}]
AMS = [{"actors": "ams"}]
RELEASES = ("20.1", "21.5", "22.5", "24.2.0", "25.2.20", "26.3.0")


class Estate:
    """A PCE of some release with one of everything that differs."""

    def __init__(self, pce: PceSimulator) -> None:
        self.pce, self.client = pce, Client(pce)
        create = pce.console.create
        self.label = create("labels", key="role", value="web")["href"]
        self.workload = create("workloads", name="w", managed=True, labels=[{"href": self.label}])["href"]
        self.rule_set = create("rule_sets", name="r", scopes=[[{"label": {"href": self.label}}]])["href"]
        label = [{"label": {"href": self.label}}]
        pce.console.add_rule(self.rule_set, providers=label, consumers=AMS, ingress_services=TCP_1433)
        pce.console.provision()

    def active(self) -> dict[str, Any]:
        shown: dict[str, Any] = self.client.json(self.rule_set.replace("/draft/", "/active/"))
        return shown


@pytest.fixture(params=RELEASES)
def estate(request: pytest.FixtureRequest) -> Iterator[Estate]:
    with PceSimulator(release=request.param, clock=VirtualClock()) as pce:
        made = Estate(pce)
        yield made
        made.client.session.close()


def test_workloads(estate: Estate) -> None:
    version = estate.pce.release.version
    (shown,) = estate.client.json("/orgs/1/workloads")
    assert ("managed" in shown) == (version >= (22, 2))
    assert ("ven" in shown) == ("enforcement_mode" in shown) == (version >= (21,))
    assert shown["agent"]["href"].startswith("/orgs/1/agents/")
    assert shown["agent"]["config"]["mode"] == "illuminated"
    whole = {"href": estate.label, "key": "role", "value": "web"}
    assert shown["labels"] == [whole if version >= (22, 3) else {"href": estate.label}]
    represented = estate.client.json("/orgs/1/workloads", representation="workload_labels")
    assert represented[0]["labels"] == [whole]


def test_rules_and_scopes(estate: Estate) -> None:
    version, shown = estate.pce.release.version, estate.active()
    assert ("exclusion" in shown["scopes"][0][0]) == (version >= (22, 2))
    (rule,) = shown["rules"]
    assert ("exclusion" in rule["providers"][0]) == (version >= (22, 2))
    assert ("network_type" in rule) == (version >= (22, 3))
    assert ("all_ips_except_for_in_consumers" in rule) == (version >= (26,))


def test_exclusions_are_refused_where_they_are_unknown(estate: Estate) -> None:
    scopes = [[{"label": {"href": estate.label}, "exclusion": True}]]
    if estate.pce.release.version >= (22, 2):
        estate.pce.console.update(estate.rule_set, scopes=scopes)
    else:
        with pytest.raises(Refused, match="exclusion"):
            estate.pce.console.update(estate.rule_set, scopes=scopes)


def test_deny_rules_are_absent_below_or_inline(estate: Estate) -> None:
    version, client = estate.pce.release.version, estate.client
    body = {"providers": AMS, "consumers": AMS, "ingress_services": TCP_1433, "override": True}
    made = client.call("POST", f"{estate.rule_set}/deny_rules", json=body)
    assert made.status_code == (201 if version >= (24, 2) else 404)
    if made.status_code == 201:
        estate.pce.console.provision()
    collection = client.get(f"{estate.active()['href']}/deny_rules")
    assert collection.status_code == (200 if version >= (24, 2) else 404)
    assert ("deny_rules" in estate.active()) == (version >= (26,))
    if version >= (26,):
        assert estate.active()["deny_rules"] == collection.json()
        assert len(collection.json()[0]) == 20


def test_inlining_can_be_switched(estate: Estate) -> None:
    estate.pce.behaviour.inline_deny_rules = True
    assert ("deny_rules" in estate.active()) == (estate.pce.release.version >= (24, 2))
    estate.pce.behaviour.inline_deny_rules = False
    assert "deny_rules" not in estate.active()


def test_collections_that_came_later(estate: Estate) -> None:
    version, client = estate.pce.release.version, estate.client
    for href, since in (
        ("/orgs/1/sec_policy/active/enforcement_boundaries", (21,)),
        ("/orgs/1/label_dimensions", (22, 5)),
        ("/orgs/1/sec_policy/active/policy_check", (25, 2, 10)),
    ):
        assert (client.get(href).status_code == 404) == (version < since), href
    counts = client.json("/orgs/1/sec_policy/active")["object_counts"]
    assert ("enforcement_boundaries" in counts) == (version >= (21,))
