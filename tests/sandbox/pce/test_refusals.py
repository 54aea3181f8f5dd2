"""What the PCE does not take, and in which words."""

from typing import Any

import pytest

from illumio_azsql_enforcer.sandbox.pce import PceSimulator, Refused
from tests.sandbox.pce.conftest import Client

DRAFT = "/orgs/1/sec_policy/draft"
TCP_1433 = [{"proto": 6, "port": 1433}]
AMS = [{"actors": "ams"}]


def test_additional_properties_are_406_in_the_words_of_the_schema(client: Client) -> None:
    answer = client.call("POST", "/orgs/1/labels", json={"key": "role", "value": "web", "colour": "red"})
    assert answer.status_code == 406
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == [
        {
            "token": "input_validation_error",
            "message": "Input validation failed. Details: {The property '#/' contains additional properties "
            '["colour"] outside of the schema when none are allowed in schema labels_post.schema.json}',
        }
    ]


def test_what_is_no_json_is_400(client: Client) -> None:
    assert client.call("POST", "/orgs/1/labels", data=b"{").status_code == 400


@pytest.mark.parametrize(
    ("collection", "body"),
    [
        ("ip_lists", {}),
        ("ip_lists", {"name": 5}),
        ("ip_lists", {"name": "x", "ip_ranges": [{"to_ip": "192.0.2.1"}]}),
        ("ip_lists", {"name": "x", "ip_ranges": [{"from_ip": "192.0.2.300"}]}),
        ("ip_lists", {"name": "x", "ip_ranges": [{"from_ip": "192.0.2.9", "to_ip": "192.0.2.1"}]}),
        ("ip_lists", {"name": "x", "ip_ranges": [{"from_ip": "192.0.2.9", "to_ip": "2001:db8::1"}]}),
        ("ip_lists", {"name": "x", "ip_ranges": [{"from_ip": "192.0.2.0/24", "exclusion": True}]}),
        (
            "ip_lists",
            {"name": "x", "ip_ranges": [{"from_ip": "192.0.2.0/24"}, {"from_ip": "192.0.2.0/23", "exclusion": True}]},
        ),
        (
            "ip_lists",
            {"name": "x", "ip_ranges": [{"from_ip": "192.0.2.1"}, {"from_ip": "192.0.2.1", "exclusion": True}]},
        ),
        (
            "ip_lists",
            {
                "name": "x",
                "ip_ranges": [
                    {"from_ip": "192.0.2.0/28"},
                    {"from_ip": "192.0.2.18"},
                    {"from_ip": "192.0.2.15", "to_ip": "192.0.2.18", "exclusion": True},
                ],
            },
        ),
        ("ip_lists", {"name": "x", "fqdns": [{"fqdn": "not a name"}]}),
        ("services", {"name": "x"}),
        ("services", {"name": "x", "service_ports": [{"port": 1433}]}),
        ("services", {"name": "x", "service_ports": [{"proto": 6, "port": 65536}]}),
        ("label_groups", {"name": "x"}),
        ("rule_sets", {"name": "x", "scopes": [[{"label": {"href": "/orgs/1/labels/9"}, "role": 1}]]}),
        ("virtual_services", {"name": "x"}),
    ],
)
def test_bodies_that_do_not_fit(client: Client, collection: str, body: dict[str, Any]) -> None:
    answer = client.call("POST", f"{DRAFT}/{collection}", json=body)
    assert (answer.status_code, answer.json()[0]["token"]) == (406, "input_validation_error")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"providers": []}, "minimum number of items"),
        ({"providers": [{"actors": "everybody"}]}, "did not match one of"),
        ({"consumers": [{"actors": "ams", "label": {"href": "/orgs/1/labels/1"}}]}, "exactly one of"),
        ({"consumers": [{"actors": "ams", "exclusion": True}]}, "can be exclusions"),
        ({"ingress_services": [{"proto": 1}]}, "ingress_services/0"),
        ({"ingress_services": []}, "ingress_services"),
        ({"destinations": []}, "destinations"),
        ({"resolve_labels_as": {"providers": ["workloads"]}}, "consumers"),
        ({"name": "rules have none"}, "name"),
    ],
)
def test_rules_that_do_not_fit(pce: PceSimulator, change: dict[str, Any], word: str) -> None:
    pce.console.create("labels", key="role", value="web")
    rule_set = pce.console.create("rule_sets", name="x", scopes=[[]])
    body = {"providers": AMS, "consumers": AMS, "ingress_services": TCP_1433}
    with pytest.raises(Refused, match=word) as refused:
        pce.console.add_rule(rule_set["href"], **{**body, **change})
    assert refused.value.status == 406
    assert pce.console.get(rule_set["href"])["rules"] == []


def test_a_deny_rule_has_no_resolve_labels_as(pce: PceSimulator) -> None:
    rule_set = pce.console.create("rule_sets", name="x", scopes=[[]])["href"]
    body = {"providers": AMS, "consumers": AMS, "ingress_services": TCP_1433}
    with pytest.raises(Refused, match="resolve_labels_as"):
        pce.console.add_deny_rule(rule_set, **body, resolve_labels_as={})
    assert pce.console.add_deny_rule(rule_set, **body, override=True)["override"] is True


