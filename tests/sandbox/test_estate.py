"""The estate of the 2020 article."""

from dataclasses import dataclass

from illumio_azsql_enforcer.sandbox.arm.state import ArmState
from illumio_azsql_enforcer.sandbox.estate import SUBSCRIPTION, blog_estate
from illumio_azsql_enforcer.sandbox.pce import PceSimulator
from tests.support.clock import VirtualClock


@dataclass
class Azure:
    state: ArmState


def test_the_estate_is_provisioned_and_points_at_what_it_says() -> None:
    clock = VirtualClock()
    pce, azure = PceSimulator(clock=clock), Azure(ArmState(clock, tenant=SUBSCRIPTION))
    estate = blog_estate(pce, azure)
    active = pce.console.get(estate.rule_set.replace("/draft/", "/active/"))
    assert [rule["href"].rpartition("/")[2] for rule in active["rules"]] == [
        rule.rpartition("/")[2] for rule in (estate.clients_rule, estate.apps_rule, estate.sql_client_rule)
    ]
    assert active["name"] == "Azure DB access"
    assert {rule["unscoped_consumers"] for rule in active["rules"]} == {True}
    assert [rule["ingress_services"] for rule in active["rules"]] == [[{"proto": 6, "port": 1433}]] * 3
    assert active["rules"][1]["consumers"] == [{"ip_list": {"href": estate.apps_list.replace("/draft/", "/active/")}}]
    server = pce.console.get(estate.orders_workload)
    assert server["hostname"] == azure.state.server(estate.orders).fqdn
    assert not server["managed"]
    assert {one["key"]: one["value"] for one in server["labels"]} == {
        "role": "Database Server",
        "app": "Azure DB",
        "env": "Test",
        "loc": "Azure",
    }
    assert not pce.console.find("workloads", hostname=azure.state.server(estate.scratch).fqdn)
    assert pce.console.get(estate.offline_client)["online"] is False
    assert pce.console.version == 2
