"""Lists: the cap and its headers, queries, representations, asynchronous reads."""

import json

import pytest

from illumio_azsql_enforcer.sandbox.pce import PceSimulator
from tests.sandbox.pce.conftest import Client
from tests.support.clock import VirtualClock

WORKLOADS = "/orgs/1/workloads"


@pytest.fixture
def crowd(pce: PceSimulator) -> int:
    """More workloads than one answer holds."""
    for number in range(503):
        pce.console.create("workloads", name=f"machine-{number}")
    return 503


def test_a_list_stops_at_500_and_only_the_header_says_so(client: Client, crowd: int) -> None:
    answer = client.get(WORKLOADS)
    assert len(answer.json()) == 500
    assert answer.headers["X-Total-Count"] == answer.headers["X-Matched-Count"] == str(crowd)


def test_max_results(pce: PceSimulator, client: Client, crowd: int) -> None:
    def length(most: str) -> int:
        return len(client.json(WORKLOADS, max_results=most))

    assert [length("0"), length("1"), length("1000")] == [0, 1, crowd]
    pce.behaviour.honour_max_results = False
    assert [length("1"), length("1000")] == [1, 500]
    assert client.get(WORKLOADS, params={"max_results": "many"}).status_code == 406


def test_the_count_may_be_missing_or_lie(pce: PceSimulator, client: Client) -> None:
    pce.behaviour.total_count = lambda _: None
    assert "X-Total-Count" not in client.get("/orgs/1/labels").headers
    pce.behaviour.total_count = lambda count: count + 7
    assert client.get("/orgs/1/labels").headers["X-Total-Count"] == "7"


def test_an_asynchronous_read_gives_everything(client: Client, crowd: int, clock: VirtualClock) -> None:
    accepted = client.get(WORKLOADS, headers={"Prefer": "respond-async"})
    assert (accepted.status_code, accepted.content, accepted.headers["Retry-After"]) == (202, b"", "1")
    job = accepted.headers["Location"]
    assert client.json(job)["status"] == "pending"
    clock.advance(1)
    done = client.json(job)
    assert done["status"] == "done"
    assert done["requested_at"] == "2026-11-23 10:00:00.000000"
    assert done["terminated_at"] == "2026-11-23 10:00:01.000000"
    assert len(client.json(done["result"]["href"])) == crowd
    assert client.call("DELETE", job).status_code == 204
    assert client.get(job).status_code == 404
    assert len(client.json(done["result"]["href"])) == crowd


def test_an_asynchronous_read_is_of_the_moment_it_was_asked(pce: PceSimulator, client: Client) -> None:
    pce.behaviour.job_polls = 0
    job = client.get("/orgs/1/labels", headers={"Prefer": "respond-async"}).headers["Location"]
    pce.console.create("labels", key="role", value="late")
    assert client.json(client.json(job)["result"]["href"]) == []


@pytest.mark.parametrize(("form", "prefix"), [("href", "/orgs/1/jobs/"), ("api", "/api/v2/orgs/1/jobs/")])
def test_location_forms(pce: PceSimulator, client: Client, form: str, prefix: str) -> None:
    pce.behaviour.location = "api" if form == "api" else "href"
    location = client.get("/orgs/1/labels", headers={"Prefer": "respond-async"}).headers["Location"]
    assert location.startswith(prefix)


def test_an_absolute_location(pce: PceSimulator, client: Client) -> None:
    pce.behaviour.location, pce.behaviour.job_wait = "absolute", None
    headers = client.get("/orgs/1/labels", headers={"Prefer": "respond-async"}).headers
    assert headers["Location"].startswith(f"{pce.url}/api/v2/orgs/1/jobs/")
    assert "Retry-After" not in headers


def test_jobs_that_fail_never_end_or_lose_their_result(pce: PceSimulator, client: Client) -> None:
    pce.behaviour.job_polls = 0
    job = client.get("/orgs/1/labels", headers={"Prefer": "respond-async"}).headers["Location"]
    pce.behaviour.job_end = "never"
    assert [client.json(job)["status"] for _ in range(3)] == ["pending", "running", "running"]
    pce.behaviour.job_end = "failed"
    failed = client.json(job)
    assert failed["status"] == "failed"
    assert failed["result"]["message"]
    pce.behaviour.job_end, pce.behaviour.datafiles_kept = "done", False
    assert client.get(client.json(job)["result"]["href"]).status_code == 404


