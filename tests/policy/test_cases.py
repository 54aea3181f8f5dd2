"""The decision table of docs/policy-semantics.md: one row a case, as a change to base rule R of the common world.

Not here: case 5 and 6 (only the active policy is read), 104 (a short collection fails the read); those are tests of the
reader. Cases 62 and 63 (no provisioning is needed) show here as what a snapshot taken after the change gives.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from illumio_azsql_enforcer.errors import PolicyUnresolvable
from illumio_azsql_enforcer.model.firewall import Translation
from illumio_azsql_enforcer.model.settings import AddressSource, PolicySettings
from tests.policy.world import (
    ACTIVE,
    MSSQL,
    OFFICE,
    PCE_LEVEL,
    SERVER,
    Json,
    addresses_of,
    deny,
    href,
    label,
    label_group,
    ranges,
    rule,
    rule_set,
    snapshot,
    translated,
    ungoverned,
    workload,
)

EVERY = "0.0.0.0-255.255.255.255"
ALL: list[list[int]] = [[]]
VIRTUAL = {"providers": ["virtual_services"], "consumers": ["workloads"]}
FROM_VIRTUAL = {"providers": ["workloads"], "consumers": ["virtual_services"]}
GROUPS = [
    label_group("lower", [31, 32]),
    label_group("nested", groups=["lower"]),
    label_group("empty"),
    label_group("cyclic", [31], groups=["cyclic"]),
]


@dataclass(frozen=True)
class Case:
    number: str
    rule_sets: Sequence[Json]
    expected: str  # sources: workloads stand for their interface addresses
    notes: str = ""  # codes that must be among the notes
    world: Json | None = None
    settings: PolicySettings = PCE_LEVEL


def R(scope: Any = ((21, 31),), **changes: Any) -> list[Json]:  # noqa: N802 the table calls it R
    """One rule set with base rule R, changed."""
    return [rule_set([rule(**changes)], scope=scope)]


def D(*denies: Json, scope: Any = ((21, 31),), **changes: Any) -> list[Json]:  # noqa: N802 R with denies
    """R, changed, and denies in the same rule set."""
    return [rule_set([rule(**changes)], denies, scope=scope)]


def services(**named: Any) -> Json:
    """World with these services."""
    return {"services": [{"href": f"{ACTIVE}/services/{n}", "name": n, **fields} for n, fields in named.items()]}


def ref(name: str) -> Json:
    return {"href": f"{ACTIVE}/services/{name}"}


def virtual(labels: Sequence[int] = (), bound: str | None = None, overrides: Sequence[Json] = (), **more: Any) -> Json:
    """World with one virtual service on TCP 1433, bound or not."""
    vs = {"href": href("virtual_service", "vs"), "name": "vs", "labels": [{"href": label(n)} for n in labels]}
    vs = {**vs, "service_ports": [MSSQL], **more}
    binding = {"href": "/orgs/1/service_bindings/1", "virtual_service": {"href": vs["href"]}}
    bindings = (
        [{**binding, "workload": {"href": href("workload", bound)}, "port_overrides": overrides}] if bound else []
    )
    return {"virtual_services": [vs], "service_bindings": bindings}


def lists(**named: Any) -> Json:
    return {"ip_lists": named}


WIDE = lists(wide=[{"from_ip": "10.0.0.0/8"}, {"from_ip": "10.20.0.0/16", "exclusion": True}])
WIDE_RANGES = "10.0.0.0-10.19.255.255 10.21.0.0-10.255.255.255"
W1_PUBLIC = {
    "interfaces": [{"name": "eth0", "address": "10.20.1.11"}, {"name": "eth0.public", "address": "198.51.100.11"}]
}
TWO_RULES = [rule_set([rule(C=["a"]), rule(402, C=["b"])])]
DENY_ELSEWHERE = rule_set([], [deny(C=[12])], scope=[[22]], href=f"{ACTIVE}/rule_sets/41")

CASES = [
    # --- scope and labels
    Case("1", R(), "W1"),
    Case("2", R(U=True), "W1 W2 W3 W4"),
    Case("3", [rule_set([rule()], enabled=False)], ""),
    Case("4", R(enabled=False), ""),
    Case("7", R(scope=[[21, 32]]), ""),
    Case("8", R(scope=ALL), "W1 W2 W3 W4"),
    Case("9", R(scope=[[21]]), "W1 W3 W4"),
    Case("10", R(scope=[[21, 31], [22, 31]]), "W1"),
    Case("11", R(scope=[[21, 31], [22, 31]], U=True), "W1 W2 W3 W4"),
    Case("12", R(scope=[[21, "lower"]]), "W1 W3", world={"label_groups": GROUPS}),
    Case("13", R(scope=[[21, "nested"]]), "W1 W3", world={"label_groups": GROUPS}),
    Case("13 cyclic", R(scope=[[21, "cyclic"]]), "W1", world={"label_groups": GROUPS}),
    Case("14", R(scope=[[21, "empty"]]), "", world={"label_groups": GROUPS}),
    Case("15", R(scope=[[21, -31]]), ""),
    Case("16", R(scope=[[21, -32]]), "W1"),
    Case("17", R(scope=[]), "", notes="scope"),
    Case("18", R(P=[11, 13]), "W1"),
    Case("19", R(P=[11, 42]), ""),
    Case("20", R(U=True, C=[12, 32]), "W3"),
    Case("21", R(U=True, C=[12, 13, 31]), "W1 W2 B1"),
    Case("22", R(U=True, C=[-12]), "B1"),
    Case("23", R(U=True, C=[12, -31]), "W3"),
    Case("24", R(C=[12, 32]), "", notes="scope"),
    Case("25", R(U=True, C=[12, 51]), ""),
    Case("26", R(), "", world={"changed": {"S": {"labels": [{"href": label(n)} for n in (11, 21, 41)]}}}),
    # --- actors other than labels
    Case("27", R(P=["ams"]), "W1"),
    Case("28", R(C=["ams"]), "W1 B1", notes="offline"),
    Case("29", R(C=["ams"], U=True), "W1 W2 W3 W4 B1 N1", notes="offline"),
    Case("30 intra", R(C=["office"]), OFFICE),
    Case("30 extra", R(C=["office"], U=True), OFFICE),
    Case("31", R(scope=ALL, P=["any"], C=["ams"], ingress_services=[{"proto": 6}]), ""),
    Case("32", R(P=["mine"], U=True), "", world=lists(mine=[{"from_ip": "203.0.113.10"}])),
    Case("33", R(P=["any"], C=["office"]), ""),
    Case("34", R(C=["any"]), EVERY, notes="ipv6"),
    Case("35", R(C=["wide"]), WIDE_RANGES, world=WIDE),
    Case("36", R(C=["wide", 12]), f"{WIDE_RANGES} W1", world=WIDE),
    Case(
        "37",
        TWO_RULES,
        "192.0.2.0-192.0.2.255",
        world=lists(
            a=[{"from_ip": "192.0.2.0/24"}, {"from_ip": "192.0.2.9", "exclusion": True}], b=[{"from_ip": "192.0.2.9"}]
        ),
    ),
    Case("38", R(C=["names"]), "", world={"ip_lists": {"names": []}}),
    Case("39", R(C=["a"]), "10.1.2.0-10.1.2.255", world=lists(a=[{"from_ip": "10.1.2.3/24"}])),
    Case("40", R(C=["a"]), "198.51.100.10", world=lists(a=[{"from_ip": "198.51.100.10", "to_ip": None}])),
    Case("41", R(C=["a"]), "", notes="ipv6", world=lists(a=[{"from_ip": "2001:db8::/32"}, {"from_ip": "::1"}])),
    Case("42", R(U=True, C=[12, "office"]), f"W1 W2 W3 W4 {OFFICE}"),
    Case("43", R(U=True, C=["ams", 12]), "W1 W2 W3 W4 B1 N1", notes="scope"),
    Case("44", R(C=["a"]), "", notes="special_address", world=lists(a=[{"from_ip": "0.0.0.0"}])),
    Case("45", R(P=["S"]), "W1"),
    Case("46", R(scope=[[22, 31]], P=["S"], U=True), "", notes="scope"),
    Case("47", R(C=["W2"], U=True), "W2"),
    Case("48", R(C=["W2"]), "", notes="scope"),
    Case("49", R(C=["B1"]), "B1"),
    Case("50 unknown", R(C=["X"]), "", notes="dangling_reference"),
    Case("50 deleted", R(C=["B1"]), "", notes="dangling_reference", world={"changed": {"B1": {"deleted": True}}}),
    Case("51", R(C=["container_host", 12]), "", notes="unknown_actor"),
    Case("51 key", R(C=[12, {"label": {"href": label(13)}, "negate": True}]), "", notes="unknown_actor"),
    # --- workload addresses
    Case("52", R(), "W1", notes="offline"),
    Case("52 keep", R(), "W1 OFF", settings=PolicySettings(keep_private_ranges=True, skip_offline=False)),
    Case(
        "53",
        R(),
        "W1 B1",
        world={"changed": {"B1": workload("B1", [12, 21, 31, 42], "192.0.2.50", managed=False, online=False)}},
    ),
    Case("54", R(), "10.20.1.11"),
    Case(
        "55",
        R(),
        "10.20.1.11 198.51.100.11",
        settings=PolicySettings(keep_private_ranges=True, addresses=frozenset(AddressSource)),
    ),
    Case("56", R(), "10.20.1.11 198.51.100.11", world={"changed": {"W1": W1_PUBLIC}}),
    Case(
        "57",
        R(C=["B1"]),
        "",
        notes="no_address",
        world={"changed": {"B1": {"public_ip": "192.0.2.51", "interfaces": []}}},
    ),
    Case("58", R(use_workload_subnets=["consumers"]), "10.20.1.0-10.20.1.255"),
    Case(
        "59",
        R(use_workload_subnets=["consumers"]),
        "10.20.1.11",
        world={"changed": {"W1": workload("W1", [12, 21, 31, 41], "10.20.1.11")}},
    ),
    Case(
        "60",
        R(),
        "10.20.1.11",
        world={
            "changed": {"W1": workload("W1", [12, 21, 31, 41], "10.20.1.11", "169.254.8.8", "127.0.0.1", "fe80::1")}
        },
    ),
    Case(
        "61",
        R(),
        "10.20.1.11",
        world={
            "changed": {
                "W1": workload("W1", [12, 21, 31, 41], "10.20.1.11", "192.0.2.9", ignored_interface_names=["eth1"])
            }
        },
    ),
    Case("62", R(), "", world={"changed": {"W1": workload("W1", [21, 31, 41], "10.20.1.11")}}),
    Case("63", R(), "10.20.1.12", world={"changed": {"W1": workload("W1", [12, 21, 31, 41], "10.20.1.12")}}),
    # --- services and rule flags
    Case("64", R(ingress_services=[{"proto": 6, "port": 1400, "to_port": 1500}]), "W1"),
    Case("65", R(ingress_services=[{"proto": 6}]), "W1"),
    Case("66", R(ingress_services=[{"proto": 17, "port": 1433}]), ""),
    Case("67", R(ingress_services=[ref("all")]), "W1", world=services(all={"service_ports": [{"proto": -1}]})),
    Case(
        "68",
        R(ingress_services=[ref("a")]),
        "W1",
        world=services(a={"service_ports": [{"proto": 6, "port": 80}, MSSQL]}),
    ),
    Case(
        "69",
        R(ingress_services=[{"proto": 6, "port": 3306}, ref("mssql")]),
        "W1",
        world=services(mssql={"service_ports": [MSSQL]}),
    ),
    Case(
        "70",
        R(ingress_services=[ref("w")]),
        "",
        notes="process_service",
        world=services(w={"windows_services": [{"process_name": "sqlservr.exe", **MSSQL}]}),
    ),
    Case(
        "70 whole",
        R(ingress_services=[ref("w")]),
        "",
        notes="process_service",
        world=services(w={"process_name": "sqlservr.exe", "service_ports": [MSSQL]}),
    ),
    Case("70 port", R(ingress_services=[ref("w")]), "W1", world=services(w={"windows_services": [MSSQL]})),
    Case("71", R(ingress_services=[]), "", notes="unreadable"),
    Case("72", R(ingress_services=[{"proto": 6, "port": 11000, "to_port": 11999}]), ""),
    Case("73", R(consuming_security_principals=[{"href": "/orgs/1/security_principals/1"}]), "", notes="user_group"),
    Case("74 connect", R(sec_connect=True), "", notes="sec_connect"),
    Case("74 machine", R(machine_auth=True), "", notes="machine_auth"),
    Case("75", R(egress_services=[ref("a")]), "", notes="process_service"),
    Case("76", R(stateless=True), "W1"),
    Case("77", R(network_type="non_brn"), "", notes="non_corporate_network"),
    Case("78", R(network_type="all"), "W1"),
    Case("79", R(C=["office"], all_ips_except_for_in_consumers=True), "", notes="unknown_actor"),
    Case("80", R(ingress_services=[], resolve_labels_as=VIRTUAL), "", world=virtual([11, 21, 31])),
    Case("81", R(ingress_services=[], resolve_labels_as=VIRTUAL), "W1", world=virtual([11, 21, 31], "S")),
    Case(
        "82",
        R(ingress_services=[], resolve_labels_as=VIRTUAL),
        "",
        world=virtual([11, 21, 31], "S", [{"port": 1433, "proto": 6, "new_port": 14330}]),
    ),
    Case(
        "82 onto",
        R(ingress_services=[], resolve_labels_as=VIRTUAL),
        "W1",
        world=virtual(
            [11, 21, 31],
            "S",
            [{"port": 5000, "proto": 6, "new_port": 1433}],
            service_ports=[{"port": 5000, "proto": 6}],
        ),
    ),
    Case("83", R(resolve_labels_as=FROM_VIRTUAL), "B1", world=virtual([12, 21, 31], "B1")),
    Case(
        "84",
        R(resolve_labels_as=FROM_VIRTUAL),
        "198.51.100.64-198.51.100.79",
        world=virtual([12, 21, 31], "B1", ip_overrides=["198.51.100.64/28"]),
    ),
    Case(
        "85",
        R(C=["vs"], U=True),
        "",
        notes="no_address",
        world=virtual([12, 21, 31], service_addresses=[{"fqdn": "crm.example.com"}]),
    ),
    # --- deny rules and boundaries
    Case("86", D(deny(), U=True), "W1 W2 W4"),
    Case("87", D(deny(override=False), U=True), "W1 W2 W3 W4"),
    Case(
        "88",
        D(deny(C=["office"]), C=["any"]),
        "0.0.0.0-192.0.1.255 192.0.2.128-192.0.2.159 192.0.3.0-198.51.100.9 "
        "198.51.100.21-203.0.113.6 203.0.113.8-255.255.255.255",
    ),
    Case(
        "89",
        D(deny(C=[13]), C=["office"]),
        "192.0.2.0-192.0.2.49 192.0.2.51-192.0.2.127 192.0.2.160-192.0.2.255 198.51.100.10-198.51.100.20 203.0.113.7",
    ),
    Case("90", [*R(U=True), DENY_ELSEWHERE], "W1 W2 W3 W4"),
    Case("91", D(deny(C=[12], ingress_services=[{"proto": 17, "port": 1433}])), "W1"),
    Case("92 rule", D(deny(C=[12], enabled=False)), "W1"),
    Case("92 rule set", [*R(), rule_set([], [deny(C=[12])], enabled=False)], "W1"),
    Case("93", [*R(U=True), rule_set([], [deny(C=[12], U=False)], scope=[[21]])], "W2"),
    Case("95", D(deny(C=["office"], all_ips_except_for_in_consumers=True), C=["any"]), OFFICE),
    Case(
        "96",
        D(deny(C=["ams"]), C=["office"]),
        "192.0.2.0-192.0.2.49 192.0.2.51-192.0.2.127 192.0.2.160-192.0.2.255 "
        "198.51.100.10 198.51.100.12-198.51.100.20 203.0.113.7",
    ),
    Case(
        "97",
        D(deny(ingress_services=[ref("w")]), U=True),
        "W1 W2 W4",
        notes="process_service",
        world=services(w={"windows_services": [{"process_name": "sqlservr.exe", **MSSQL}]}),
    ),
    Case("98", [rule_set([], [deny(override=False)])], ""),
    Case("99", [], "", world={"enforcement_boundaries": [{"name": "b", "providers": [{"actors": "ams"}]}]}),
    Case("100", R(), "W1", world={"enforcement_boundaries": [{"name": "b", "providers": [{"actors": "ams"}]}]}),
    Case("101", R(), "W1", world={"changed": {"S": {"enforcement_mode": "visibility_only"}}}),
    Case("102", [], ""),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.number.replace(" ", "-"))
def test_case(case: Case) -> None:
    world = snapshot(case.rule_sets, **(case.world or {}))
    found = translated(world, case.settings)
    assert ranges(found) == addresses_of(case.expected, world)
    assert set(case.notes.split()) <= {str(note.code) for note in found.notes}
    assert_explained(found)


def assert_explained(found: Translation) -> None:
    """Every range says which rule lets it in."""
    for desired in found.desired:
        assert desired.sources
        assert all(source.rule.startswith(source.rule_set) for source in desired.sources)


@pytest.mark.parametrize(
    ("doubt", "word"),
    [
        (deny(C=["gone"]), "names IP list /orgs/1/sec_policy/active/ip_lists/gone"),
        (deny(C=["X"]), "names workload /orgs/1/workloads/X"),
        (deny(C=[99]), "names label /orgs/1/labels/99"),
        (deny(C=["container_host"]), "container_host"),
    ],
)
def test_case_94(doubt: Json, word: str) -> None:
    with pytest.raises(PolicyUnresolvable, match=word):
        translated(snapshot(D(doubt, U=True)))


def test_case_103_no_workload_has_the_name() -> None:
    assert not ungoverned(snapshot(R(), changed={"S": {"hostname": "other"}})).failed


def test_case_103_two_workloads_have_the_name() -> None:
    twin = workload("S2", [11], "203.0.113.11", hostname=f"{SERVER.fqdn.upper()}.")
    found = ungoverned(snapshot(R(), changed={"S2": twin}))
    assert found.failed
    assert "/orgs/1/workloads/S2" in found.reason


def test_every_case_of_the_page_is_shown() -> None:
    page = Path(__file__).parents[2] / "docs" / "policy-semantics.md"
    numbers = [int(found) for found in re.findall(r"^\| (\d+) \|", page.read_text(encoding="utf-8"), re.MULTILINE)]
    assert numbers == list(range(1, 105))
    shown = {int(case.number.split()[0]) for case in CASES} | {94, 103}
    assert set(numbers) - shown == {5, 6, 104}
