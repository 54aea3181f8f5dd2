"""Faults, the door for another process, and planted worlds."""

import math
from typing import Any

import pytest
import requests

from illumio_azsql_enforcer.sandbox.pce import PceSimulator, faults
from illumio_azsql_enforcer.sandbox.pce.shapes import Json
from illumio_azsql_enforcer.sandbox.wire import Fault
from tests.sandbox.pce.conftest import Client

LABELS = "/orgs/1/labels"


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (faults.BAD_GATEWAY, 502),
        (faults.RESTARTING, 503),
        (faults.UNAUTHORIZED, 401),
        (faults.FORBIDDEN, 403),
        (faults.NOT_FOUND, 404),
        (faults.LOGIN_PAGE, 200),
        (faults.throttled(3), 429),
    ],
)
def test_a_fault_is_played_once(pce: PceSimulator, client: Client, fault: Fault, status: int) -> None:
    pce.faults.add(fault, path="*/labels")
    assert client.get("/noop").status_code == 200
    answer = client.get(LABELS)
    assert answer.status_code == status
    assert answer.headers["X-Request-Id"]
    assert pce.journal[-1].fault == fault.name
    assert client.json(LABELS) == []


def test_throttling_with_and_without_a_wait(pce: PceSimulator, client: Client) -> None:
    pce.faults.add(faults.throttled(3))
    pce.faults.add(faults.throttled(None))
    assert client.get(LABELS).headers["Retry-After"] == "3"
    assert "Retry-After" not in client.get(LABELS).headers


@pytest.mark.parametrize("fault", [faults.CUT, faults.RESET])
def test_a_cut_body_and_a_reset(pce: PceSimulator, client: Client, fault: Fault) -> None:
    pce.console.create("labels", key="role", value="web")
    pce.faults.add(fault)
    with pytest.raises(requests.RequestException):
        client.get(LABELS)
    assert client.get(LABELS).status_code == 200


def test_a_lost_answer_did_its_work(pce: PceSimulator, client: Client) -> None:
    pce.faults.add(faults.LOST, method="POST")
    with pytest.raises(requests.RequestException):
        client.call("POST", LABELS, json={"key": "role", "value": "web"})
    assert [one["value"] for one in client.json(LABELS)] == ["web"]


def test_the_version_moves_during_a_read(pce: PceSimulator, client: Client) -> None:
    pce.faults.add(faults.version_moves(pce.console), path="*/active/ip_lists", times=math.inf)
    active = "/orgs/1/sec_policy/active"
    before = client.json(active)["version"]
    client.get(f"{active}/ip_lists")
    client.get(f"{active}/ip_lists")
    assert client.json(active)["version"] == before + 2


class Door:
    """What another process can do, without a key."""

    def __init__(self, pce: PceSimulator) -> None:
        self._url = pce.url

    def __call__(self, method: str, name: str, body: Any = None, status: int = 200) -> Any:
        answer = requests.request(method, f"{self._url}/sandbox/{name}", json=body, timeout=5)
        assert answer.status_code == status, answer.text
        return answer.json()


def test_another_process_steers(pce: PceSimulator, client: Client) -> None:
    door = Door(pce)
    made = door("POST", "pair", {"name": "w", "interfaces": [{"name": "eth0", "address": "192.0.2.1"}]})
    assert client.json(made["href"])["managed"] is True
    door("POST", "agent", {"href": made["href"], "online": False})
    assert client.json(made["href"])["online"] is False
    assert door("PUT", "behaviour", {"cap": 1})["cap"] == 1
    assert pce.behaviour.cap == 1
    door("POST", "fault", {"name": "bad_gateway", "path": "*/labels", "times": None})
    assert [client.get(LABELS).status_code for _ in range(3)] == [502, 502, 502]
    door("DELETE", "fault")
    assert client.get(LABELS).status_code == 200
    door("POST", "fault", {"name": "throttled", "seconds": 7})
    assert client.get(LABELS).headers["Retry-After"] == "7"
    assert door("POST", "move_version") == {"version": 2}
    assert door("GET", "journal")[-1]["fault"] == "throttled"


def test_the_door_says_what_does_not_fit(pce: PceSimulator) -> None:
    door = Door(pce)
    door("POST", "fault", {"name": "nonsense"}, status=400)
    door("POST", "fault", {}, status=400)
    door("PUT", "behaviour", {"colour": "red"}, status=400)
    door("POST", "pair", {"nonsense": 1}, status=406)
    door("POST", "agent", {"online": True}, status=400)
    door("GET", "nonsense", status=404)
    assert pce.console.find("workloads") == []


def test_planted_objects_are_answered_as_they_are(pce: PceSimulator, client: Client) -> None:
    hostile = {
        "href": "/orgs/1/sec_policy/active/rule_sets/77",
        "name": "x\u001b[31m",
        "enabled": "maybe",
        "scopes": [],
        "rules": [
            {
                "href": "/orgs/1/sec_policy/active/rule_sets/77/sec_rules/1",
                "providers": [{"moon": {"href": "/orgs/1/moons/1"}}],
                "consumers": [
                    {"ip_list": {"href": "/orgs/1/sec_policy/active/ip_lists/404"}},
                    {"ip_list": {"href": "/orgs/1/sec_policy/draft/ip_lists/1"}},
                ],
                "ingress_services": None,
            }
        ],
        "new_field": 1,
    }
    workload = {"href": "/orgs/1/workloads/w-1", "interfaces": None, "labels": [{"href": "/orgs/1/labels/404"}]}
    assert pce.console.plant({"rule_sets": [hostile], "workloads": [workload]}) == 2
    found = client.json("/orgs/1/sec_policy/active/rule_sets")
    assert found[1] == hostile
    assert client.json("/orgs/1/workloads") == [workload]
    assert client.json("/orgs/1/sec_policy/active")["object_counts"]["rule_sets"] == 2
    assert client.json(f"{hostile['href']}/sec_rules") == hostile["rules"]
    made = pce.console.create("rule_sets", name="after", scopes=[[]])
    assert made["href"].endswith("/rule_sets/78")
    assert pce.console.provision() == 3


def test_a_planted_object_can_be_edited_and_provisioned(pce: PceSimulator, client: Client) -> None:
    rule: Json = {
        "href": "/orgs/1/sec_policy/active/rule_sets/77/sec_rules/5",
        "enabled": True,
        "providers": [{"actors": "ams"}],
        "consumers": [{"ip_list": {"href": "/orgs/1/sec_policy/active/ip_lists/404"}}],
        "ingress_services": [{"port": 1433, "proto": 6}],
        "odd": 1,
    }
    planted: Json = {"href": "/orgs/1/sec_policy/active/rule_sets/77", "name": "x", "scopes": [[]], "rules": [rule]}
    workload: Json = {"href": "/orgs/1/workloads/w-1", "name": "w", "labels": [], "interfaces": []}
    pce.console.plant({"rule_sets": [planted], "workloads": [workload]})
    pce.console.update(rule["href"], enabled=False)
    pce.console.update(workload["href"], online=False)
    assert client.json(planted["href"]) == planted
    assert pce.console.provision() == 3
    shown = client.json(planted["href"])["rules"][0]
    assert {name: shown[name] for name in rule} == {**rule, "enabled": False}
    assert client.json(workload["href"])["online"] is False
    assert "online" not in workload