def test_a_reference_to_nothing_is_an_invalid_uri(pce: PceSimulator) -> None:
    gone = pce.console.create("labels", key="role", value="gone")["href"]
    pce.console.delete(gone)
    for href in ("/orgs/1/labels/4711", "/orgs/2/labels/1", "nonsense", gone):
        with pytest.raises(Refused, match="invalid_uri"):
            pce.console.create("workloads", name="w", labels=[{"href": href}])


def test_active_references_are_taken_as_their_drafts(pce: PceSimulator) -> None:
    anywhere = pce.console.find("ip_lists")[0]["href"]
    rule_set = pce.console.create("rule_sets", name="x", scopes=[[]])["href"]
    active = {"ip_list": {"href": anywhere.replace("/draft/", "/active/")}}
    rule = pce.console.add_rule(rule_set, providers=AMS, consumers=[active], ingress_services=TCP_1433)
    assert rule["consumers"] == [{"ip_list": {"href": anywhere}}]


@pytest.mark.parametrize(
    ("collection", "fields", "token"),
    [
        ("labels", {"key": "role", "value": "Web"}, "label_key_and_value_must_be_unique"),
        ("ip_lists", {"name": "Web"}, "ip_list_name_not_unique"),
        ("rule_sets", {"name": "Web", "scopes": [[]]}, "rule_set_name_in_use"),
        ("label_groups", {"name": "Web", "key": "env"}, "name_must_be_unique"),
    ],
)
def test_names_in_use(pce: PceSimulator, collection: str, fields: dict[str, Any], token: str) -> None:
    pce.console.create(collection, **fields)
    same = {name: value.lower() if value == "Web" else value for name, value in fields.items()}
    with pytest.raises(Refused, match=token):
        pce.console.create(collection, **same)


def test_what_is_in_use_is_not_deleted(pce: PceSimulator) -> None:
    create, console = pce.console.create, pce.console
    scoped, grouped, carried = (create("labels", key="env", value=value)["href"] for value in ("a", "b", "c"))
    ip_list = create("ip_lists", name="x")["href"]
    service = create("services", name="s", service_ports=TCP_1433)["href"]
    rule_set = create("rule_sets", name="r", scopes=[[{"label": {"href": scoped}}]])["href"]
    console.add_rule(
        rule_set, providers=AMS, consumers=[{"ip_list": {"href": ip_list}}], ingress_services=[{"href": service}]
    )
    create("label_groups", name="g", key="env", labels=[{"href": grouped}])
    create("workloads", name="w", labels=[{"href": carried}])
    for href, token in (
        (scoped, "label_still_has_associated_rule_set"),
        (grouped, "label_referenced_by_label_group"),
        (carried, "label_still_has_associated_workload"),
        (ip_list, "ip_list_referenced"),
        (service, "service_referenced"),
    ):
        with pytest.raises(Refused, match=token):
            console.delete(href)
    console.delete(rule_set)
    for href in (scoped, ip_list, service):
        console.delete(href)


def test_a_workload_has_one_label_of_a_type_and_a_name(pce: PceSimulator) -> None:
    labels = [{"href": pce.console.create("labels", key="env", value=value)["href"]} for value in "ab"]
    with pytest.raises(Refused, match="more than one label of a type"):
        pce.console.create("workloads", name="w", labels=labels)
    with pytest.raises(Refused, match="hostname"):
        pce.console.create("workloads", labels=labels[:1])
    with pytest.raises(Refused, match="interfaces/0/address"):
        pce.console.create("workloads", name="w", interfaces=[{"name": "umw0", "address": "192.0.2.1/24"}])


def test_a_label_type_must_exist(pce: PceSimulator) -> None:
    with pytest.raises(Refused, match="not a label type"):
        pce.console.create("labels", key="bu", value="retail")
    pce.console.create("label_dimensions", key="bu", display_name="Business unit")
    assert pce.console.create("labels", key="bu", value="retail")["key"] == "bu"


def test_provisioning_nothing_or_something_that_is_not_pending(pce: PceSimulator, client: Client) -> None:
    assert client.call("POST", "/orgs/1/sec_policy", json={"update_description": "x"}).status_code == 406
    subset = {"change_subset": {"ip_lists": [{"href": f"{DRAFT}/ip_lists/1"}]}}
    answer = client.call("POST", "/orgs/1/sec_policy", json=subset)
    assert (answer.status_code, answer.json()[0]["token"]) == (406, "invalid_uri")
    assert client.call("POST", "/orgs/1/sec_policy", json={"description": "x"}).status_code == 406
    assert pce.console.version == 1


def test_an_exclusion_may_span_ranges_that_touch(pce: PceSimulator) -> None:
    ranges = [
        {"from_ip": "192.0.2.0/28"},
        {"from_ip": "192.0.2.16/28"},
        {"from_ip": "192.0.2.12", "to_ip": "192.0.2.19", "exclusion": True},
    ]
    assert len(pce.console.create("ip_lists", name="x", ip_ranges=ranges)["ip_ranges"]) == 3


def test_a_refused_update_changes_nothing(pce: PceSimulator) -> None:
    made = pce.console.create("ip_lists", name="x", ip_ranges=[{"from_ip": "192.0.2.1"}])
    with pytest.raises(Refused):
        pce.console.update(made["href"], name="y", ip_ranges=[{"from_ip": "192.0.2.1", "exclusion": True}])
    assert pce.console.get(made["href"]) == made
