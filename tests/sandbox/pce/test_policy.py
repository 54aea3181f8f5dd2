"""Draft and active, provisioning, versions, and what counts at once."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from illumio_azsql_enforcer.sandbox.pce import PceSimulator, Refused
from tests.sandbox.pce.conftest import Client

DRAFT, ACTIVE = "/orgs/1/sec_policy/draft", "/orgs/1/sec_policy/active"
TCP_1433 = [{"proto": 6, "port": 1433}]


def _rule_set(pce: PceSimulator, **fields: Any) -> tuple[str, str]:
    """A rule set with one rule; hrefs of both."""
    made = pce.console.create("rule_sets", name="orders-db", scopes=[[]], **fields)
    rule = pce.console.add_rule(
        made["href"], providers=[{"actors": "ams"}], consumers=[{"actors": "ams"}], ingress_services=TCP_1433
    )
    return made["href"], rule["href"]


def _active(href: str) -> str:
    return href.replace("/draft/", "/active/")


def test_a_draft_counts_only_after_provisioning(pce: PceSimulator, client: Client) -> None:
    made = client.call("POST", f"{DRAFT}/ip_lists", json={"name": "office", "ip_ranges": [{"from_ip": "192.0.2.0/24"}]})
    assert made.status_code == 201
    href = made.json()["href"]
    assert client.json(href)["update_type"] == "create"
    assert client.get(_active(href)).status_code == 404
    assert client.json("/orgs/1/sec_policy/pending")["ip_lists"][0]["href"] == href
    body = {"update_description": "office", "change_subset": {"ip_lists": [{"href": href}]}}
    version = client.call("POST", "/orgs/1/sec_policy", json=body)
    assert (version.status_code, version.json()["version"], version.json()["commit_message"]) == (201, 2, "office")
    active = client.json(_active(href))
    assert (active["href"], active["update_type"]) == (_active(href), None)
    assert client.json(href)["update_type"] is None
    assert client.json("/orgs/1/sec_policy/pending") == {}


def test_only_the_change_subset_is_provisioned(pce: PceSimulator, client: Client) -> None:
    first, second = (pce.console.create("ip_lists", name=name)["href"] for name in ("one", "two"))
    assert pce.console.provision(hrefs=[first]) == 2
    assert client.get(_active(first)).status_code == 200
    assert client.get(_active(second)).status_code == 404
    assert list(client.json("/orgs/1/sec_policy/active/modified_objects")) == ["ip_lists"]


def test_what_is_provisioned_may_refer_only_to_what_is(pce: PceSimulator) -> None:
    ip_list = pce.console.create("ip_lists", name="office")["href"]
    rule_set, rule = _rule_set(pce)
    pce.console.update(rule, consumers=[{"ip_list": {"href": ip_list}}])
    with pytest.raises(Refused, match="dependencies_not_provisioned"):
        pce.console.provision(hrefs=[rule_set])
    assert pce.console.version == 1
    assert pce.console.provision(hrefs=[ip_list, rule_set]) == 2


def test_rules_are_provisioned_with_their_rule_set(pce: PceSimulator, client: Client) -> None:
    rule_set, rule = _rule_set(pce)
    pce.console.provision()
    pce.console.update(rule, enabled=False)
    assert client.json(rule_set)["update_type"] == "update"
    assert client.json(f"{rule_set}/sec_rules")[0]["update_type"] == "update"
    (shown,) = client.json(f"{_active(rule_set)}/sec_rules")
    assert (shown["enabled"], shown["update_type"]) == (True, None)
    pce.console.provision()
    assert client.json(_active(rule))["enabled"] is False


def test_a_deleted_draft_answers_until_it_is_provisioned(pce: PceSimulator, client: Client) -> None:
    rule_set, rule = _rule_set(pce)
    pce.console.provision()
    assert client.call("DELETE", rule_set).status_code == 204
    assert client.json(rule_set)["update_type"] == "delete"
    assert client.get(_active(rule_set)).status_code == 200
    again = client.call("DELETE", rule_set)
    assert (again.status_code, again.json()[0]["token"]) == (406, "already_deleted")
    pce.console.provision()
    assert client.get(_active(rule_set)).status_code == 404
    assert client.get(rule_set).status_code == 404
    assert client.get(rule).status_code == 404


def test_a_draft_that_never_was_active_goes_at_once(pce: PceSimulator, client: Client) -> None:
    rule_set, _ = _rule_set(pce)
    assert client.call("DELETE", rule_set).status_code == 204
    assert client.get(rule_set).status_code == 404


def test_a_deleted_rule_stays_in_the_active_rule_set_until_provisioned(pce: PceSimulator, client: Client) -> None:
    rule_set, rule = _rule_set(pce)
    pce.console.provision()
    pce.console.delete(rule)
    assert [one["update_type"] for one in client.json(rule_set)["rules"]] == ["delete"]
    assert len(client.json(_active(rule_set))["rules"]) == 1
    pce.console.provision()
    assert client.json(_active(rule_set))["rules"] == []


def test_old_versions_stay_readable_by_number(pce: PceSimulator, client: Client) -> None:
    href = pce.console.create("ip_lists", name="office", ip_ranges=[{"from_ip": "192.0.2.1"}])["href"]
    pce.console.provision()
    pce.console.update(href, ip_ranges=[{"from_ip": "192.0.2.2"}])
    pce.console.provision()

    def first(view: str) -> str:
        found = client.json(f"/orgs/1/sec_policy/{view}/ip_lists", name="office")[0]
        assert found["href"] == href.replace("/draft/", f"/{view}/")
        return str(found["ip_ranges"][0]["from_ip"])

    assert [first("2"), first("3"), first("active")] == ["192.0.2.1", "192.0.2.2", "192.0.2.2"]
    assert client.get("/orgs/1/sec_policy/9").status_code == 404
    assert client.get("/orgs/1/sec_policy/9/ip_lists").status_code == 404
    assert [one["version"] for one in client.json("/orgs/1/sec_policy")] == [3, 2, 1]


def test_object_counts_are_those_of_the_collections(pce: PceSimulator, client: Client) -> None:
    _rule_set(pce)
    pce.console.create("label_groups", name="g", key="env")
    pce.console.provision()
    pce.console.create("ip_lists", name="pending")
    counted = client.json("/orgs/1/sec_policy/active")["object_counts"]
    for collection in ("rule_sets", "ip_lists", "services", "label_groups", "virtual_services"):
        assert counted[collection] == len(client.json(f"{ACTIVE}/{collection}")), collection


def test_labels_workloads_and_bindings_count_at_once(pce: PceSimulator, client: Client) -> None:
    label = client.call("POST", "/orgs/1/labels", json={"key": "role", "value": "web"}).json()["href"]
    workload = client.call("POST", "/orgs/1/workloads", json={"name": "w"}).json()["href"]
    assert client.call("PUT", workload, json={"labels": [{"href": label}]}).status_code == 204
    assert client.call("PUT", label, json={"value": "front"}).status_code == 204
    assert client.json(workload)["labels"] == [{"href": label, "key": "role", "value": "front"}]
    assert client.json(ACTIVE)["version"] == 1


def test_a_deleted_workload_is_shown_on_request_only(pce: PceSimulator, client: Client) -> None:
    workload = pce.console.create("workloads", name="w")["href"]
    assert client.call("DELETE", workload).status_code == 204
    assert client.json("/orgs/1/workloads") == []
    assert [one["deleted"] for one in client.json("/orgs/1/workloads", include_deleted="true")] == [True]


def test_a_binding_names_its_service_in_both_fields(pce: PceSimulator, client: Client) -> None:
    service = pce.console.create("virtual_services", name="vs", service_ports=TCP_1433)["href"]
    workload = pce.console.create("workloads", name="w")["href"]
    body = [{"virtual_service": {"href": service}, "workload": {"href": workload}}]
    made = client.call("POST", "/orgs/1/service_bindings", json=body)
    assert made.status_code == 201
    (shown,) = client.json("/orgs/1/service_bindings", workload=workload)
    assert shown["href"] == made.json()[0]["href"]
    assert shown["bound_service"] == shown["virtual_service"] == {"href": _active(service)}
    assert client.json("/orgs/1/service_bindings", virtual_service="/orgs/1/sec_policy/active/virtual_services/x") == []


def test_label_groups_expand_and_know_their_parents(pce: PceSimulator, client: Client) -> None:
    label = pce.console.create("labels", key="env", value="dev")["href"]
    inner = pce.console.create("label_groups", name="inner", key="env", labels=[{"href": label}])["href"]
    outer = pce.console.create("label_groups", name="outer", key="env", sub_groups=[{"href": inner}])["href"]
    assert client.json(outer)["sub_groups"] == [{"href": inner, "name": "inner"}]
    assert [one["href"] for one in client.json(f"{outer}/all_labels")] == [label]
    assert [one["href"] for one in client.json(f"{inner}/member_of")] == [outer]


def test_bulk_changes_of_workloads(pce: PceSimulator, client: Client) -> None:
    made = client.call("PUT", "/orgs/1/workloads/bulk_create", json=[{"name": "a"}, {"nonsense": 1}]).json()
    assert [one["status"] for one in made] == ["created", "validation_failure"]
    href = made[0]["href"]
    assert client.call("PUT", "/orgs/1/workloads/bulk_update", json=[{"href": href, "name": "b"}]).status_code == 200
    assert client.json(href)["name"] == "b"
    client.call("PUT", "/orgs/1/workloads/bulk_delete", json=[{"href": href}])
    assert client.json("/orgs/1/workloads") == []


def test_lists_that_were_read_before_show_what_changed_since(pce: PceSimulator, client: Client) -> None:
    workload = pce.console.create("workloads", name="before")["href"]
    ip_list = pce.console.create("ip_lists", name="before")["href"]
    pce.console.provision()
    pages = ("/orgs/1/workloads", f"{ACTIVE}/ip_lists", f"{DRAFT}/ip_lists")

    def names() -> list[str]:
        return [client.json(page)[-1]["name"] for page in pages]

    assert names() == ["before"] * 3
    pce.console.update(workload, name="after")
    pce.console.update(ip_list, name="after")
    assert names() == ["after", "before", "after"]
    pce.console.provision()
    assert names() == ["after"] * 3


def test_edits_at_once_do_not_get_in_each_others_way(pce: PceSimulator, client: Client) -> None:
    def make(number: int) -> str:
        if number % 2:
            return str(pce.console.create("labels", key="role", value=str(number))["href"])
        body = {"key": "role", "value": str(number)}
        answer = requests.post(f"{pce.url}/api/v2/orgs/1/labels", json=body, auth=client.session.auth, timeout=5)
        return str(answer.json()["href"])

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(make, range(60)))
    assert len(set(made)) == 60
    assert {one["href"] for one in client.json("/orgs/1/labels")} == set(made)