def test_names_match_in_part_and_label_lists_are_and_within_or_between(pce: PceSimulator, client: Client) -> None:
    create = pce.console.create
    web, batch, prod = (
        create("labels", key=key, value=value)["href"]
        for key, value in (("role", "web"), ("role", "batch"), ("env", "non-prod"))
    )
    for name, labels in (("a-web", [web, prod]), ("b-web", [web]), ("c-batch", [batch])):
        create("workloads", name=name, labels=[{"href": one} for one in labels], managed=name == "a-web")

    def names(**params: str) -> list[str]:
        return [one["name"] for one in client.json(WORKLOADS, **params)]

    assert names(name="WEB") == ["a-web", "b-web"]
    assert names(labels=json.dumps([[web, prod], [batch]])) == ["a-web", "c-batch"]
    assert names(managed="true") == ["a-web"]
    assert names(managed="false", name="web") == ["b-web"]
    assert [one["value"] for one in client.json("/orgs/1/labels", value="prod")] == ["non-prod"]
    assert client.json("/orgs/1/labels", key="en") == []
    assert client.get(WORKLOADS, params={"labels": "nonsense"}).status_code == 406


def test_addresses_and_fqdns_are_found_in_part(pce: PceSimulator, client: Client) -> None:
    create = pce.console.create
    create("workloads", name="a", interfaces=[{"name": "eth0", "address": "192.0.2.17"}])
    create("workloads", name="b", interfaces=[{"name": "eth0", "address": "198.51.100.2"}])
    create("ip_lists", name="x", ip_ranges=[{"from_ip": "192.0.2.0/24"}], fqdns=[{"fqdn": "*.example.com"}])
    draft = "/orgs/1/sec_policy/draft/ip_lists"
    assert [one["name"] for one in client.json(WORKLOADS, ip_address="192.0.2")] == ["a"]
    assert [one["name"] for one in client.json(draft, ip_address="192.0")] == ["x"]
    assert [one["name"] for one in client.json(draft, fqdn="example")] == ["x"]
    assert client.json(draft, fqdn="example.org") == []


def test_a_representation_puts_names_beside_hrefs(pce: PceSimulator, client: Client) -> None:
    draft = "/orgs/1/sec_policy/draft/rule_sets"
    bare, named = client.json(draft)[0], client.json(draft, representation="rule_set_services_labels_and_names")[0]
    assert set(bare["rules"][0]["providers"][0]["ip_list"]) == {"href"}
    assert named["rules"][0]["providers"][0]["ip_list"]["name"] == "Any (0.0.0.0/0 and ::/0)"
    assert named["rules"][0]["ingress_services"][0]["name"] == "All Services"


def test_seed(client: Client) -> None:
    active = "/orgs/1/sec_policy/active"
    (anywhere,) = client.json(f"{active}/ip_lists")
    assert anywhere["name"] == "Any (0.0.0.0/0 and ::/0)"
    assert [one["from_ip"] for one in anywhere["ip_ranges"]] == ["0.0.0.0/0", "::/0"]
    (everything,) = client.json(f"{active}/services")
    assert (everything["name"], everything["service_ports"]) == ("All Services", [{"proto": -1}])
    (default,) = client.json(f"{active}/rule_sets")
    assert (default["name"], default["scopes"]) == ("Default", [[]])
    (rule,) = default["rules"]
    assert rule["providers"] == [{"ip_list": {"href": anywhere["href"]}}]
    assert rule["consumers"] == [{"actors": "ams"}]
    assert client.json(f"{active}/firewall_settings")["network_detection_mode"]
    assert client.json(active)["version"] == 1
    assert [one["key"] for one in client.json("/orgs/1/label_dimensions")] == ["role", "app", "env", "loc"]
