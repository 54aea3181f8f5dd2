"""The naive model beyond the decision table: what Azure cannot use, verdicts, and the PCE's own question."""

import ipaddress

import pytest

from illumio_azsql_enforcer.model.settings import PolicySettings
from illumio_azsql_enforcer.sandbox.oracle import Decision, ServerView, World, allowed, policy_check
from tests.worlds.small_world import (
    B1,
    FQDN,
    W1,
    Objects,
    deny,
    free,
    href,
    ip_list,
    judge_of,
    label,
    named_list,
    only,
    rule,
)

# --- what Azure cannot use


def decisions(world: Objects, *addresses: str, keep: bool = False) -> list[bool]:
    judge = judge_of(world, PolicySettings(keep_private_ranges=keep))
    numbers = [int(ipaddress.IPv4Address(address)) for address in addresses]
    return [judge.verdict(number).decision is Decision.ALLOWED for number in numbers]


def listing(*texts: str) -> Objects:
    return only(rule(consumers=[ip_list("l")]), ip_lists=[named_list("l", *texts)])


def test_case_44_the_address_0_0_0_0_is_never_alone() -> None:
    assert decisions(listing("0.0.0.0", "5.5.5.5"), "0.0.0.0", "5.5.5.5", keep=True) == [False, True]
    assert decisions(listing("0.0.0.0-0.0.0.1"), "0.0.0.0", keep=True) == [True]


def test_a_range_of_private_addresses_only_is_left_out() -> None:
    assert decisions(listing("10.0.0.0/8"), "10.0.0.0", "10.255.255.255") == [False, False]
    assert decisions(listing("10.0.0.0/8"), "10.0.0.0", keep=True) == [True]


def test_a_range_that_only_overlaps_a_private_block_stays_whole() -> None:
    assert decisions(listing("10.9.0.0-11.0.0.0"), "10.9.0.0", "10.255.255.255") == [True, True]
    assert decisions(listing("9.255.255.255-10.0.0.5"), "10.0.0.0", "10.0.0.5") == [True, True]
    assert decisions(listing("9.0.0.0/8", "10.0.0.0/9"), "10.0.0.0", "10.127.255.255") == [True, True]


def test_the_final_range_decides_not_the_entry() -> None:
    assert decisions(listing("9.0.0.0-10.9.9.9", "!10.5.0.0"), "10.4.255.255", "10.5.0.1") == [True, False]


def test_the_two_ends_of_the_address_space() -> None:
    assert decisions(listing("223.255.255.255-255.255.255.255"), "255.255.255.255") == [True]
    assert decisions(listing("224.0.0.0-255.255.255.255"), "255.255.255.255") == [False]
    assert decisions(listing("0.0.0.0-1.0.0.0"), "0.0.0.0", "1.0.0.0") == [True, True]
    assert decisions(listing("0.0.0.0-0.255.255.255"), "0.0.0.0") == [False]


def test_a_verdict_names_the_rules() -> None:
    world = only(rule(consumers=[ip_list("office")]), denies=(deny(consumers=[label(13)]),))
    view = ServerView(FQDN, frozenset(href("labels", n) for n in (11, 21, 31, 41)), href("workloads", "S"))
    verdict = allowed(World.of(world), view, int(ipaddress.IPv4Address(B1)), PolicySettings())
    assert verdict.decision is Decision.NOT_ALLOWED
    assert verdict.rules == {rule()["href"]}
    assert verdict.override_denies == {deny()["href"]}


# --- the PCE's own question


def test_policy_check_sorts_the_rules_that_match_by_kind() -> None:
    denies = (deny(consumers=[label(32)]), deny(10, consumers=[label(12)], override=False))
    world = World.of(only(free(), rule(402, consumers=[ip_list("office")]), denies=denies))
    server, w3 = href("workloads", "S"), href("workloads", "W3")
    assert policy_check(world, src_workload=w3, dst_workload=server, port=1433, proto=6) == {
        "sec_rules": [free()["href"]],
        "deny_rules": [deny(10)["href"]],
        "override_deny_rules": [deny()["href"]],
    }


@pytest.mark.parametrize(("port", "proto", "matches"), [(1433, 6, True), (1433, 17, False), (1434, 6, False)])
def test_policy_check_takes_any_address_port_and_protocol(port: int, proto: int, *, matches: bool) -> None:
    world = World.of(only(rule(consumers=[ip_list("office")])))
    source, target = int(ipaddress.IPv4Address("203.0.113.7")), href("workloads", "S")
    found = policy_check(world, src_ip=source, dst_workload=target, port=port, proto=proto)
    assert found["sec_rules"] == ([rule()["href"]] if matches else [])


def test_policy_check_lists_rules_that_hold_under_a_condition() -> None:
    world = World.of(only(rule(sec_connect=True)))
    source, target = int(ipaddress.IPv4Address(W1)), href("workloads", "S")
    assert policy_check(world, src_ip=source, dst_workload=target, port=1433, proto=6)["sec_rules"] == [rule()["href"]]


def test_policy_check_does_not_know_every_workload() -> None:
    with pytest.raises(KeyError, match="nobody"):
        policy_check(World(), src_ip=1, dst_workload="nobody", port=1433, proto=6)
