"""Explanations: the verdict is the translator's, and the reason is the one that an operator would have found."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from illumio_azsql_enforcer.addresses import Range, parse_address
from illumio_azsql_enforcer.model.settings import AddressSource, NatEntry, PolicySettings
from illumio_azsql_enforcer.policy.explain import Explanation, Verdict, explain
from illumio_azsql_enforcer.policy.misses import ReasonKind
from illumio_azsql_enforcer.policy.translator import Translator
from tests.policy.world import ACTIVE, PCE_LEVEL, Json, deny, governed, href, rule, rule_set, snapshot


def explained(
    address: str, rule_sets: list[Json], settings: PolicySettings = PCE_LEVEL, **world: object
) -> Explanation:
    found = snapshot(rule_sets, **world)  # type: ignore[arg-type]
    server = governed(found)
    return explain(Translator(found, settings, [server]), server, parse_address(address))


def R(**changes: object) -> list[Json]:  # noqa: N802 the base rule of the table
    return [rule_set([rule(**changes)])]  # type: ignore[arg-type]


def test_an_address_that_is_let_in() -> None:
    found = explained("10.20.1.11", R())
    assert found.verdict is Verdict.ALLOWED
    assert [source.workload_name for source in found.sources] == ["W1"]
    assert str(found.range) == "10.20.1.11"
    assert found.summary == "10.20.1.11 may reach orders-sql: 'web' (workload 'W1') by a rule of 'orders-db'"


@pytest.mark.parametrize(
    ("address", "changes", "kind", "text"),
    [
        ("10.20.9.13", {}, "scope", "the workload 'W3' has env:dev, the scope wants env:prod"),
        ("10.20.7.14", {}, "scope", "the workload 'W4' has no env label, the scope wants env:prod"),
        ("192.0.2.50", {}, "label", "the workload 'B1' has role:batch, the consumer side wants role:web"),
        ("10.20.1.11", {"C": [-12]}, "label", "the workload 'W1' has role:web, the consumer side excludes role:web"),
        ("10.20.1.99", {}, "offline", "the workload 'OFF' is offline"),
        ("10.20.1.11", {"enabled": False}, "disabled", "it is disabled"),
        (
            "10.20.1.11",
            {"ingress_services": [{"proto": 6, "port": 80}]},
            "service",
            "its services do not cover TCP 1433",
        ),
        ("10.20.1.11", {"P": [13]}, "provider", "the server has role:sql-server, the provider side wants role:batch"),
        ("10.20.1.11", {"P": ["any"]}, "provider", "its providers are IP lists: it is an outbound rule"),
        ("10.20.1.11", {"machine_auth": True}, "condition", "it asks for machine authentication between agents"),
        ("10.20.1.11", {"C": [12, "container_host"]}, "unreadable", "container_host"),
        ("192.0.2.130", {"C": ["office"]}, "exclusion", "IP list 'office' excludes 192.0.2.128-192.0.2.159"),
        ("9.9.9.9", {"C": ["office"]}, "consumer", "IP list 'office' does not hold 9.9.9.9"),
        ("203.0.113.10", {"C": ["S"]}, "self", "the address is the server's own"),
        (
            "198.51.100.11",
            {},
            "address_not_used",
            "public_ip of the workload 'W1', and policy.addresses does not use it",
        ),
    ],
)
def test_the_nearest_miss(address: str, changes: Json, kind: str, text: str) -> None:
    found = explained(address, R(**changes))
    assert found.verdict is Verdict.NOT_ALLOWED
    assert text in found.summary
    assert kind in [reason.kind for reason in found.misses[0].reasons]


def test_a_disabled_rule_set() -> None:
    found = explained("10.20.1.11", [rule_set([rule()], enabled=False)])
    assert "rule 1 of 'orders-db': its rule set is disabled" in found.summary


def test_a_server_out_of_scope() -> None:
    found = explained("10.20.1.11", [rule_set([rule(U=True)], scope=[[21, 32]])])
    assert "the server has env:prod, the scope wants env:dev" in found.summary


def test_the_nearest_comes_first() -> None:
    far = rule(402, P=[13], C=[13], U=True)
    found = explained("10.20.9.13", [rule_set([far, rule()])])
    assert [finding.rule[-3:] for finding in found.misses] == ["401", "402"]


def test_an_override_deny() -> None:
    found = explained("10.20.9.13", [rule_set([rule(U=True)], [deny()])])
    assert found.verdict is Verdict.NOT_ALLOWED
    assert [finding.rule for finding in found.kept_out_by] == [f"{ACTIVE}/rule_sets/40/deny_rules/9"]
    assert found.kept_out_by[0].reasons[0].kind is ReasonKind.OVERRIDE_DENY
    assert [source.workload_name for source in found.sources] == ["W3"]


def test_a_private_address() -> None:
    found = explained("10.20.1.11", R(), PolicySettings())
    assert found.kept_out_by[0].reasons[0].kind is ReasonKind.PRIVATE_ADDRESS
    assert "set policy.nat or policy.addresses" in found.summary


def test_the_special_address() -> None:
    found = explained("0.0.0.0", R(C=["a"]), ip_lists={"a": [{"from_ip": "0.0.0.0"}]})
    assert found.kept_out_by[0].reasons[0].kind is ReasonKind.SPECIAL_ADDRESS


def test_a_deny_that_cannot_be_evaluated() -> None:
    found = explained("10.20.1.11", [rule_set([rule()], [deny(C=["X"])])])
    assert found.verdict is Verdict.UNRESOLVABLE
    assert href("workload", "X") in found.summary


def test_nothing_comes_near() -> None:
    assert explained("9.9.9.9", R()).summary.endswith("no rule comes near it (no workload has it)")


def test_a_workload_without_a_name_is_called_by_its_hostname() -> None:
    nameless = {"N1": {"name": None, "hostname": "n1.example.com"}}
    found = explained("10.99.0.7", R(C=["office"], P=["any"]), changed=nameless)
    assert found.summary.endswith("no rule comes near it ('n1.example.com' has it)")


def test_who_has_the_address_is_told() -> None:
    entry = NatEntry(Range.parse("10.20.1.0", "10.20.1.255"), (Range.parse("203.0.113.7", "203.0.113.7"),))
    found = explained("10.20.1.11", R(), PolicySettings(nat=(entry,)))
    (held,) = found.workloads
    assert (held.name, held.labels) == ("W1", ("app:orders", "env:prod", "loc:azure-weu", "role:web"))
    assert "replaced by policy.nat" in (held.remark or "")
    assert explained("203.0.113.7", R(), PolicySettings(nat=(entry,))).verdict is Verdict.ALLOWED


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from([11, 12, 13, 31, 32, -12, -31, "ams", "office", "any", "W1", "W2", "X"]), min_size=1, max_size=3
    ),
    st.booleans(),
    st.sampled_from(
        ["10.20.1.11", "10.30.1.12", "192.0.2.50", "192.0.2.130", "198.51.100.11", "10.20.1.99", "0.0.0.0"]
    ),
    st.sampled_from([frozenset({AddressSource.INTERFACES}), frozenset(AddressSource)]),
)
def test_the_verdict_is_the_translators(
    consumers: list[int | str], unscoped: bool, address: str, used: frozenset[AddressSource]
) -> None:
    world = snapshot([rule_set([rule(C=consumers, U=unscoped)], [deny(C=[32])])])
    server = governed(world)
    translator = Translator(world, PolicySettings(keep_private_ranges=True, addresses=used), [server])
    found = explain(translator, server, parse_address(address))
    allowed = any(parse_address(address) in each.range for each in translator.translate(server).desired)
    assert (found.verdict is Verdict.ALLOWED) == allowed
    assert bool(found.summary)
    if not allowed:
        assert all(finding.reasons for finding in found.misses)
