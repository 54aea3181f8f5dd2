"""The naive model answers the decision table: one row, one small world, the addresses that may reach the server.

Rows that are not about meaning are tested elsewhere: drafts and short reads (5, 6, 104) with the reader, two workloads
of one name (103) with identity. Enforcement boundaries (99, 100) are not even read.
"""

import pytest

from illumio_azsql_enforcer.model.settings import AddressSource, PolicySettings
from tests.worlds.small_world import (
    AMS,
    B1,
    N1,
    OFFICE,
    W1,
    W2,
    W3,
    W4,
    Json,
    Objects,
    binding,
    changed,
    deny,
    free,
    group,
    interface,
    ip_list,
    judge_of,
    label,
    label_group,
    named_list,
    only,
    ranges,
    ref,
    resolve,
    rule,
    rule_set,
    runs,
    service,
    tcp,
    virtual_service,
    without,
    workload,
)

NONE = ""
ALL = "0.0.0.0-255.255.255.255"
UNRESOLVABLE = "unresolvable"
SETTINGS = PolicySettings(keep_private_ranges=True)
EVERY_ADDRESS = PolicySettings(
    keep_private_ranges=True, addresses=frozenset({AddressSource.INTERFACES, AddressSource.PUBLIC_IP})
)


def disabled(world: Objects) -> Objects:
    world["rule_sets"][0]["enabled"] = False
    return world


def elsewhere(override_deny: Json, scope: list[Json]) -> Objects:
    """R with every consumer, and an override-deny in a rule set of its own."""
    world = only(free())
    world["rule_sets"].append(rule_set(scopes=[scope], denies=(override_deny,), number=41))
    return world


BY_SERVICE = free(providers=[label(11)], ingress_services=[], resolve_labels_as=resolve("virtual_services"))
FROM_SERVICE = free(consumers=[label(12)], resolve_labels_as=resolve(consumers="virtual_services"))
TEN = named_list("ten", "10.0.0.0/8", "!10.20.0.0/16")
ALL_BUT_OFFICE = (
    "0.0.0.0-192.0.1.255 192.0.2.128-192.0.2.159 192.0.3.0-198.51.100.9 198.51.100.21-203.0.113.6 "
    "203.0.113.8-255.255.255.255"
)
OFFICE_LESS_B1_AND_W1 = (
    "192.0.2.0-192.0.2.49 192.0.2.51-192.0.2.127 192.0.2.160-192.0.2.255 198.51.100.10 198.51.100.12-198.51.100.20 "
    "203.0.113.7"
)
TEN_LESS = "10.0.0.0-10.19.255.255 10.21.0.0-10.255.255.255"
W1_SPECIAL = [interface(W1), *(interface(a) for a in ("169.254.8.8", "127.0.0.1", "fe80::1"))]

