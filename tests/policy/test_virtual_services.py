"""Virtual services at the edges of the table's cases 80 to 85."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.policy.world import (
    ACTIVE,
    FQDN,
    MSSQL,
    PCE_LEVEL,
    Json,
    deny,
    href,
    label,
    ranges,
    rule,
    rule_set,
    snapshot,
    translated,
)

BY_VIRTUAL: Json = {
    "ingress_services": [],
    "resolve_labels_as": {"providers": ["virtual_services"], "consumers": ["workloads"]},
}
NOBODY_IS_NAMED = {"S": {"hostname": "elsewhere"}}


def service(labels: Sequence[int] = (11, 21, 31), **more: Any) -> Json:
    found = {"href": href("virtual_service", "vs"), "name": "vs", "labels": [{"href": label(n)} for n in labels]}
    return {**found, "service_ports": [MSSQL], **more}


def bound(workload: str = "S", **more: Any) -> Json:
    target = {"href": href("workload", workload)}
    return {
        "href": "/orgs/1/service_bindings/1",
        "bound_service": {"href": href("virtual_service", "vs")},
        "workload": target,
        **more,
    }


def allowed(rules: Json, vs: Json, binding: Json | None = None, **more: Any) -> str:
    bindings = [binding] if binding else []
    world = snapshot([rule_set([rules])], virtual_services=[vs], service_bindings=bindings, **more)
    return ranges(translated(world, PCE_LEVEL))


def move(port: int, new: int, new_to: int | None = None) -> Json:
    return {"proto": 6, "port": port, "new_port": new, "new_to_port": new_to}


@pytest.mark.parametrize(
    ("entry", "overrides", "covered"),
    [
        ({"proto": 6, "port": 1400, "to_port": 1500}, [], True),
        ({"proto": 6, "port": 1400, "to_port": 1500}, [move(1433, 14330)], False),
        ({"proto": 6, "port": 1400, "to_port": 1500}, [move(1434, 14340)], True),
        ({"proto": 6, "port": 1400, "to_port": 1500}, [move(1400, 1430, 1440)], True),
        ({"proto": 6, "port": 1400, "to_port": 1500}, [move(1400, 2400, 2500)], False),
        ({"proto": -1}, [move(1433, 14330)], False),
        ({"proto": 6, "port": -1}, [], True),
        ({"proto": 17, "port": 1433}, [], False),
        ({"proto": 6, "port": 1433}, [{"proto": 17, "port": 1433, "new_port": 9}], True),
        ({"proto": 6, "port": 1433}, [{"proto": "6", "port": 1433, "new_port": 1433}], False),
        ({"proto": 6, "port": 5000}, [{"port": 5000, "new_port": 1433}], False),
        ({"proto": 6, "port": 1433, "process_name": "sqlservr.exe"}, [], False),
    ],
    ids=str,
)
def test_port_overrides(entry: Json, overrides: list[Json], covered: bool) -> None:
    found = allowed(rule(**BY_VIRTUAL), service(service_ports=[entry]), bound(port_overrides=overrides))
    assert bool(found) == covered


def test_a_service_by_reference() -> None:
    mssql = {"href": f"{ACTIVE}/services/1", "name": "MSSQL", "service_ports": [MSSQL]}
    vs = service(service_ports=None, service={"href": mssql["href"]})
    assert allowed(rule(**BY_VIRTUAL), vs, bound(), services=[mssql]) == "10.20.1.11"
    assert allowed(rule(**BY_VIRTUAL), vs, bound()) == ""


@pytest.mark.parametrize(("labels", "expected"), [((11, 21, 31), "10.20.1.11"), ((11, 21, 32), ""), ((13, 21, 31), "")])
def test_labels_and_scope_are_those_of_the_virtual_service(labels: Sequence[int], expected: str) -> None:
    assert allowed(rule(**BY_VIRTUAL), service(labels), bound()) == expected


def test_all_virtual_services_of_the_scope() -> None:
    assert allowed(rule(P=["ams"], **BY_VIRTUAL), service((21, 31)), bound()) == "10.20.1.11"
    assert allowed(rule(P=["ams"], **BY_VIRTUAL), service((21, 31)), bound("B1")) == ""


def test_a_virtual_service_that_is_named() -> None:
    assert allowed(rule(P=["vs"], ingress_services=[]), service(), bound()) == "10.20.1.11"
    assert allowed(rule(P=["vs"]), service(), bound()) == "10.20.1.11"
    assert allowed(rule(P=["vs"], ingress_services=[]), service((11, 22, 31)), bound()) == ""
    assert (
        allowed(rule(P=["vs"], ingress_services=[]), service(service_ports=[{"proto": 6, "port": 80}]), bound()) == ""
    )


def test_services_of_a_rule_narrow_a_virtual_service_only_where_it_has_no_place() -> None:
    other = [{"proto": 6, "port": 443}]
    both = {"providers": ["workloads", "virtual_services"], "consumers": ["workloads"]}
    assert allowed(rule(P=["vs"], ingress_services=other), service(), bound()) == ""
    assert allowed(rule(P=["vs"], ingress_services=other, resolve_labels_as=both), service(), bound()) == "10.20.1.11"


@pytest.mark.parametrize(
    ("address", "expected"),
    [({"port": 1433}, "10.20.1.11"), ({}, "10.20.1.11"), ({"port": -1}, "10.20.1.11"), ({"port": 3306}, "")],
    ids=str,
)
def test_a_service_address_with_the_servers_name_binds_the_virtual_service(address: Json, expected: str) -> None:
    vs = service(service_addresses=[{"fqdn": FQDN.upper(), **address}])
    assert allowed(rule(**BY_VIRTUAL), vs) == expected
    assert allowed(rule(), vs, changed=NOBODY_IS_NAMED) == "10.20.1.11"


def test_consumers_bound_to_several_workloads() -> None:
    from_virtual = {"providers": ["workloads"], "consumers": ["virtual_services", "workloads"]}
    assert allowed(rule(resolve_labels_as=from_virtual), service((12, 21, 31)), bound("B1")) == "10.20.1.11 192.0.2.50"
    assert allowed(rule(resolve_labels_as=from_virtual), service((12, 22, 31)), bound("B1")) == "10.20.1.11"


def test_overrides_that_cannot_be_read_let_nobody_in() -> None:
    broken = service((12, 21, 31), ip_overrides=["198.51.100.64/28", "nonsense"])
    assert allowed(rule(C=["vs"]), broken, bound("B1")) == ""
    assert allowed(rule(C=["vs"]), service((12, 21, 31), ip_overrides=["2001:db8::1"]), bound("B1")) == ""


def test_an_override_deny_takes_overrides_and_bound_workloads() -> None:
    vs = service(ip_overrides=["198.51.100.12"])
    world = snapshot(
        [rule_set([rule(C=["office", "B1"])], [deny(C=["vs"])])], virtual_services=[vs], service_bindings=[bound("B1")]
    )
    found = ranges(translated(world))
    assert "192.0.2.49 192.0.2.51" in found.replace("-", " ")
    assert "198.51.100.10-198.51.100.11 198.51.100.13" in found


def test_inclusion_and_exclusion_of_one_type() -> None:
    assert allowed(rule(C=[12, 13, -12]), service()) == "192.0.2.50"
