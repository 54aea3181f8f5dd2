"""`policy_check` and `allow`."""

import pytest

from illumio_azsql_enforcer.sandbox.arm.state import ArmState
from illumio_azsql_enforcer.sandbox.estate import SUBSCRIPTION, Estate, blog_estate
from illumio_azsql_enforcer.sandbox.pce import PceSimulator
from tests.sandbox.pce.conftest import Client
from tests.sandbox.test_estate import Azure
from tests.support.clock import VirtualClock

CHECK, ALLOW = "/orgs/1/sec_policy/active/policy_check", "/orgs/1/sec_policy/active/allow"


@pytest.fixture
def estate(pce: PceSimulator, clock: VirtualClock) -> Estate:
    return blog_estate(pce, Azure(ArmState(clock, tenant=SUBSCRIPTION)))


def test_which_rules_speak_about_a_connection(pce: PceSimulator, client: Client, estate: Estate) -> None:
    pce.console.add_deny_rule(
        estate.rule_set,
        override=True,
        providers=[{"actors": "ams"}],
        consumers=[{"ip_list": {"href": estate.apps_list}}],
        ingress_services=[{"proto": 6, "port": 1433}],
        unscoped_consumers=True,
    )

    def check(**source: str) -> tuple[int, int]:
        found = client.json(CHECK, dst_workload=estate.orders_workload, port="1433", protocol="6", **source)
        allowing = client.json(ALLOW, dst_workload=estate.orders_workload, port="1433", protocol="6", **source)
        assert allowing == found["sec_rules"]
        return len(found["sec_rules"]), len(found["override_deny_rules"])

    assert check(src_external_ip="192.0.2.127") == (1, 0)
    assert check(src_external_ip="192.0.2.128") == (0, 0)
    assert check(src_workload=estate.public_client) == (1, 0)
    pce.console.provision()
    assert check(src_external_ip="192.0.2.127") == (1, 1)
    assert check(src_external_ip="203.0.113.5") == (1, 0)


def test_the_answer_names_rule_and_rule_set(client: Client, estate: Estate) -> None:
    query = {"dst_workload": estate.orders_workload, "port": "1433", "protocol": "6", "src_external_ip": "203.0.113.5"}
    (rule,) = client.json(ALLOW, **query)
    assert rule["href"] == estate.clients_rule.replace("/draft/", "/active/")
    assert rule["rule_set"]["name"] == "Azure DB access"
    assert client.json(ALLOW, **{**query, "port": "1434"}) == []


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"src_external_ip": "2001:db8::1"},
        {"src_external_ip": "192.0.2.1", "src_workload": "/orgs/1/workloads/x"},
        {"src_workload": "/orgs/1/workloads/x"},
    ],
)
def test_questions_without_sense_are_406(client: Client, estate: Estate, query: dict[str, str]) -> None:
    whole = {"dst_workload": estate.orders_workload, "port": "1433", "protocol": "6", **query}
    assert client.get(CHECK, params=whole).status_code == 406