CASES: dict[int | str, tuple[Objects, str]] = {
    1: (only(rule()), W1),
    2: (only(free()), f"{W1} {W2} {W3} {W4}"),
    3: (disabled(only(rule())), NONE),
    4: (only(rule(enabled=False)), NONE),
    7: (only(rule(), scopes=[[label(21), label(32)]]), NONE),
    8: (only(rule(), scopes=[[]]), f"{W1} {W2} {W3} {W4}"),
    9: (only(rule(), scopes=[[label(21)]]), f"{W1} {W3} {W4}"),
    10: (only(rule(), scopes=[[label(21), label(31)], [label(22), label(31)]]), W1),
    11: (only(free(), scopes=[[label(21), label(31)], [label(22), label(31)]]), f"{W1} {W2} {W3} {W4}"),
    12: (only(rule(), scopes=[[label(21), group("g")]], label_groups=[label_group("g", 31, 32)]), f"{W1} {W3}"),
    13: (
        only(
            rule(),
            scopes=[[label(21), group("top")]],
            label_groups=[label_group("top", subs=("sub",)), label_group("sub", 31, 32, subs=("top",))],
        ),
        f"{W1} {W3}",
    ),
    14: (only(rule(), scopes=[[label(21), group("g")]], label_groups=[label_group("g")]), NONE),
    15: (only(rule(), scopes=[[label(21), without(31)]]), NONE),
    16: (only(rule(), scopes=[[label(21), without(32)]]), W1),
    17: (only(rule(), scopes=[]), NONE),
    18: (only(rule(providers=[label(11), label(13)])), W1),
    19: (only(rule(providers=[label(11), label(42)])), NONE),
    20: (only(free(consumers=[label(12), label(32)])), W3),
    21: (only(free(consumers=[label(12), label(13), label(31)])), f"{W1} {W2} {B1}"),
    22: (only(free(consumers=[without(12)])), B1),
    23: (only(free(consumers=[label(12), without(31)])), W3),
    24: (only(rule(consumers=[label(12), label(32)])), NONE),
    25: (only(free(consumers=[label(12), label(51)])), NONE),
    26: (changed(only(rule()), "S", labels=[ref("labels", n) for n in (11, 21, 41)]), NONE),
    27: (only(rule(providers=[AMS])), W1),
    28: (only(rule(consumers=[AMS])), f"{W1} {B1}"),
    29: (only(free(consumers=[AMS])), f"{W1} {W2} {W3} {W4} {B1} {N1}"),
    30: (only(rule(consumers=[ip_list("office")])), OFFICE),
    "30 extra-scope": (only(free(consumers=[ip_list("office")])), OFFICE),
    31: (
        only(
            rule(providers=[ip_list("any")], consumers=[AMS], ingress_services=[ref("services", "all")]),
            scopes=[[]],
            services=[service("all", {"proto": -1})],
        ),
        NONE,
    ),
    32: (only(free(providers=[ip_list("own")]), ip_lists=[named_list("own", "203.0.113.10")]), NONE),
    33: (only(free(providers=[ip_list("any")], consumers=[ip_list("office")])), NONE),
    34: (only(rule(consumers=[ip_list("any")])), ALL),
    35: (only(rule(consumers=[ip_list("ten")]), ip_lists=[TEN]), TEN_LESS),
    36: (only(rule(consumers=[ip_list("ten"), label(12)]), ip_lists=[TEN]), f"{TEN_LESS} {W1}"),
    37: (
        only(
            rule(consumers=[ip_list("ten")]),
            rule(402, consumers=[ip_list("b")]),
            ip_lists=[TEN, named_list("b", "10.20.5.5")],
        ),
        f"{TEN_LESS} 10.20.5.5",
    ),
    38: (
        only(rule(consumers=[ip_list("f")]), ip_lists=[named_list("f", fqdns=[{"fqdn": "*.example.com"}])]),
        NONE,
    ),
    39: (only(rule(consumers=[ip_list("l")]), ip_lists=[named_list("l", "10.1.2.3/24")]), "10.1.2.0-10.1.2.255"),
    40: (only(rule(consumers=[ip_list("l")]), ip_lists=[named_list("l", "198.51.100.10")]), "198.51.100.10"),
    41: (only(rule(consumers=[ip_list("l")]), ip_lists=[named_list("l", "2001:db8::/32", "::1-::5")]), NONE),
    42: (only(free(consumers=[label(12), ip_list("office")])), f"{W1} {W2} {W3} {W4} {OFFICE}"),
    43: (only(free(consumers=[AMS, label(12)])), f"{W1} {W2} {W3} {W4} {B1} {N1}"),
    45: (only(rule(providers=[workload("S")])), W1),
    46: (only(free(providers=[workload("S")]), scopes=[[label(22), label(31)]]), NONE),
    47: (only(free(consumers=[workload("W2")])), W2),
    48: (only(rule(consumers=[workload("W2")])), NONE),
    49: (only(rule(consumers=[workload("B1")])), B1),
    50: (only(free(consumers=[workload("X"), workload("W2")])), W2),
    "50 deleted": (changed(only(free(consumers=[workload("W2")])), "W2", deleted=True), NONE),
    51: (only(rule(consumers=[{"actors": "container_host"}, label(12)])), NONE),
    "51 unknown": (only(rule(consumers=[{"planet": "mars"}, label(12)])), NONE),
    52: (only(rule()), W1),
    53: (changed(only(rule()), "B1", labels=[ref("labels", n) for n in (12, 21, 31, 42)], online=False), f"{W1} {B1}"),
    56: (
        changed(only(rule()), "W1", interfaces=[interface(W1), interface("198.51.100.11", 32, "eth0.public")]),
        f"{W1} 198.51.100.11",
    ),
    57: (changed(only(rule(consumers=[workload("B1")])), "B1", interfaces=[], public_ip=B1), NONE),
    58: (only(rule(use_workload_subnets=["consumers"])), "10.20.1.0-10.20.1.255"),
    59: (changed(only(rule(use_workload_subnets=["consumers"])), "W1", interfaces=[interface(W1, None)]), W1),
    60: (changed(only(rule()), "W1", interfaces=W1_SPECIAL), W1),
    61: (changed(only(rule()), "W1", ignored_interface_names=["eth0"]), NONE),
    62: (changed(only(rule()), "W1", labels=[ref("labels", n) for n in (21, 31, 41)]), NONE),
    63: (changed(only(rule()), "W1", interfaces=[interface("10.20.1.12")]), "10.20.1.12"),
    64: (only(rule(ingress_services=[tcp(1400, 1500)])), W1),
    65: (only(rule(ingress_services=[{"proto": 6}])), W1),
    66: (only(rule(ingress_services=[{"proto": 17, "port": 1433}])), NONE),
    67: (only(rule(ingress_services=[ref("services", "all")]), services=[service("all", {"proto": -1})]), W1),
    68: (only(rule(ingress_services=[ref("services", "s")]), services=[service("s", tcp(80), tcp(1433))]), W1),
    69: (
        only(rule(ingress_services=[tcp(3306), ref("services", "s")]), services=[service("s", tcp(1433))]),
        W1,
    ),
    70: (
        only(
            rule(ingress_services=[ref("services", "w")]),
            services=[service("w", windows_services=[{**tcp(1433), "process_name": "sqlservr.exe"}])],
        ),
        NONE,
    ),
    71: (only(rule(ingress_services=[])), NONE),
    72: (only(rule(ingress_services=[tcp(11000, 11999)])), NONE),
    73: (only(rule(consuming_security_principals=[ref("security_principals", 1)])), NONE),
    74: (only(rule(sec_connect=True)), NONE),
    "74 machine": (only(rule(machine_auth=True)), NONE),
    75: (only(rule(egress_services=[ref("services", 1)])), NONE),
    76: (only(rule(stateless=True)), W1),
    77: (only(rule(network_type="non_brn")), NONE),
    78: (only(rule(network_type="all")), W1),
    79: (only(rule(all_ips_except_for_in_consumers=True, consumers=[ip_list("office")])), NONE),
    80: (only(BY_SERVICE, virtual_services=[virtual_service(11, 21, 31)]), NONE),
    81: (
        only(
            rule(ingress_services=[], resolve_labels_as=resolve("virtual_services")),
            virtual_services=[virtual_service(11, 21, 31)],
            service_bindings=[binding("S")],
        ),
        W1,
    ),
    82: (
        only(
            BY_SERVICE,
            virtual_services=[virtual_service(11, 21, 31)],
            service_bindings=[binding("S", {"proto": 6, "port": 1433, "new_port": 14330})],
        ),
        NONE,
    ),
    83: (only(FROM_SERVICE, virtual_services=[virtual_service(12, 21, 31)], service_bindings=[binding("B1")]), B1),
    84: (
        only(
            FROM_SERVICE,
            virtual_services=[virtual_service(12, 21, 31, ip_overrides=["198.51.100.64/28"])],
            service_bindings=[binding("B1")],
        ),
        "198.51.100.64-198.51.100.79",
    ),
    85: (
        only(
            free(consumers=[{"virtual_service": ref("virtual_services", "vs")}]),
            virtual_services=[virtual_service(service_addresses=[{"fqdn": "x.example.com"}])],
        ),
        NONE,
    ),
    86: (only(free(), denies=(deny(consumers=[label(32)]),)), f"{W1} {W2} {W4}"),
    87: (only(free(), denies=(deny(consumers=[label(32)], override=False),)), f"{W1} {W2} {W3} {W4}"),
    88: (
        only(rule(consumers=[ip_list("any")]), denies=(deny(consumers=[ip_list("office")]),)),
        ALL_BUT_OFFICE,
    ),
    89: (
        only(rule(consumers=[ip_list("office")]), denies=(deny(consumers=[label(13)]),)),
        f"192.0.2.0-192.0.2.49 192.0.2.51-192.0.2.127{OFFICE.removeprefix('192.0.2.0-192.0.2.127')}",
    ),
    90: (elsewhere(deny(), [label(22)]), f"{W1} {W2} {W3} {W4}"),
    91: (only(free(), denies=(deny(ingress_services=[{"proto": 17, "port": 1433}]),)), f"{W1} {W2} {W3} {W4}"),
    92: (only(free(), denies=(deny(enabled=False),)), f"{W1} {W2} {W3} {W4}"),
    93: (elsewhere(deny(unscoped_consumers=False, consumers=[label(12)]), [label(21)]), W2),
    94: (only(free(), denies=(deny(consumers=[{"planet": "mars"}]),)), UNRESOLVABLE),
    "94 dangling": (only(free(), denies=(deny(consumers=[ip_list("gone")]),)), UNRESOLVABLE),
    95: (
        only(
            rule(consumers=[ip_list("any")]),
            denies=(deny(all_ips_except_for_in_consumers=True, consumers=[ip_list("office")]),),
        ),
        OFFICE,
    ),
    96: (
        only(rule(consumers=[ip_list("office")]), denies=(deny(),)),
        OFFICE_LESS_B1_AND_W1,
    ),
    97: (
        only(free(), denies=(deny(ingress_services=[ref("services", "w")]),))
        | {"services": [service("w", windows_services=[{**tcp(1433), "process_name": "sqlservr.exe"}])]},
        NONE,
    ),
    98: (only(denies=(deny(override=False),)), NONE),
    99: (only(), NONE),
    101: (changed(only(rule()), "S", enforcement_mode="idle"), W1),
    102: (only(), NONE),
}


@pytest.mark.parametrize("case", CASES)
def test_a_row_of_the_decision_table(case: int | str) -> None:
    world, expected = CASES[case]
    judge = judge_of(world, SETTINGS)
    assert judge.unresolvable == (expected == UNRESOLVABLE)
    if not judge.unresolvable:
        assert runs(judge) == ranges(expected)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [(SETTINGS, W1), (EVERY_ADDRESS, f"{W1} 198.51.100.11")],
    ids=["case 54", "case 55"],
)
def test_the_public_address_of_a_workload_is_an_option(settings: PolicySettings, expected: str) -> None:
    assert runs(judge_of(only(rule()), settings)) == ranges(expected)
