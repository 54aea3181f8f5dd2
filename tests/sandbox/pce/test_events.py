"""The audit log: what a client that watches for changes can see."""

from illumio_azsql_enforcer.sandbox.pce import PceSimulator
from tests.sandbox.pce.conftest import Client
from tests.support.clock import VirtualClock

EVENTS = "/orgs/1/events"


def _since(client: Client, moment: str) -> list[str]:
    """Event types from a moment on, oldest first."""
    found = client.json(EVENTS, **{"timestamp[gte]": moment, "max_results": "10000"})
    return [one["event_type"] for one in reversed(found)]


def test_edits_of_live_objects_are_events_with_before_and_after(pce: PceSimulator, client: Client) -> None:
    label = pce.console.create("labels", key="role", value="web")["href"]
    workload = pce.console.create("workloads", name="w")["href"]
    client.call("PUT", workload, json={"labels": [{"href": label}]})
    event = client.json(EVENTS)[0]
    assert (event["event_type"], event["status"]) == ("workload.update", "success")
    assert event["action"]["api_method"] == "PUT"
    assert event["action"]["api_endpoint"] == f"/api/v2{workload}"
    assert event["created_by"]["user"]["href"] == "/users/1"
    (change,) = event["resource_changes"]
    assert change["change_type"] == "update"
    assert change["resource"]["workload"]["href"] == workload
    assert change["changes"]["labels"] == {"before": [], "after": [{"href": label}]}
    assert client.json(event["href"]) == event


def test_provisioning_is_an_event_and_a_deny_rule_is_none(
    pce: PceSimulator, client: Client, clock: VirtualClock
) -> None:
    clock.advance(5)
    rule_set = pce.console.create("rule_sets", name="r", scopes=[[]])["href"]
    sides = {"providers": [{"actors": "ams"}], "consumers": [{"actors": "ams"}]}
    services = [{"proto": 6, "port": 1433}]
    pce.console.add_rule(rule_set, **sides, ingress_services=services)
    pce.console.add_deny_rule(rule_set, **sides, ingress_services=services)
    pce.console.provision()
    assert _since(client, "2026-11-23T10:00:05.000Z") == ["rule_set.create", "sec_rule.create", "sec_policy.create"]


def test_what_agents_report_has_its_own_events(pce: PceSimulator, client: Client, clock: VirtualClock) -> None:
    workload = pce.console.create("workloads", name="w", managed=True)["href"]
    clock.advance(5)
    pce.console.update(workload, online=False)
    pce.console.update(workload, online=True)
    pce.console.update(workload, interfaces=[{"name": "eth0", "address": "192.0.2.1"}])
    assert _since(client, "2026-11-23T10:00:05.000Z") == [
        "system_task.agent_offline_check",
        "workload.online",
        "workload_interfaces.update",
    ]


def test_events_are_the_newest_100_unless_more_are_asked_for(pce: PceSimulator, client: Client) -> None:
    for number in range(120):
        pce.console.create("labels", key="role", value=str(number))
    usual = client.get(EVENTS)
    assert len(usual.json()) == 100
    assert usual.json()[0]["resource_changes"][0]["changes"]["value"]["after"] == "119"
    total = int(usual.headers["X-Total-Count"])
    assert len(client.json(EVENTS, max_results="10000")) == total > 120
    assert len(client.json(EVENTS, max_results="10000", event_type="label.create")) == 120
    assert client.json(EVENTS, **{"timestamp[lte]": "2020-01-01T00:00:00Z"}) == []


def test_events_may_be_forbidden(pce: PceSimulator, client: Client) -> None:
    pce.behaviour.events_permitted = False
    assert client.get(EVENTS).status_code == 403
